/*
 * The generations of asynqd: the current one, and those before it that still have tasks. Together they never run more
 * tasks than the current configuration allows. Thread: that of the loop, the main one.
 */
#ifndef DAEMON_WORK_H
#define DAEMON_WORK_H

#include "daemon/generation.h"

typedef struct work work;

/* `ended` of the options is not used. NULL with `error`. */
work *work_new(const generation_options *options, asynq_error *error);
/* Accepts NULL. */
void work_free(work *w);

/* For generation_prepare(). They stay as they are. */
const generation_options *work_options(const work *w);
/* Begins with a generation, which it takes over in any case, or goes on with it: it is as before if that cannot be. */
ASYNQ_MUST_CHECK int work_start(work *w, generation *next, asynq_error *error);

/* Ends all; running tasks have `shutdown_timeout`. `done` is called afterwards. */
void work_stop(work *w, void (*done)(void *arg), void *arg);

/* Of a stop that is under way: running tasks are requeued at once. */
void work_hurry(work *w);

/* Takes no new tasks, also after another configuration. */
void work_pause(work *w);
/* The limit of what asynqd lacks is another one. */
void work_share(work *w);

/* Of the current generation, or the last one; valid until the next turn. */
const config *work_config(const work *w);
config *work_hold_config(const work *w);      /* the same for longer, until config_free() */
const handler_host *work_host(const work *w); /* NULL: it has ended */
asynq_server *work_server(const work *w);     /* NULL: there are no routes */

/* Of the current generation, with what all of them have counted. */
void work_get_stats(const work *w, asynq_server_stats *stats);
/* Tasks that run in generations before the current one. */
int64_t work_running_before(const work *w);

#endif
