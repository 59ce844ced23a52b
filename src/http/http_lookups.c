/* See http_lookups.h. */
#include "http/http_lookups.h"

/* resolv.conf(5): two attempts of five seconds, if it says nothing else. */
enum { RESOLVER_GIVES_UP_MS = 10000 };

static void lookups_wait(http_lookups *lookups)
{
    int64_t now_ms = loop_steady_ms(lookups->loop);
    if (lookups->gone_count)
        loop_timer_set(&lookups->gone, lookups->gone_at_ms[lookups->first_gone] - now_ms);
}

static void lookups_gone(void *arg)
{
    http_lookups *lookups = arg;
    int64_t now_ms = loop_steady_ms(lookups->loop);
    while (lookups->gone_count && lookups->gone_at_ms[lookups->first_gone] <= now_ms) {
        lookups->first_gone = (lookups->first_gone + 1) % LOOKUPS_MAX;
        lookups->gone_count--;
        lookups->count--;
    }
    lookups_wait(lookups);
    lookups->freed(lookups->arg);
}

void http_lookups_init(http_lookups *lookups, loop *l, void (*freed)(void *arg), void *arg)
{
    *lookups = (http_lookups){.loop = l, .freed = freed, .arg = arg};
    loop_timer_init(l, &lookups->gone, lookups_gone, lookups);
}

void http_lookups_clear(http_lookups *lookups)
{
    loop_timer_cancel(&lookups->gone);
}

bool http_lookups_may_begin(const http_lookups *lookups)
{
    return lookups->count < LOOKUPS_MAX;
}

void http_lookups_begin(http_lookups *lookups)
{
    lookups->count++;
}

void http_lookups_end(http_lookups *lookups)
{
    lookups->count--;
    lookups->freed(lookups->arg);
}

void http_lookups_give_up(http_lookups *lookups)
{
    size_t last = (lookups->first_gone + lookups->gone_count++) % LOOKUPS_MAX;
    lookups->gone_at_ms[last] = loop_steady_ms(lookups->loop) + RESOLVER_GIVES_UP_MS;
    if (!loop_timer_is_set(&lookups->gone))
        lookups_wait(lookups);
}
