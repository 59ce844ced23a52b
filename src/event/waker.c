/* See waker.h. */
#include "event/waker.h"

#include <asynq/error.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void loop_waker_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    loop_waker *waker = arg;
    uint64_t count;
    loop_mark(waker->loop);
    if (read((int)fd, &count, sizeof count) < 0)
        return;             /* nothing there: a spurious event */
    waker->pending = false; /* before the call: what arrives during it wakes again */
    waker->cb(waker->arg);
}

int loop_waker_init(loop *l, loop_waker *waker, loop_cb cb, void *arg)
{
    waker->loop = l;
    waker->cb = cb;
    waker->arg = arg;
    waker->pending = false;
    waker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waker->fd < 0)
        return ASYNQ_E_SYSTEM;
    event_assign(&waker->event, loop_base(l), waker->fd, EV_READ | EV_PERSIST, loop_waker_readable, waker);
    event_add(&waker->event, NULL);
    return ASYNQ_OK;
}

void loop_waker_wake(loop_waker *waker)
{
    uint64_t one = 1;
    if (!atomic_exchange(&waker->pending, true))
        (void)!write(waker->fd, &one, sizeof one);
}

void loop_waker_clear(loop_waker *waker)
{
    if (waker->fd < 0)
        return;
    event_del(&waker->event);
    close(waker->fd);
    waker->fd = -1;
}
