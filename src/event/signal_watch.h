/*
 * Signals as events of a loop. Thread: that of the loop, which must be the first thread of the program: those that it
 * starts later inherit that these signals are blocked.
 */
#ifndef EVENT_SIGNAL_WATCH_H
#define EVENT_SIGNAL_WATCH_H

#include "event/watch.h"

#include <asynq/error.h>

typedef void (*signal_watch_cb)(int number, void *arg);

/* Zeros: not started. */
typedef struct signal_watch {
    int fd;
    loop_watch watch;
    signal_watch_cb arrived;
    void *arg;
} signal_watch;

/* Takes these signals, up to a 0; `arrived` is called for each that comes. */
ASYNQ_MUST_CHECK int signal_watch_start(signal_watch *w, loop *l, const int *which, signal_watch_cb arrived, void *arg,
                                        asynq_error *error);
/* What has arrived since the last turn is lost; the signals stay blocked. */
void signal_watch_clear(signal_watch *w);

#endif
