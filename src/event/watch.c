/* See watch.h. */
#include "event/watch.h"

static void loop_watch_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    loop_watch *watch = arg;
    loop_mark(watch->loop);
    watch->cb(watch->arg, what & EV_READ, what & EV_WRITE);
}

void loop_watch_init(loop *l, loop_watch *watch, int fd, loop_watch_cb cb, void *arg)
{
    watch->loop = l;
    watch->fd = fd;
    watch->cb = cb;
    watch->arg = arg;
    event_assign(&watch->event, loop_base(l), fd, 0, loop_watch_ready, watch);
}

void loop_watch_set(loop_watch *watch, bool to_read, bool to_write)
{
    short what = (short)((to_read ? EV_READ : 0) | (to_write ? EV_WRITE : 0));
    if (event_get_events(&watch->event) == (what | EV_PERSIST) && event_pending(&watch->event, what, NULL))
        return;
    event_del(&watch->event);
    if (!what)
        return;
    event_assign(&watch->event, loop_base(watch->loop), watch->fd, what | EV_PERSIST, loop_watch_ready, watch);
    event_add(&watch->event, NULL);
}

void loop_watch_clear(loop_watch *watch)
{
    if (watch->cb)
        event_del(&watch->event);
    watch->cb = NULL;
}
