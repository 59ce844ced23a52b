/*
 * How an attempt ended of which its asynqd told nothing any more, as far as it follows from what is known of its task
 * now. An attempt counts from 1: the first runs while Redis counts no failure of the task, and Redis counts one more
 * with each that fails. What would be a guess is left open.
 */
#ifndef PG_UNTOLD_END_H
#define PG_UNTOLD_END_H

#include <asynq/inspector.h>

/* What the history knows of the attempt. */
typedef struct untold_attempt {
    int64_t number, started_at_ms;
    int64_t next; /* the number of the next one that the history has of the same task; 0: there is none */
} untold_attempt;

typedef struct untold_end {
    const char *outcome;     /* NULL: it is not known yet */
    const char *error_class; /* NULL: none */
    const char *error;       /* NULL: none. Static, or the task's */
    int64_t finished_at_ms;  /* 0: not known */
} untold_end;

/* `task` as Redis has it; NULL: not there. */
untold_end untold_end_of(const untold_attempt *attempt, const asynq_task_info *task);

#endif
