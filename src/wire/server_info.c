/* See server_info.h. */
#include "wire/server_info.h"

#include "base/error.h"

static int queues_pack(const server_info *info, Wire__ServerRecord *record, arena *scratch)
{
    if (!info->queue_count)
        return ASYNQ_OK;
    Wire__QueuePriority *entries = arena_alloc(scratch, info->queue_count * sizeof *entries);
    Wire__QueuePriority **list = arena_alloc(scratch, info->queue_count * sizeof *list);
    if (!entries || !list)
        return ASYNQ_E_NO_MEMORY;
    for (size_t i = 0; i < info->queue_count; i++) {
        wire__queue_priority__init(&entries[i]);
        RECORD_SET_BYTES(entries[i], key, info->queues[i].name);
        entries[i].value = info->queues[i].priority;
        entries[i].has_key = entries[i].has_value = true; /* a map entry always has both */
        list[i] = &entries[i];
    }
    record->queues = list;
    record->n_queues = info->queue_count;
    return ASYNQ_OK;
}

static int server_check_texts(const server_info *info, asynq_error *error)
{
    int status = record_check_text("host", info->host, error);
    if (!status)
        status = record_check_text("server_id", info->server_id, error);
    if (!status)
        status = record_check_text("status", info->status, error);
    for (size_t i = 0; !status && i < info->queue_count; i++)
        status = record_check_text("queue name", info->queues[i].name, error);
    return status;
}

int server_info_encode(const server_info *info, buf *out, asynq_error *error)
{
    int status = server_check_texts(info, error);
    if (status)
        return status;

    Wire__ServerRecord record = WIRE__SERVER_RECORD__INIT;
    Wire__Timestamp start_time = record_time_pack(info->start_time);
    RECORD_SET_BYTES(record, host, info->host);
    RECORD_SET_NUMBER(record, pid, info->pid);
    RECORD_SET_BYTES(record, server_id, info->server_id);
    RECORD_SET_NUMBER(record, concurrency, info->concurrency);
    RECORD_SET_NUMBER(record, strict_priority, info->strict_priority);
    RECORD_SET_BYTES(record, status, info->status);
    record.start_time = &start_time;
    RECORD_SET_NUMBER(record, active_worker_count, info->active_worker_count);
    record.base.unknown_fields = info->unknown.fields;
    record.base.n_unknown_fields = info->unknown.count;

    arena scratch;
    arena_init(&scratch, 0);
    if (queues_pack(info, &record, &scratch) == ASYNQ_OK)
        record_encode(&record.base, out);
    else
        buf_fail(out);
    arena_clear(&scratch);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

int server_info_decode(server_info *info, bytes from, arena *into, asynq_error *error)
{
    Wire__ServerRecord *record = record_decode(&wire__server_record__descriptor, from, into, error);
    if (!record)
        return record_failure(into, NULL);
    server_queue *queues = arena_alloc(into, (record->n_queues + 1) * sizeof *queues);
    if (!queues)
        return record_failure(into, error);
    for (size_t i = 0; i < record->n_queues; i++)
        queues[i] = (server_queue){record_bytes(record->queues[i]->key), record->queues[i]->value};
    *info = (server_info){
        .host = record_bytes(record->host),
        .pid = record->pid,
        .server_id = record_bytes(record->server_id),
        .concurrency = record->concurrency,
        .queues = queues,
        .queue_count = record->n_queues,
        .strict_priority = record->strict_priority,
        .status = record_bytes(record->status),
        .start_time = record_time_unpack(record->start_time),
        .active_worker_count = record->active_worker_count,
        .unknown = {record->base.unknown_fields, record->base.n_unknown_fields},
    };
    return server_check_texts(info, error);
}

static int worker_check_texts(const worker_info *info, asynq_error *error)
{
    int status = record_check_text("host", info->host, error);
    if (!status)
        status = record_check_text("server_id", info->server_id, error);
    if (!status)
        status = record_check_text("task_id", info->task_id, error);
    if (!status)
        status = record_check_text("task_type", info->task_type, error);
    if (!status)
        status = record_check_text("queue", info->queue, error);
    if (!status)
        status = record_check_text("progress_text", info->progress_text, error);
    return status;
}

int worker_info_encode(const worker_info *info, buf *out, asynq_error *error)
{
    int status = worker_check_texts(info, error);
    if (status)
        return status;

    Wire__WorkerRecord record = WIRE__WORKER_RECORD__INIT;
    Wire__Timestamp start_time = record_time_pack(info->start_time);
    Wire__Timestamp deadline = record_time_pack(info->deadline);
    RECORD_SET_BYTES(record, host, info->host);
    RECORD_SET_NUMBER(record, pid, info->pid);
    RECORD_SET_BYTES(record, server_id, info->server_id);
    RECORD_SET_BYTES(record, task_id, info->task_id);
    RECORD_SET_BYTES(record, task_type, info->task_type);
    RECORD_SET_BYTES(record, task_payload, info->task_payload);
    RECORD_SET_BYTES(record, queue, info->queue);
    RECORD_SET_BYTES(record, progress_text, info->progress_text);
    record.has_progress = info->has_progress;
    record.progress = info->progress;
    record.start_time = &start_time;
    record.deadline = &deadline;
    record.base.unknown_fields = info->unknown.fields;
    record.base.n_unknown_fields = info->unknown.count;
    record_encode(&record.base, out);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

int worker_info_decode(worker_info *info, bytes from, arena *into, asynq_error *error)
{
    Wire__WorkerRecord *record = record_decode(&wire__worker_record__descriptor, from, into, error);
    if (!record)
        return record_failure(into, NULL);
    *info = (worker_info){
        .host = record_bytes(record->host),
        .pid = record->pid,
        .server_id = record_bytes(record->server_id),
        .task_id = record_bytes(record->task_id),
        .task_type = record_bytes(record->task_type),
        .task_payload = record_bytes(record->task_payload),
        .queue = record_bytes(record->queue),
        .start_time = record_time_unpack(record->start_time),
        .deadline = record_time_unpack(record->deadline),
        .has_progress = record->has_progress,
        .progress = record->progress,
        .progress_text = record_bytes(record->progress_text),
        .unknown = {record->base.unknown_fields, record->base.n_unknown_fields},
    };
    return worker_check_texts(info, error);
}
