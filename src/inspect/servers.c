/* Servers and what they run, as their records say. */
#include "inspect/record.h"

#include "base/error.h"
#include "inspect/progress.h"

#include <stdlib.h>

/* A worker and the server it belongs to. */
typedef struct worker_row {
    asynq_worker_info info;
    const char *server_id;
} worker_row;

typedef struct server_reader {
    asynq_memory *memory;
    asynq_server_info *servers;
    size_t count, capacity;
    worker_row *workers;
    size_t worker_count, worker_capacity;
} server_reader;

static int servers_compare_queues(const void *a, const void *b)
{
    return strcmp(((const asynq_queue_priority *)a)->name, ((const asynq_queue_priority *)b)->name);
}

static asynq_queue_priority *copy_queues(arena *into, const server_info *record, bool *failed)
{
    asynq_queue_priority *queues = arena_alloc(into, (record->queue_count + 1) * sizeof *queues);
    *failed |= !queues;
    for (size_t i = 0; queues && i < record->queue_count; i++)
        queues[i] =
            (asynq_queue_priority){inspect_copy(into, record->queues[i].name, failed), record->queues[i].priority};
    if (queues && !*failed)
        qsort(queues, record->queue_count, sizeof *queues, servers_compare_queues);
    return queues;
}

static int take_server(void *arg, const redis_value *reply, asynq_error *error)
{
    server_reader *reader = arg;
    arena *into = &reader->memory->arena, scratch;
    server_info record;
    if (reply->type != REDIS_STRING)
        return ASYNQ_OK; /* it has just gone */
    record_arena_init(&scratch, reply->text.length);
    int status = server_info_decode(&record, reply->text, &scratch, NULL);
    if (status) {
        arena_clear(&scratch);
        return inspect_left_out(status, error);
    }
    bool failed = false;
    asynq_server_info info = {
        .id = inspect_copy(into, record.server_id, &failed),
        .host = inspect_copy(into, record.host, &failed),
        .status = inspect_copy(into, record.status, &failed),
        .pid = record.pid,
        .concurrency = record.concurrency,
        .active_workers = record.active_worker_count,
        .strict_priority = record.strict_priority,
        .started_at_ms = inspect_ms_of(record.start_time),
        .queues = copy_queues(into, &record, &failed),
        .queue_count = record.queue_count,
    };
    arena_clear(&scratch);
    asynq_server_info *servers = arena_grow(into, reader->servers, reader->count, &reader->capacity, sizeof *servers);
    if (failed || !servers)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    reader->servers = servers;
    servers[reader->count++] = info;
    return ASYNQ_OK;
}

static int take_worker(server_reader *reader, bytes encoded, asynq_error *error)
{
    arena *into = &reader->memory->arena, scratch;
    worker_info record;
    record_arena_init(&scratch, encoded.length);
    int status = worker_info_decode(&record, encoded, &scratch, NULL);
    if (status) {
        arena_clear(&scratch);
        return inspect_left_out(status, error);
    }
    bool failed = false;
    worker_row row = {
        .info.task_id = inspect_copy(into, record.task_id, &failed),
        .info.task_type = inspect_copy(into, record.task_type, &failed),
        .info.queue = inspect_copy(into, record.queue, &failed),
        .info.payload = inspect_copy(into, record.task_payload, &failed),
        .info.payload_length = record.task_payload.length,
        .info.started_at_ms = inspect_ms_of(record.start_time),
        .info.deadline_ms = inspect_ms_of(record.deadline),
        .info.progress = progress_fraction(&record),
        .info.progress_text = inspect_copy(into, record.progress_text, &failed),
        .server_id = inspect_copy(into, record.server_id, &failed),
    };
    arena_clear(&scratch);
    worker_row *workers =
        arena_grow(into, reader->workers, reader->worker_count, &reader->worker_capacity, sizeof *workers);
    if (failed || !workers)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    reader->workers = workers;
    workers[reader->worker_count++] = row;
    return ASYNQ_OK;
}

static int servers_take_workers(void *arg, const redis_value *reply, asynq_error *error)
{
    int status = ASYNQ_OK;
    for (size_t i = 0; i < reply->count && !status; i++)
        status = take_worker(arg, reply->elements[i].text, error);
    return status;
}

static int compare_servers(const void *a, const void *b)
{
    const asynq_server_info *x = a, *y = b;
    int by_host = strcmp(x->host, y->host);
    if (by_host)
        return by_host;
    return x->pid != y->pid ? (x->pid < y->pid ? -1 : 1) : strcmp(x->id, y->id);
}

static int compare_workers(const void *a, const void *b)
{
    const worker_row *x = a, *y = b;
    int by_server = strcmp(x->server_id, y->server_id);
    if (by_server)
        return by_server;
    return x->info.started_at_ms < y->info.started_at_ms ? -1 : x->info.started_at_ms > y->info.started_at_ms;
}

/* The workers are sorted by server; those of unknown servers are left out. */
static bool attach_workers(server_reader *reader, asynq_server_info *server)
{
    size_t first = 0, end;
    while (first < reader->worker_count && strcmp(reader->workers[first].server_id, server->id) != 0)
        first++;
    for (end = first; end < reader->worker_count && strcmp(reader->workers[end].server_id, server->id) == 0;)
        end++;
    asynq_worker_info *workers = arena_alloc(&reader->memory->arena, (end - first + 1) * sizeof *workers);
    for (size_t i = first; workers && i < end; i++)
        workers[i - first] = reader->workers[i].info;
    server->workers = workers;
    server->worker_count = end - first;
    return workers != NULL;
}

static int join_workers(server_reader *reader, asynq_error *error)
{
    if (reader->count)
        qsort(reader->servers, reader->count, sizeof *reader->servers, compare_servers);
    if (reader->worker_count)
        qsort(reader->workers, reader->worker_count, sizeof *reader->workers, compare_workers);
    for (size_t i = 0; i < reader->count; i++)
        if (!attach_workers(reader, &reader->servers[i]))
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return ASYNQ_OK;
}

int inspect_servers(asynq_inspector *inspector, bool with_workers, asynq_server_list *servers, asynq_error *error)
{
    static const char *const get[] = {"GET", NULL}, *const values[] = {"HVALS", NULL};
    *servers = (asynq_server_list){0};
    server_reader reader = {.memory = inspect_memory_new()};
    if (!reader.memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = inspect_each_record(inspector, GLOBAL_KEY_SERVERS, get, 2, take_server, &reader, error);
    if (!status && with_workers)
        status = inspect_each_record(inspector, GLOBAL_KEY_WORKERS, values, 2, servers_take_workers, &reader, error);
    if (!status)
        status = join_workers(&reader, error);
    if (status)
        inspect_memory_free(reader.memory);
    else
        *servers = (asynq_server_list){reader.servers, reader.count, reader.memory};
    return status;
}

int asynq_inspector_servers(asynq_inspector *inspector, asynq_server_list *servers, asynq_error *error)
{
    return inspect_servers(inspector, true, servers, error);
}

/* ---- messages ---- */

static int tell_server(asynq_inspector *inspector, const char *id, bytes message, int *heard, asynq_error *error)
{
    buf channel;
    const redis_value *reply = NULL;
    bytes prefix = global_key_name(&inspector->space, GLOBAL_KEY_WAKE);
    buf_init(&channel, 0);
    buf_append(&channel, prefix.data, prefix.length);
    buf_append_text(&channel, id);
    const bytes words[] = {bytes_of("PUBLISH"), {channel.data, channel.length}, message};
    int status = buf_failed(&channel) ? error_set_code(error, ASYNQ_E_NO_MEMORY)
                                      : inspect_command(inspector, INSPECT_CHANGE, words, 3, &reply, error);
    if (!status && reply->type == REDIS_INTEGER && reply->integer > 0)
        ++*heard;
    buf_clear(&channel);
    return status;
}

int asynq_inspector_tell(asynq_inspector *inspector, const char *text, int *heard, asynq_error *error)
{
    asynq_server_list list;
    buf message;
    *heard = 0;
    if (strlen(text) > ASYNQ_MESSAGE_MAX)
        return error_set(error, ASYNQ_E_INVALID, "the message has %zu bytes; the maximum is %d", strlen(text),
                         ASYNQ_MESSAGE_MAX);
    int status = asynq_inspector_servers(inspector, &list, error);
    if (status)
        return status;
    buf_init(&message, 0);
    buf_append_text(&message, WAKE_TELL);
    buf_append_text(&message, text);
    if (buf_failed(&message))
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < list.count && !status; i++)
        status = tell_server(inspector, list.servers[i].id, (bytes){message.data, message.length}, heard, error);
    buf_clear(&message);
    inspect_memory_free(list.memory);
    return status;
}
