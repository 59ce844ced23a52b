/*
 * What asynqd and the processes of its pools use, for metrics. A thousand processes take more time than the loop has,
 * so they are read on another thread:
 *
 *     usage_begin() on the loop --> usage_read() on another thread --> usage_end() on the loop
 */
#ifndef DAEMON_USAGE_H
#define DAEMON_USAGE_H

#include "metrics/metric.h"
#include "metrics/proc.h"
#include "process/worker_pools.h"

typedef struct usage usage;

/* `pools` may be NULL. NULL: out of memory. */
usage *usage_begin(worker_pools *pools);
void usage_read(usage *u);
/* Notes what was read, and frees it; `u` and `pools` may be NULL. Processes that have come or gone meanwhile are not
 * counted this time. */
void usage_end(usage *u, worker_pools *pools, metrics *meters);

#endif
