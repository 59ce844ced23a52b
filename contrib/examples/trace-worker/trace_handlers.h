/*
 * The handlers of a trace platform: seven task types in three queues, as a Go service enqueues them (see
 * ../trace-service-go). Each reads a JSON payload, does a little real work, writes a JSON result, and tells errors that
 * may go away (retried) from those that will not (archived at once).
 */
#ifndef TRACE_HANDLERS_H
#define TRACE_HANDLERS_H

#include <asynq/asynq.h>

extern const asynq_route trace_routes[];
extern const asynq_queue trace_queues[];

/* 1 s, 2 s, 4 s, ... */
int64_t trace_retry_delay_ms(const asynq_failure *failure, void *arg);

#endif
