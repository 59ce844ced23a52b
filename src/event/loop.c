/* See loop.h. */
#include "event/loop.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <asynq/error.h>

struct loop {
    struct event_base *base;
    int64_t now_ns, steady_ms; /* as read at their first use in this turn */
    bool has_read_clocks;
    bool stopped;
    int64_t turn_began_ns; /* steady clock; 0: nothing was called yet */
    void (*observe)(void *arg, int64_t held_ns);
    void *observe_arg;
    loop_hook *hooks[LOOP_STAGE_COUNT]; /* in the order of their adding */
    loop_hook *next_hook;               /* the one after the hook that runs now; removal keeps it right */
    loop_deferred *deferred;            /* in the order of their adding */
    loop_deferred **deferred_end;
    struct event wake_for_deferred; /* keeps a turn from waiting when something is deferred */
};

static void loop_read_clocks(loop *l)
{
    if (l->has_read_clocks)
        return;
    l->now_ns = clock_now_ns();
    l->steady_ms = clock_steady_ms();
    l->has_read_clocks = true;
}

void loop_forget_time(loop *l)
{
    l->has_read_clocks = false;
}

void loop_on_turn(loop *l, void (*observe)(void *arg, int64_t held_ns), void *arg)
{
    l->observe = observe;
    l->observe_arg = arg;
}

void loop_mark(loop *l)
{
    if (l->observe && !l->turn_began_ns)
        l->turn_began_ns = clock_steady_ns();
}

static void loop_observe_turn(loop *l)
{
    if (l->observe && l->turn_began_ns)
        l->observe(l->observe_arg, clock_steady_ns() - l->turn_began_ns);
    l->turn_began_ns = 0;
}

static void do_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

loop *loop_new(void)
{
    loop *l = mem_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        l->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (!l->base) {
        mem_free(l);
        return NULL;
    }
    l->deferred_end = &l->deferred;
    event_assign(&l->wake_for_deferred, l->base, -1, 0, do_nothing, NULL);
    return l;
}

static void loop_run_deferred(loop *l)
{
    loop_deferred *list = l->deferred;
    l->deferred = NULL;
    l->deferred_end = &l->deferred;
    while (list) {
        loop_deferred *entry = list;
        list = entry->next; /* before the call, which may free the entry */
        entry->cb(entry->arg);
    }
}

void loop_free(loop *l)
{
    if (!l)
        return;
    while (l->deferred)
        loop_run_deferred(l);
    event_base_free(l->base);
    mem_free(l);
}

static void loop_run_hooks(loop *l, loop_stage stage)
{
    for (loop_hook *hook = l->hooks[stage]; hook; hook = l->next_hook) {
        l->next_hook = hook->next;
        hook->cb(hook->arg);
    }
}

/* What follows the callbacks of a turn. */
static void loop_end_turn(loop *l)
{
    loop_mark(l);
    for (int stage = 0; stage < LOOP_STAGE_COUNT; stage++)
        loop_run_hooks(l, (loop_stage)stage);
    loop_run_deferred(l);
    loop_observe_turn(l);
}

void loop_run(loop *l)
{
    l->stopped = false;
    loop_forget_time(l);
    loop_end_turn(l); /* for what was asked before the loop ran */
    while (!l->stopped) {
        loop_forget_time(l); /* nobody asks for it before the wait is over */
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        loop_forget_time(l); /* the callbacks may have taken long */
        loop_end_turn(l);
    }
}

void loop_stop(loop *l)
{
    l->stopped = true;
}

struct event_base *loop_base(loop *l)
{
    return l->base;
}

int64_t loop_now_ns(loop *l)
{
    loop_read_clocks(l);
    return l->now_ns;
}

int64_t loop_steady_ms(loop *l)
{
    loop_read_clocks(l);
    return l->steady_ms;
}

void loop_defer(loop *l, loop_deferred *entry, loop_cb cb, void *arg)
{
    *entry = (loop_deferred){NULL, cb, arg};
    *l->deferred_end = entry;
    l->deferred_end = &entry->next;
    event_active(&l->wake_for_deferred, EV_TIMEOUT, 0);
}

void loop_hook_add(loop *l, loop_stage stage, loop_hook *hook, loop_cb cb, void *arg)
{
    *hook = (loop_hook){cb, arg, NULL};
    loop_hook **at = &l->hooks[stage];
    while (*at)
        at = &(*at)->next;
    *at = hook;
}

void loop_hook_remove(loop *l, loop_stage stage, loop_hook *hook)
{
    if (l->next_hook == hook)
        l->next_hook = hook->next;
    for (loop_hook **at = &l->hooks[stage]; *at; at = &(*at)->next)
        if (*at == hook) {
            *at = hook->next;
            return;
        }
}
