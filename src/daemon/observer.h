/*
 * Questions to Redis for health, metrics and scaling. They may take a while, so they have a thread of their own; the
 * answers come back on the loop.
 */
#ifndef DAEMON_OBSERVER_H
#define DAEMON_OBSERVER_H

#include "event/errands.h"

#include <asynq/inspector.h>

typedef struct observer observer;

/* Embedded in its owner, which stays until `done`. */
typedef struct observer_question {
    void (*ask)(asynq_inspector *inspector, struct observer_question *question); /* Thread: the observer's */
    void (*done)(struct observer_question *question);                            /* Thread: the loop's */
    errand errand;
    observer *observer;
} observer_question;

/* NULL with `error`: no thread, or a wrong URI. */
observer *observer_new(loop *l, const char *redis, const char *prefix, asynq_error *error);
/* Waits for the question that is being asked; the others are done without having been asked. Accepts NULL. */
void observer_free(observer *o);

/* False: it is ending; the question is not asked, and `done` is not called. */
ASYNQ_MUST_CHECK bool observer_ask(observer *o, observer_question *question);

#endif
