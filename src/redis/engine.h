/*
 * An engine room: a loop, the connections that it runs, a thread for both, and the way into it for other threads.
 * Client, server, scheduler and inspector each have one.
 *
 *   any thread --> engine_submit(order) --+
 *                                         +--> waker --> loop: order->run(), then `ordered`
 *   any thread --> engine_wake() ---------+
 *
 * A child of fork() has neither the thread nor a connection of its own: engine_check_process() tells, without a lock,
 * as another thread may have held any lock when the process forked.
 */
#ifndef REDIS_ENGINE_H
#define REDIS_ENGINE_H

#include "event/waker.h"
#include "redis/nodes.h"

#include <pthread.h>
#include <sys/types.h>

/* Something to be done on the loop; embedded in what it is about. */
typedef struct engine_order {
    struct engine_order *next;
    void (*run)(void *arg); /* may free the order */
    void *arg;
} engine_order;

typedef struct engine_options {
    const redis_uri *uri; /* borrowed */
    log_sink *log;
    const char *name;       /* of the connections */
    const char *key_prefix; /* borrowed: see redis_conn_options */
    redis_nodes_events events;
    void (*ordered)(void *arg); /* after orders were run, and after engine_wake(); may be NULL */
    void *arg;                  /* of `ordered` */
} engine_options;

typedef struct engine {
    engine_options options;
    loop *loop; /* NULL: not open */
    redis_nodes *nodes;
    loop_waker waker;
    _Atomic(engine_order *) submitted; /* the last one first */
    _Atomic pid_t pid;                 /* of the process that opened it; 0: none did */
    pthread_t thread;
    bool has_thread;
} engine;

/* Makes loop and connections. `e` is zeroed before its first use. On failure nothing is left to be closed. Returns 0 or
 * a status with a text. */
ASYNQ_MUST_CHECK int engine_open(engine *e, const engine_options *options, asynq_error *error);

/* Starts the thread that runs the loop. Returns 0 or ASYNQ_E_SYSTEM with a text. */
ASYNQ_MUST_CHECK int engine_start(engine *e, asynq_error *error);

/* Thread: any, but not after engine_close(). */
void engine_submit(engine *e, engine_order *order);
void engine_wake(engine *e);

/* Ends the connections and, with this turn, the loop. Thread: loop. */
void engine_stop(engine *e);

/* Waits for the thread. Thread: any but the engine's own. */
void engine_join(engine *e);
/* Runs the orders that came too late for the thread, with `nodes` NULL. After engine_join(), and before engine_close().
 * Thread: any. */
void engine_run_left(engine *e);
/* Waits for the thread, then frees all. Accepts one that was never opened. Thread: any but the engine's own. */
void engine_close(engine *e);

/* The caller runs on the engine's own thread. */
bool engine_is_own_thread(const engine *e);

/* Returns 0, or ASYNQ_E_STATE in a child of the process that opened it. `what` names the object, as "client". */
int engine_check_process(const engine *e, const char *what, asynq_error *error);

#endif
