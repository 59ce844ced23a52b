/* Cron specifications and schedulers. */
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* {"specs": [...], "zones": [...], "after_s": [...]}: of each triple the next time (Unix s), null for never, or a text.
 */
static json_t *cron_next(json_t *arguments)
{
    json_t *specs = json_object_get(arguments, "specs"), *zones = json_object_get(arguments, "zones");
    json_t *after = json_object_get(arguments, "after_s"), *next = json_array();
    for (size_t i = 0; i < json_array_size(specs); i++) {
        asynq_error error;
        asynq_cron *cron = asynq_cron_new(json_string_value(json_array_get(specs, i)),
                                          json_string_value(json_array_get(zones, i)), &error);
        int64_t at_ms = cron ? asynq_cron_next_ms(cron, json_integer_value(json_array_get(after, i)) * 1000) : 0;
        json_array_append_new(next, !cron                 ? json_string(error.text)
                                    : at_ms == ASYNQ_NONE ? json_null()
                                                          : json_integer(at_ms / 1000));
        asynq_cron_free(cron);
    }
    return json_pack("{s:i,s:o}", "status", 0, "next", next);
}

/* ---- one scheduler ---- */

static asynq_scheduler *scheduler;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *notes; /* under the lock: calls of hooks */

static void add_note(json_t *note)
{
    pthread_mutex_lock(&lock);
    notes = notes ? notes : json_array();
    json_array_append_new(notes, note);
    pthread_mutex_unlock(&lock);
}

static void before(const char *id, const asynq_periodic *entry, int64_t tick_ms, void *arg)
{
    (void)arg;
    add_note(json_pack("{s:s,s:s,s:s,s:I}", "hook", "pre", "entry", id, "type", entry->task.type, "tick_ms",
                       (json_int_t)tick_ms));
}

static void after(const char *id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg)
{
    (void)arg;
    add_note(json_pack("{s:s,s:s,s:s,s:o}", "hook", "post", "entry", id, "type", entry->task.type, "result",
                       peer_enqueued(result)));
}

static void missed(const char *id, const asynq_periodic *entry, int64_t first_ms, int64_t last_ms, void *arg)
{
    (void)entry, (void)arg;
    add_note(json_pack("{s:s,s:s,s:I,s:I}", "hook", "missed", "entry", id, "first_ms", (json_int_t)first_ms, "last_ms",
                       (json_int_t)last_ms));
}

static json_t *scheduler_notes(json_t *arguments)
{
    (void)arguments;
    pthread_mutex_lock(&lock);
    json_t *taken = notes ? notes : json_array();
    notes = NULL;
    pthread_mutex_unlock(&lock);
    return json_pack("{s:i,s:o}", "status", 0, "notes", taken);
}

/* An entry and what it points to. */
typedef struct peer_periodic {
    asynq_periodic entry;
    peer_task in;
    asynq_task_options call;
    asynq_header headers[PEER_HEADERS_MAX];
} peer_periodic;

/* {"spec", "task", "call" (options), "name", "zone", "catch_up", "limit_ms", "jitter_ms"} */
static void read_periodic(peer_periodic *into, json_t *from)
{
    json_t *given = json_object_get(from, "call");
    peer_read_task(&into->in, json_object_get(from, "task"));
    peer_read_options(&into->call, into->headers, given);
    into->entry = (asynq_periodic){
        .spec = json_string_value(json_object_get(from, "spec")),
        .task = into->in.task,
        .options = given ? &into->call : NULL,
        .name = json_string_value(json_object_get(from, "name")),
        .zone = json_string_value(json_object_get(from, "zone")),
        .catch_up = (asynq_catch_up)json_integer_value(json_object_get(from, "catch_up")),
        .catch_up_limit_ms = json_integer_value(json_object_get(from, "limit_ms")),
        .jitter_ms = json_integer_value(json_object_get(from, "jitter_ms")),
    };
}

static json_t *items; /* under the lock: what the provider returns */

static int provide(asynq_periodic_list *list, void *arg, asynq_error *error)
{
    (void)arg;
    int status = 0;
    pthread_mutex_lock(&lock);
    if (json_is_string(items)) {
        *error = (asynq_error){.code = ASYNQ_E_SYSTEM};
        snprintf(error->text, sizeof error->text, "%s", json_string_value(items));
        status = error->code;
    }
    for (size_t i = 0; i < json_array_size(items); i++) {
        peer_periodic in;
        read_periodic(&in, json_array_get(items, i));
        if (asynq_periodic_list_add(list, &in.entry, NULL))
            continue; /* left out */
    }
    pthread_mutex_unlock(&lock);
    return status;
}

static json_t *scheduler_new(json_t *arguments)
{
    asynq_error error;
    asynq_scheduler_free(scheduler);
    scheduler = asynq_scheduler_new(
        &(asynq_scheduler_options){
            .redis = peer_redis,
            .zone = json_string_value(json_object_get(arguments, "zone")),
            .independent = json_is_true(json_object_get(arguments, "independent")),
            .heartbeat_interval_ms = json_integer_value(json_object_get(arguments, "heartbeat_ms")),
            .pre_enqueue = json_is_true(json_object_get(arguments, "notes")) ? before : NULL,
            .post_enqueue = json_is_true(json_object_get(arguments, "notes")) ? after : NULL,
            .on_missed = missed,
            .provide = json_is_true(json_object_get(arguments, "provide")) ? provide : NULL,
            .file = json_string_value(json_object_get(arguments, "file")),
            .sync_interval_ms = json_integer_value(json_object_get(arguments, "sync_ms")),
            .log = peer_log(),
        },
        &error);
    return peer_status(scheduler ? 0 : error.code, &error);
}

static json_t *scheduler_start(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    return peer_status(asynq_scheduler_start(scheduler, &error), &error);
}

static json_t *scheduler_register(json_t *arguments)
{
    char id[ASYNQ_ENTRY_ID_SIZE] = "";
    asynq_error error;
    peer_periodic in;
    read_periodic(&in, arguments);
    int status = asynq_scheduler_register(scheduler, &in.entry, id, &error);
    json_t *answer = peer_status(status, &error);
    json_object_set_new(answer, "id", json_string(id));
    return answer;
}

/* {"items": [as for scheduler.register] or a text, the provider's error} */
static json_t *scheduler_provide(json_t *arguments)
{
    pthread_mutex_lock(&lock);
    json_decref(items);
    items = json_incref(json_object_get(arguments, "items"));
    pthread_mutex_unlock(&lock);
    return peer_status(0, NULL);
}

static json_t *scheduler_sync(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    return peer_status(asynq_scheduler_sync(scheduler, &error), &error);
}

static json_t *scheduler_unregister(json_t *arguments)
{
    asynq_error error;
    return peer_status(
        asynq_scheduler_unregister(scheduler, json_string_value(json_object_get(arguments, "id")), &error), &error);
}

static json_t *scheduler_ping(json_t *arguments)
{
    asynq_error error;
    int64_t timeout_ms = json_integer_value(json_object_get(arguments, "timeout_ms"));
    return peer_status(asynq_scheduler_ping(scheduler, timeout_ms, &error), &error);
}

static json_t *scheduler_shutdown(json_t *arguments)
{
    (void)arguments;
    asynq_scheduler_shutdown(scheduler);
    return peer_status(0, NULL);
}

static json_t *scheduler_free(json_t *arguments)
{
    (void)arguments;
    asynq_scheduler_free(scheduler);
    scheduler = NULL;
    json_decref(notes);
    json_decref(items);
    notes = items = NULL;
    return peer_status(0, NULL);
}

/* What a child of fork() does with the scheduler of its parent. */
static bool use_inherited(void)
{
    asynq_error error = {0};
    const asynq_periodic entry = {.spec = "@every 1h", .task = {.type = "t"}};
    bool is_told = asynq_scheduler_register(scheduler, &entry, NULL, &error) == ASYNQ_E_STATE && error.text[0];
    is_told &= asynq_scheduler_unregister(scheduler, "none", &error) == ASYNQ_E_STATE;
    is_told &= asynq_scheduler_start(scheduler, &error) == ASYNQ_E_STATE;
    is_told &= asynq_scheduler_sync(scheduler, &error) != ASYNQ_OK; /* it has no provider, either */
    asynq_scheduler_shutdown(scheduler);
    asynq_scheduler_free(scheduler);
    return is_told;
}

static json_t *scheduler_fork(json_t *arguments)
{
    return peer_fork((int)json_integer_value(json_object_get(arguments, "children")), use_inherited);
}

int peer_scheduler_in_child(void)
{
    return !use_inherited();
}

const peer_row peer_schedule_rows[] = {
    {"cron.next", cron_next},
    {"scheduler.new", scheduler_new},
    {"scheduler.start", scheduler_start},
    {"scheduler.register", scheduler_register},
    {"scheduler.provide", scheduler_provide},
    {"scheduler.sync", scheduler_sync},
    {"scheduler.unregister", scheduler_unregister},
    {"scheduler.fork", scheduler_fork},
    {"scheduler.notes", scheduler_notes},
    {"scheduler.ping", scheduler_ping},
    {"scheduler.shutdown", scheduler_shutdown},
    {"scheduler.free", scheduler_free},
    {NULL, NULL},
};
