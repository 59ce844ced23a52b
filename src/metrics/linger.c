/* See linger.h. */
#include "metrics/linger.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <unistd.h>
#include <utlist.h>

enum { LINGER_MAX = 32, LINGER_MS = 5000, LINGER_CHUNK = 65536 };

typedef struct lingering {
    linger_set *owner;
    struct event input;
    int fd;
    int64_t until_ms; /* steady clock */
    struct lingering *prev, *next;
} lingering;

static void lingering_free(lingering *own)
{
    DL_DELETE(own->owner->items, own);
    own->owner->count--;
    event_del(&own->input);
    close(own->fd);
    mem_free(own);
}

static void linger_on_input(evutil_socket_t fd, short what, void *arg)
{
    lingering *own = arg;
    char thrown[LINGER_CHUNK];
    if (!(what & EV_READ) || read(fd, thrown, sizeof thrown) <= 0 || loop_steady_ms(own->owner->loop) >= own->until_ms)
        lingering_free(own);
}

void linger_init(linger_set *l, loop *owner)
{
    *l = (linger_set){.loop = owner};
}

void linger_clear(linger_set *l)
{
    while (l->items)
        lingering_free(l->items);
}

void linger_add(linger_set *l, int fd)
{
    int copy = l->count < LINGER_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    lingering *own = copy >= 0 ? mem_calloc(1, sizeof *own) : NULL;
    if (!own) {
        if (copy >= 0)
            close(copy);
        return;
    }
    *own = (lingering){.owner = l, .fd = copy, .until_ms = loop_steady_ms(l->loop) + LINGER_MS};
    event_assign(&own->input, loop_base(l->loop), copy, EV_READ | EV_PERSIST, linger_on_input, own);
    event_add(&own->input, &(struct timeval){LINGER_MS / 1000, 0});
    DL_APPEND(l->items, own);
    l->count++;
}
