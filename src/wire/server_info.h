/* ServerInfo and WorkerInfo: what a running server tells the user interfaces about itself (spec 4.1, 7.8). */
#ifndef WIRE_SERVER_INFO_H
#define WIRE_SERVER_INFO_H

#include "wire/record.h"

#include <stdbool.h>

typedef struct server_queue {
    bytes name;
    int32_t priority;
} server_queue;

typedef struct server_info {
    bytes host;
    int32_t pid;
    bytes server_id;
    int32_t concurrency;
    const server_queue *queues; /* written in the order given; Go's order is random */
    size_t queue_count;
    bool strict_priority;
    bytes status;
    record_time start_time;
    int32_t active_worker_count;
    record_unknown unknown;
} server_info;

typedef struct worker_info {
    bytes host;
    int32_t pid;
    bytes server_id;
    bytes task_id;
    bytes task_type;
    bytes task_payload;
    bytes queue;
    record_time start_time;
    record_time deadline;
    bool has_progress; /* ours; Go does not see it */
    double progress;   /* 0 to 1 */
    bytes progress_text;
    record_unknown unknown;
} worker_info;

/* Errors of all four: ASYNQ_E_MALFORMED, ASYNQ_E_NO_MEMORY. Ownership as in task_message.h. */
ASYNQ_MUST_CHECK int server_info_encode(const server_info *info, buf *out, asynq_error *error);
ASYNQ_MUST_CHECK int server_info_decode(server_info *info, bytes from, arena *into, asynq_error *error);
ASYNQ_MUST_CHECK int worker_info_encode(const worker_info *info, buf *out, asynq_error *error);
ASYNQ_MUST_CHECK int worker_info_decode(worker_info *info, bytes from, arena *into, asynq_error *error);

#endif
