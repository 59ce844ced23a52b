/*
 * Work that is too long for the loop, or waits for a disk or somebody else: a thread does one errand after the other,
 * and the loop is told of each.
 *
 *     errands_send() on the loop --> run() on the thread --> done() on the loop
 */
#ifndef EVENT_ERRANDS_H
#define EVENT_ERRANDS_H

#include "event/loop.h"

#include <asynq/error.h>

typedef struct errands errands;

/* Embedded in its owner, which stays until `done`. */
typedef struct errand {
    void (*run)(struct errand *one);  /* Thread: that of the errands */
    void (*done)(struct errand *one); /* Thread: the loop's */
    struct errand *next;
} errand;

/* NULL with `error`: no thread, no descriptor, or no memory. */
errands *errands_new(loop *l, asynq_error *error);
/*
 * Waits for the one that is run; those that wait are done without having been run. What is done here can send no
 * others. Accepts NULL.
 */
void errands_free(errands *e);

/* False: they are ending; it is not run, and `done` is not called. */
ASYNQ_MUST_CHECK bool errands_send(errands *e, errand *one);

#endif
