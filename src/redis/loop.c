/* See loop.h. */
#include "redis/loop.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <asynq/error.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct event_base *base;
    int64_t now_ns;
    int64_t steady_ms;
    bool stopped;
    loop_hook *hooks[LOOP_STAGE_COUNT]; /* in the order of their adding */
    loop_hook *next_hook;               /* the one after the hook that runs now; removal keeps it right */
    loop_deferred *deferred;            /* in the order of their adding */
    loop_deferred **deferred_end;
    struct event wake_for_deferred; /* keeps a turn from waiting when something is deferred */
};

static void loop_read_clocks(loop *l)
{
    l->now_ns = clock_now_ns();
    l->steady_ms = clock_steady_ms();
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
    loop_read_clocks(l);
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
    for (int stage = 0; stage < LOOP_STAGE_COUNT; stage++)
        loop_run_hooks(l, (loop_stage)stage);
    loop_run_deferred(l);
}

void loop_run(loop *l)
{
    l->stopped = false;
    loop_read_clocks(l);
    loop_end_turn(l); /* for what was asked before the loop ran */
    while (!l->stopped) {
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        loop_read_clocks(l);
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

int64_t loop_now_ns(const loop *l)
{
    return l->now_ns;
}

int64_t loop_steady_ms(const loop *l)
{
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

static void loop_timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    loop_timer *timer = arg;
    loop_read_clocks(timer->loop);
    timer->cb(timer->arg);
}

void loop_timer_init(loop *l, loop_timer *timer, loop_cb cb, void *arg)
{
    timer->loop = l;
    timer->cb = cb;
    timer->arg = arg;
    event_assign(&timer->event, l->base, -1, 0, loop_timer_fired, timer);
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

static void loop_watch_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    loop_watch *watch = arg;
    watch->cb(watch->arg, what & EV_READ, what & EV_WRITE);
}

void loop_watch_init(loop *l, loop_watch *watch, int fd, loop_watch_cb cb, void *arg)
{
    watch->loop = l;
    watch->fd = fd;
    watch->cb = cb;
    watch->arg = arg;
    event_assign(&watch->event, l->base, fd, 0, loop_watch_ready, watch);
}

void loop_watch_set(loop_watch *watch, bool to_read, bool to_write)
{
    short what = (short)((to_read ? EV_READ : 0) | (to_write ? EV_WRITE : 0));
    if (event_get_events(&watch->event) == (what | EV_PERSIST) && event_pending(&watch->event, what, NULL))
        return;
    event_del(&watch->event);
    if (!what)
        return;
    event_assign(&watch->event, watch->loop->base, watch->fd, what | EV_PERSIST, loop_watch_ready, watch);
    event_add(&watch->event, NULL);
}

void loop_watch_clear(loop_watch *watch)
{
    if (watch->cb)
        event_del(&watch->event);
    watch->cb = NULL;
}

static void loop_waker_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    loop_waker *waker = arg;
    uint64_t count;
    if (read((int)fd, &count, sizeof count) < 0)
        return;             /* nothing there: a spurious event */
    waker->pending = false; /* before the call: what arrives during it wakes again */
    waker->cb(waker->arg);
}

int loop_waker_init(loop *l, loop_waker *waker, loop_cb cb, void *arg)
{
    waker->cb = cb;
    waker->arg = arg;
    waker->pending = false;
    waker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waker->fd < 0)
        return ASYNQ_E_SYSTEM;
    event_assign(&waker->event, l->base, waker->fd, EV_READ | EV_PERSIST, loop_waker_readable, waker);
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
