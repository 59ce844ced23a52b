/*
 * How many instances are wanted: a function of samples that all asynqds of a fleet share, so that they come to the same
 * answer; nothing is remembered in between. A sample is measured in Redis, so Go's instances count as well. For each
 * queue that is not paused, over the last `window`:
 *
 *     arrival = (processed + growth of pending and active) / window       tasks per second
 *     run     = seconds of all active tasks together / processed          seconds per task (Little's law)
 *     slots   = arrival * run + pending * run / drain                     tasks at the same time, as many at most
 *                                                                         as are active and pending
 *
 * and for all queues together instances = slots / (tasks per instance * target_utilization), rounded up. A instance has
 * room for `concurrency` tasks, or for as many as the busiest one was seen to run while tasks waited (pools and hosts
 * may be full before). Then, in this order:
 *
 *     fewer than run                                       only with `tolerance` to spare, and not before the first
 *                                                          `window` has been seen
 *     the oldest task has waited longer than `latency`     more than run now, by more than a tenth
 *     at no time of the last `cooldown` more was wanted   else that many
 *     more than `failure_rate` of the attempts fail        not more than run: more instances do not repair the target
 *     always                                               room for what is active, also in paused queues, but not on
 *                                                          servers that are ending
 *     always                                               `min` to `max`
 *
 * Thread: any.
 */
#ifndef DAEMON_SCALE_H
#define DAEMON_SCALE_H

#include "base/setting.h"

#include <stdint.h>

typedef struct scale_options {
    int64_t interval_ms, window_ms, drain_ms, latency_ms, cooldown_ms;
    int64_t target_utilization, failure_rate, tolerance; /* percent */
    int64_t min, max;
} scale_options;

extern const setting scale_table[];

/* A queue at a moment. */
typedef struct scale_queue {
    int64_t pending, active, scheduled, retry, archived;
    int64_t processed, failed; /* in all */
    int64_t latency_ms;
    bool is_paused;
} scale_queue;

typedef struct scale_sample {
    int64_t at_ms;     /* Unix, Redis's clock */
    int64_t since_ms;  /* when the first sample was taken; later ones have gone */
    int64_t instances; /* servers that take tasks of these queues */
    int64_t busiest;   /* tasks of the one that has most */
    int64_t leaving;   /* tasks of servers that take no more, and end with them */
    int64_t room;      /* scale_room() at that time */
    scale_queue *queues;
} scale_sample;

enum { SCALE_MAX_SAMPLES = 512 };

/* So many samples of so many queues are kept and read, as memory is bounded. */
size_t scale_max_samples(size_t queues);

/*
 * How often a sample is taken: as the options say, or less often, if otherwise the samples of so many queues would not
 * reach back over window and cool-down.
 */
int64_t scale_interval_ms(const scale_options *options, size_t queues);

/* What is known, and for whom: `queues` of them in each sample. */
typedef struct scale_history {
    const scale_options *options;
    int64_t concurrency; /* of an instance */
    size_t queues;
    const scale_sample *samples; /* the oldest first, at rising times */
    size_t count;
} scale_history;

typedef struct scale_rates {
    double arrival, service, failure; /* per s; failure: share of the attempts */
    double run_s;
    double slots;
} scale_rates;

/* What has decided, by a code for programs. */
typedef enum scale_reason {
    SCALE_LOAD,
    SCALE_WARMING_UP,
    SCALE_LATENCY,
    SCALE_COOLDOWN,
    SCALE_FAILURE_RATE,
    SCALE_ACTIVE_TASKS,
    SCALE_MIN,
    SCALE_MAX
} scale_reason;

/* "cooldown", and as a sentence for operators. */
const char *scale_reason_name(scale_reason reason);
const char *scale_reason_text(scale_reason reason);

typedef struct scale_advice {
    int64_t wanted, tasks_per_instance;
    scale_reason reason;
} scale_advice;

/* There must be a sample. Fills `rates`, one for each queue. */
scale_advice scale_decide(const scale_history *h, scale_rates *rates);

/*
 * How many tasks an instance runs, as far as it was seen up to the last sample, whose own `room` is not looked at. 0:
 * not known. It goes from sample to sample, as it is not seen while no tasks wait.
 */
int64_t scale_room(const scale_history *h);

#endif
