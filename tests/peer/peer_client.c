/* Client operations of the peer. Tasks are JSON objects with the names of asynq_task_options; bytes are base64. */
#include "peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static asynq_client *client;

static int64_t number(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_string(value) ? ASYNQ_NONE : json_integer_value(value); /* "none" */
}

void peer_read_options(asynq_task_options *options, asynq_header *headers, json_t *from)
{
    *options = (asynq_task_options){
        .queue = json_string_value(json_object_get(from, "queue")),
        .id = json_string_value(json_object_get(from, "id")),
        .max_retry = number(from, "max_retry"),
        .timeout_ms = number(from, "timeout_ms"),
        .deadline_ms = number(from, "deadline_ms"),
        .unique_ms = number(from, "unique_ms"),
        .process_at_ms = number(from, "process_at_ms"),
        .process_in_ms = number(from, "process_in_ms"),
        .retention_ms = number(from, "retention_ms"),
        .group = json_string_value(json_object_get(from, "group")),
        .headers = headers,
    };
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(from, "headers"), key, value)
        if (options->header_count < PEER_HEADERS_MAX)
            headers[options->header_count++] = (asynq_header){key, json_string_value(value)};
}

/* Payloads are texts in JSON; \u0000 is allowed. A type may be given as a list of byte values. */
void peer_read_task(peer_task *in, json_t *from)
{
    *in = (peer_task){0};
    json_t *payload = json_object_get(from, "payload");
    in->task.type = json_string_value(json_object_get(from, "type"));
    in->task.payload = json_string_value(payload);
    in->task.payload_length = json_string_length(payload);
    peer_read_options(&in->task.options, in->headers, json_object_get(from, "options"));
    json_t *type_bytes = json_object_get(from, "type_bytes");
    if (type_bytes) {
        static char raw[64];
        size_t i;
        json_t *byte;
        json_array_foreach(type_bytes, i, byte)
            raw[i] = (char)json_integer_value(byte);
        raw[json_array_size(type_bytes)] = '\0';
        in->task.type = raw;
    }
}

/* More time than the library's own: machines that test are busy. */
static asynq_client_options client_options = {.timeout_ms = 20000};

static int open_client(asynq_error *error)
{
    client_options.redis = peer_redis;
    client_options.log = peer_log();
    if (!client)
        client = asynq_client_new(&client_options, error);
    return client ? 0 : error->code;
}

json_t *peer_enqueued(const asynq_enqueued *enqueued)
{
    return json_pack("{s:i,s:s,s:b,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:i}", "status", enqueued->error.code, "error",
                     enqueued->error.text, "retryable", asynq_status_is_retryable(enqueued->error.code), "id",
                     enqueued->id, "state", (int)enqueued->state, "next_process_at_ms",
                     (json_int_t)enqueued->next_process_at_ms, "max_retry", (json_int_t)enqueued->max_retry,
                     "timeout_ms", (json_int_t)enqueued->timeout_ms, "deadline_ms", (json_int_t)enqueued->deadline_ms,
                     "retention_ms", (json_int_t)enqueued->retention_ms, "replicas", enqueued->replicas);
}

static json_t *enqueue(json_t *arguments)
{
    peer_task in;
    asynq_enqueued enqueued = {0};
    asynq_error error;
    asynq_task_options over;
    asynq_header headers[PEER_HEADERS_MAX];
    json_t *call = json_object_get(arguments, "call");
    peer_read_task(&in, json_object_get(arguments, "task"));
    peer_read_options(&over, headers, call);
    int status = open_client(&error);
    if (!status)
        status = asynq_enqueue(client, &in.task, call ? &over : NULL, &enqueued, &error);
    enqueued.error.code = status;
    if (status)
        enqueued.error = error;
    return peer_enqueued(&enqueued);
}

static json_t *batch(json_t *arguments)
{
    json_t *list = json_object_get(arguments, "tasks"), *given;
    size_t count = json_array_size(list), i;
    peer_task *in = calloc(count + 1, sizeof *in);
    asynq_task *tasks = calloc(count + 1, sizeof *tasks);
    asynq_enqueued *results = calloc(count + 1, sizeof *results);
    asynq_error error;
    json_array_foreach(list, i, given) {
        peer_read_task(&in[i], given);
        tasks[i] = in[i].task;
    }
    int status = open_client(&error);
    if (!status)
        status = asynq_enqueue_batch(client, tasks, count, NULL, results, &error);
    json_t *answer = peer_status(status, &error), *described = json_array();
    for (i = 0; i < count; i++)
        json_array_append_new(described, peer_enqueued(&results[i]));
    json_object_set_new(answer, "results", described);
    free(in);
    free(tasks);
    free(results);
    return answer;
}

/* ---- a load: "count" tasks of one type, by "threads" callers or asynchronously, ids "prefix-n" ---- */

typedef struct load {
    const char *queue, *prefix, *type, *payload;
    int64_t first, count, step, max_retry, unique_ms;
    _Atomic int64_t failed;
    asynq_error error;
    bool async;
} load;

static void load_finished(const asynq_enqueued *result, void *arg)
{
    load *l = arg;
    if (result->error.code) {
        l->failed++;
        l->error = result->error;
    }
}

static void *run_load(void *arg)
{
    load *l = arg;
    for (int64_t i = l->first; i < l->count; i += l->step) {
        char id[64];
        asynq_error error;
        snprintf(id, sizeof id, "%s-%lld", l->prefix, (long long)i);
        asynq_task task = {
            .type = l->type ? l->type : "load",
            .payload = l->payload,
            .payload_length = strlen(l->payload),
            .options = {.queue = l->queue, .id = id, .max_retry = l->max_retry},
        };
        int status = l->async ? asynq_enqueue_async(client, &task, NULL, load_finished, l, &error)
                              : asynq_enqueue(client, &task, NULL, NULL, &error);
        if (status) {
            l->failed++;
            l->error = error;
        }
    }
    return NULL;
}

static json_t *enqueue_load(json_t *arguments)
{
    enum { MAX_THREADS = 32 };
    static load loads[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    asynq_error error;
    int64_t count = number(arguments, "threads");
    int status = open_client(&error);
    if (status)
        return peer_status(status, &error);
    if (count < 1 || count > MAX_THREADS)
        count = 1;
    for (int64_t i = 0; i < count; i++) {
        loads[i] = (load){
            .queue = json_string_value(json_object_get(arguments, "queue")),
            .type = json_string_value(json_object_get(arguments, "type")),
            .prefix = json_string_value(json_object_get(arguments, "prefix")),
            .payload = json_string_value(json_object_get(arguments, "payload")),
            .first = i,
            .count = number(arguments, "count"),
            .step = count,
            .max_retry = number(arguments, "max_retry"),
            .async = json_is_true(json_object_get(arguments, "async")),
        };
        pthread_create(&threads[i], NULL, run_load, &loads[i]);
    }
    int64_t failed = 0;
    for (int64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    asynq_client_flush(client);
    for (int64_t i = 0; i < count; i++) {
        failed += loads[i].failed;
        if (loads[i].failed)
            error = loads[i].error;
    }
    json_t *answer = peer_status(failed ? error.code : 0, &error);
    json_object_set_new(answer, "failed", json_integer(failed));
    return answer;
}

/* ---- a stream: tasks at a steady pace, with a ledger of what became of each call ---- */

static struct stream {
    pthread_t thread;
    bool is_running;
    json_t *arguments;
    int ledger;
} stream;

typedef struct streamed {
    char id[64];
} streamed;

/* "intend|acked|unknown|refused <id> <status>": one write each, to a file opened with O_APPEND */
static void stream_note(const char *what, const char *id, int status)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s %s %d\n", what, id, status);
    (void)!write(stream.ledger, line, (size_t)length);
}

static void stream_finished(const asynq_enqueued *result, void *arg)
{
    streamed *call = arg;
    int status = result->error.code;
    bool is_unsure = status == ASYNQ_E_OUTCOME_UNKNOWN || status == ASYNQ_E_NOT_DURABLE;
    stream_note(status == 0 ? "acked" : is_unsure ? "unknown" : "refused", call->id, status);
    free(call);
}

static void stream_enqueue(json_t *task, const char *prefix, int64_t n)
{
    peer_task in;
    asynq_error error;
    streamed *call = calloc(1, sizeof *call);
    snprintf(call->id, sizeof call->id, "%s-%lld", prefix, (long long)n);
    peer_read_task(&in, task);
    in.task.options.id = call->id;
    stream_note("intend", call->id, 0);
    int status = asynq_enqueue_async(client, &in.task, NULL, stream_finished, call, &error);
    if (status) {
        stream_note("refused", call->id, status);
        free(call);
    }
}

static void *stream_run(void *arg)
{
    (void)arg;
    json_t *tasks = json_object_get(stream.arguments, "tasks");
    const char *prefix = json_string_value(json_object_get(stream.arguments, "prefix"));
    int64_t count = number(stream.arguments, "count"), pause_us = number(stream.arguments, "pause_us");
    for (int64_t i = 0; i < count; i++) {
        stream_enqueue(json_array_get(tasks, (size_t)i % json_array_size(tasks)), prefix, i);
        usleep((useconds_t)pause_us);
    }
    asynq_client_flush(client);
    return NULL;
}

/* {"tasks": [...] in turns, "prefix", "count", "pause_us", "ledger": path} */
static json_t *stream_start(json_t *arguments)
{
    asynq_error error;
    int status = open_client(&error);
    if (status)
        return peer_status(status, &error);
    stream.ledger =
        open(json_string_value(json_object_get(arguments, "ledger")), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    stream.arguments = json_incref(arguments);
    stream.is_running = pthread_create(&stream.thread, NULL, stream_run, NULL) == 0;
    return peer_status(stream.is_running ? 0 : ASYNQ_E_SYSTEM, &(asynq_error){.text = "no thread"});
}

/* Returns when all calls of the stream have ended. */
static json_t *stream_wait(json_t *arguments)
{
    (void)arguments;
    if (stream.is_running) {
        pthread_join(stream.thread, NULL);
        json_decref(stream.arguments);
        close(stream.ledger);
    }
    stream.is_running = false;
    return peer_status(0, NULL);
}

static json_t *ping(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    int status = open_client(&error);
    if (!status)
        status = asynq_client_ping(client, &error);
    return peer_status(status, &error);
}

static json_t *configure(json_t *arguments)
{
    if (json_object_get(arguments, "timeout_ms"))
        client_options.timeout_ms = number(arguments, "timeout_ms");
    client_options.replicas = (int)number(arguments, "replicas");
    client_options.replicas_timeout_ms = number(arguments, "replicas_timeout_ms");
    client_options.fsync = json_is_true(json_object_get(arguments, "fsync"));
    return peer_status(0, NULL);
}

static json_t *close_client(json_t *arguments)
{
    json_decref(stream_wait(arguments));
    asynq_client_free(client);
    client = NULL;
    return peer_status(0, NULL);
}

void peer_client_call(void)
{
    asynq_error error;
    (void)!asynq_enqueue(client, &(asynq_task){.type = "t", .payload = "{}", .payload_length = 2}, NULL, NULL, &error);
}

int peer_client_in_child(void)
{
    asynq_error error;
    bool is_right = asynq_enqueue(client, &(asynq_task){.type = "t", .payload = "{}", .payload_length = 2}, NULL, NULL,
                                  &error) == ASYNQ_E_STATE &&
                    asynq_client_ping(client, &error) == ASYNQ_E_STATE;
    asynq_client_flush(client);
    asynq_client_free(client);
    return !is_right;
}

const peer_row peer_client_rows[] = {
    {"enqueue", enqueue},
    {"batch", batch},
    {"load", enqueue_load},
    {"stream.start", stream_start},
    {"stream.wait", stream_wait},
    {"ping", ping},
    {"client.options", configure},
    {"client.close", close_client},
    {NULL, NULL},
};
