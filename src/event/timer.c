/* See timer.h. */
#include "event/timer.h"

#include "base/clock.h"

static void loop_timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    loop_timer *timer = arg;
    loop_forget_time(timer->loop);
    loop_mark(timer->loop);
    timer->cb(timer->arg);
}

void loop_timer_init(loop *l, loop_timer *timer, loop_cb cb, void *arg)
{
    timer->loop = l;
    timer->cb = cb;
    timer->arg = arg;
    event_assign(&timer->event, loop_base(l), -1, 0, loop_timer_fired, timer);
}

void loop_timer_set(loop_timer *timer, int64_t delay_ms)
{
    if (delay_ms < 0)
        delay_ms = 0;
    struct timeval delay = {delay_ms / MS_PER_SECOND, delay_ms % MS_PER_SECOND * 1000};
    event_add(&timer->event, &delay);
}

bool loop_timer_is_set(const loop_timer *timer)
{
    return event_pending(&timer->event, EV_TIMEOUT, NULL);
}

void loop_timer_cancel(loop_timer *timer)
{
    if (timer->cb) /* else it was never made */
        event_del(&timer->event);
}
