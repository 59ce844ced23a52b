/*
 * The rig: one side of a measurement, driven by bench/compare through lines on standard input and output. Its twin for
 * Go's library is tests/go/cmd/rig; both take the same settings and print the same lines.
 *
 * A payload is 13 bytes and filler: number of the task (4 bytes), the time from which its delay counts (Unix ns, 8
 * bytes) and what to do (1 byte), all little-endian.
 */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include <asynq/asynq.h>
#include <stdint.h>

enum { RIG_PAYLOAD_MIN = 13, RIG_QUEUES_MAX = 64 };

/* What the handler of a task does. */
typedef enum rig_deed {
    RIG_RETURN = 'n',
    RIG_HOLD = 'h',      /* not over until "release" is read */
    RIG_RANDOM = 'r',    /* lasts up to random_ms */
    RIG_FAIL_ONCE = 'f', /* the first attempt fails */
} rig_deed;

typedef struct rig_settings {
    const char *role; /* work, enqueue, limit */
    const char *redis;
    const char *queues;  /* name:priority, separated by commas */
    const char *handler; /* async, thread */
    const char *mode;    /* enqueue: one, batch, async */
    int64_t tasks, held; /* held: so many tasks beside `tasks`, numbered after them */
    int64_t payload, concurrency, callers, servers, random_ms, fail_percent, unique_s, due_ms, due_each, retry_ms;
    int64_t first;    /* number of the first task to enqueue */
    const char *deed; /* of the tasks to enqueue */
    int64_t park_threshold;
} rig_settings;

extern rig_settings rig;

void rig_read_settings(int argc, char **argv);
/* The queues of the settings. Returns how many; the array ends with one without a name. */
int rig_read_queues(asynq_queue queues[RIG_QUEUES_MAX + 1]);

int64_t rig_now_ns(void);
/* CPU time of this process, in us. */
int64_t rig_cpu_us(void);
/* Prints a line for the driver. */
void rig_say(const char *format, ...) ASYNQ_PRINTF(1, 2);
/* Waits for a line from the driver; NULL: it has gone. */
const char *rig_hear(void);
_Noreturn void rig_die(const char *what, const char *why);

/* The roles. */
int rig_work(void);
int rig_enqueue(void);

#endif
