/*
 * What asynqd itself lacks: descriptors, processes, memory. That is no failure of a task, so tasks go back to their
 * queues unrun; fewer are taken until it has passed; log and readiness tell.
 *
 *   enough --shortage_tell()--> none are taken --pause--> a few are taken --calm for a while--> ever more --> enough
 *                                     ^-------------------shortage_tell()--------'
 *
 * Thread: that of the daemon's loop.
 */
#ifndef HANDLER_SHORTAGE_H
#define HANDLER_SHORTAGE_H

#include "base/log.h"
#include "event/loop.h"

typedef struct shortage shortage;

typedef struct shortage_options {
    loop *loop;
    log_sink *log;
    int64_t (*running)(void *arg); /* tasks under way */
    void (*changed)(void *arg);    /* shortage_limit() is another one */
    void *arg;
} shortage_options;

/* NULL: out of memory. */
shortage *shortage_new(const shortage_options *options);
/* Accepts NULL. */
void shortage_free(shortage *s);

/* Whether an errno says that we lack something which others may give back. */
bool shortage_is_one(int problem);
/* `what` could not be had; `problem` is the errno. */
void shortage_tell(shortage *s, const char *what, int problem);

/* How many tasks may run at the same time; INT64_MAX: as many as are wanted. */
int64_t shortage_limit(const shortage *s);
/* For readiness, NULL: nothing is lacking. Valid until the next call of shortage_tell(). */
const char *shortage_problem(const shortage *s);
/* Whether no tasks are taken. */
bool shortage_is_paused(const shortage *s);

/*
 * Whether a descriptor that was just got may be kept: the last ones are for what asynqd needs itself, so that it can
 * still reach Redis and answer, and as many before them for what needs one only, and no process. Sets errno if not.
 */
bool shortage_may_keep(int fd, bool for_process);
/* Whether one could be had now. Sets errno if not. */
bool shortage_has_descriptor(void);

#endif
