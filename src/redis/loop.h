/*
 * The event loop: libevent waits, we order the turn.
 *
 * One turn: wait for events and run their callbacks; run the hooks of each stage (first those that decide what to
 * do, then those that write to sockets); run what was deferred. So everything that one turn decided leaves together,
 * and nothing is freed while libevent may still hold it.
 *
 * Thread: all calls belong to the thread that runs the loop (or, before it runs, to the one that built it), except
 * where "any" is said.
 */
#ifndef REDIS_LOOP_H
#define REDIS_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct loop loop;
typedef void (*loop_cb)(void *arg);

loop *loop_new(void);
void loop_free(loop *l);

/* Runs turns until loop_stop(). */
void loop_run(loop *l);
/* Thread: loop, from a callback. */
void loop_stop(loop *l);

struct event_base *loop_base(loop *l);

/* The wall clock and the steady clock, read when events have been dealt with, and before each timer's callback. In
 * callbacks of sockets they are as old as the wait for the event was. */
int64_t loop_now_ns(const loop *l);
int64_t loop_steady_ms(const loop *l);

typedef struct loop_deferred {
    struct loop_deferred *next;
    loop_cb cb;
    void *arg;
} loop_deferred;

/*
 * Runs `cb` at the end of this turn (of the next one, if called from a deferred call). `entry` is embedded in its
 * owner, so this cannot fail; `cb` may free the owner.
 */
void loop_defer(loop *l, loop_deferred *entry, loop_cb cb, void *arg);

/* ---- hooks: called in every turn ---- */

typedef enum loop_stage {
    LOOP_DECIDE, /* turn what happened into commands */
    LOOP_WRITE,  /* hand commands to the kernel */
    LOOP_STAGE_COUNT
} loop_stage;

typedef struct loop_hook {
    loop_cb cb;
    void *arg;
    struct loop_hook *next;
} loop_hook;

/* `hook` is embedded in its owner and must stay until removed. A hook may remove itself. */
void loop_hook_add(loop *l, loop_stage stage, loop_hook *hook, loop_cb cb, void *arg);
void loop_hook_remove(loop *l, loop_stage stage, loop_hook *hook);

/* ---- timers ---- */

typedef struct loop_timer {
    struct event event;
    loop *loop;
    loop_cb cb;
    void *arg;
} loop_timer;

void loop_timer_init(loop *l, loop_timer *timer, loop_cb cb, void *arg);
/* (Re)starts the timer; it fires once. Negative delays count as 0. */
void loop_timer_set(loop_timer *timer, int64_t delay_ms);
bool loop_timer_is_set(const loop_timer *timer);
void loop_timer_cancel(loop_timer *timer);

/* ---- descriptors ---- */

typedef void (*loop_watch_cb)(void *arg, bool can_read, bool can_write);

typedef struct loop_watch {
    struct event event;
    loop *loop;
    int fd;
    loop_watch_cb cb; /* NULL: never made, or cleared */
    void *arg;
} loop_watch;

/* Calls `cb` whenever the descriptor can be read from or written to, as loop_watch_set() says. Errors count as both. */
void loop_watch_init(loop *l, loop_watch *watch, int fd, loop_watch_cb cb, void *arg);
void loop_watch_set(loop_watch *watch, bool to_read, bool to_write);
/* Before the descriptor is closed. */
void loop_watch_clear(loop_watch *watch);

/* ---- wake-ups from other threads ---- */

typedef struct loop_waker {
    struct event event;
    int fd;
    _Atomic bool pending; /* woken and not yet served: one write is enough */
    loop_cb cb;
    void *arg;
} loop_waker;

/* Returns 0 or ASYNQ_E_SYSTEM. */
int loop_waker_init(loop *l, loop_waker *waker, loop_cb cb, void *arg);
/* Makes the loop call `cb` soon. Several wakes before that call are one. Thread: any; safe in signal handlers. */
void loop_waker_wake(loop_waker *waker);
void loop_waker_clear(loop_waker *waker);

#endif
