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
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

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

/*
 * The wall clock and the steady clock: read when a turn first asks after the wait for events, again for the hooks, and
 * again for each timer. So they never show a time from before the wait, also when the process was stopped meanwhile.
 */
int64_t loop_now_ns(loop *l);
int64_t loop_steady_ms(loop *l);
/*
 * Calls `observe` at the end of each turn, with the time since its first callback: how long others had to wait. What
 * libevent runs by itself counts from the loop_mark() in it.
 */
void loop_on_turn(loop *l, void (*observe)(void *arg, int64_t held_ns), void *arg);
void loop_mark(loop *l);
/* The next question reads the clocks anew. */
void loop_forget_time(loop *l);

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

#endif
