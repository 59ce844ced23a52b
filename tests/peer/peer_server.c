/*
 * Servers in the peer. What a handler does stands in the task's payload, a JSON object:
 *
 *   {"do": "done" | "fail" | "skip" | "revoke" | "retry_in" | "snooze" | "queue" | "crash", "text": error, "result":
 *    text, "sleep_ms": n, "times": n, "pause_ms": n, "stubborn": true}
 *
 * sleep_ms ends early when the job is cancelled, unless stubborn; "times" limits a failure to the first n attempts, and
 * snoozing to n times in all; pause_ms is for retry_in and snooze; "queue" has the members of the command server.queue.
 * Types that begin with "async:" run on the loop and are completed from another thread; those that begin with "hang:"
 * when they are cancelled. Each start and end is a line
 * in the ledger file: "start|end <queue> <id> <retry> <time in us>".
 */
#include "peer.h"

#include "base/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static asynq_server *server;
static asynq_mux *mux, *nested;
static int ledger = -1;
static json_t *not_failures; /* error texts for which is_failure answers false */
static int64_t retry_delay_ms = -1;
static int64_t aggregate_ms; /* how long each aggregation takes */

/* Under the lock: what tests ask for. */
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *seen; /* lines */

static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&seen_lock);
    if (!seen)
        seen = json_array();
    json_array_append_new(seen, json_vsprintf(format, args));
    pthread_mutex_unlock(&seen_lock);
    va_end(args);
}

static void ledger_write(const char *what, const asynq_job *job)
{
    char line[512];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(line, sizeof line, "%s %s %s %d %" PRId64 "\n", what, asynq_job_queue(job), asynq_job_id(job),
                          asynq_job_retry_count(job), (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    if (ledger >= 0)
        (void)!write(ledger, line, (size_t)length); /* O_APPEND: whole lines */
}

static int64_t wish_number(json_t *wish, const char *name)
{
    return json_integer_value(json_object_get(wish, name));
}

/* A result that is there while the task runs; what is told at the end comes later. */
static void flush_as_wished(asynq_job *job, json_t *wish)
{
    const char *early = json_string_value(json_object_get(wish, "flush"));
    for (int i = 0; early && i < 100; i++) { /* also while one is under way */
        if (asynq_write_result(job, early, strlen(early)) != ASYNQ_OUTCOME_DONE || asynq_job_flush_result(job))
            note("not flushed %s", asynq_job_id(job));
    }
}

static void pause_as_wished(asynq_job *job, json_t *wish)
{
    flush_as_wished(job, wish);
    int64_t sleep_ms = wish_number(wish, "sleep_ms");
    if (sleep_ms && json_is_true(json_object_get(wish, "stubborn")))
        usleep((useconds_t)sleep_ms * 1000);
    else if (sleep_ms && asynq_job_wait_cancelled(job, sleep_ms))
        note("cancelled %s", asynq_job_id(job));
}

static _Atomic int snoozes;

static int change_queue(const json_t *arguments, asynq_error *error);

static int act(asynq_job *job, json_t *wish)
{
    const char *what = json_string_value(json_object_get(wish, "do"));
    const char *text = json_string_value(json_object_get(wish, "text"));
    const char *result = json_string_value(json_object_get(wish, "result"));
    json_t *times = json_object_get(wish, "times");
    text = text ? text : "failed as told";
    asynq_job_set_code(job, (int)wish_number(wish, "code"));
    if (result && asynq_write_result(job, result, strlen(result)) != ASYNQ_OUTCOME_DONE)
        return ASYNQ_OUTCOME_FAILED;
    bool is_snooze = what && strcmp(what, "snooze") == 0;
    if (!what || (times && !is_snooze && asynq_job_retry_count(job) >= json_integer_value(times)))
        return ASYNQ_OUTCOME_DONE;
    if (strcmp(what, "fail") == 0)
        return asynq_fail(job, "%s", text);
    if (strcmp(what, "skip") == 0)
        return asynq_skip_retry(job, "%s", text);
    if (strcmp(what, "revoke") == 0)
        return asynq_revoke(job, "%s", text);
    if (strcmp(what, "retry_in") == 0)
        return asynq_retry_in(job, wish_number(wish, "pause_ms"), "%s", text);
    if (strcmp(what, "snooze") == 0)
        return times && snoozes++ >= json_integer_value(times)
                   ? ASYNQ_OUTCOME_DONE
                   : asynq_snooze(job, wish_number(wish, "pause_ms"), "%s", text);
    if (strcmp(what, "both") == 0) /* wraps both: the last word counts */
        return asynq_skip_retry(job, "%s", text) == ASYNQ_OUTCOME_SKIP_RETRY ? asynq_revoke(job, "%s", text)
                                                                             : ASYNQ_OUTCOME_DONE;
    if (strcmp(what, "queue") == 0 && change_queue(wish, NULL))
        return asynq_fail(job, "the queue cannot be changed");
    if (strcmp(what, "crash") == 0)
        raise(SIGKILL);
    return ASYNQ_OUTCOME_DONE;
}

static _Atomic int handlers_running;

static int handle(asynq_job *job, void *arg)
{
    (void)arg;
    size_t length;
    handlers_running++;
    const char *payload = asynq_job_payload(job, &length);
    json_t *wish = json_loadb(payload, length, 0, NULL);
    ledger_write("start", job);
    pause_as_wished(job, wish);
    int outcome = act(job, wish);
    ledger_write("end", job);
    json_decref(wish);
    handlers_running--;
    return outcome;
}

static void *complete_later(void *arg)
{
    asynq_job *job = arg;
    asynq_complete(job, handle(job, NULL));
    return NULL;
}

static int handle_async(asynq_job *job, void *arg)
{
    (void)arg;
    pthread_t thread;
    if (pthread_create(&thread, NULL, complete_later, job))
        return asynq_fail(job, "no thread");
    pthread_detach(thread);
    return ASYNQ_OUTCOME_DEFERRED;
}

/* Begins its work when it has waited for as long as a route says. */
static void *start_later(void *job)
{
    usleep(200 * 1000);
    if (asynq_job_start(job))
        return complete_later(job);
    asynq_complete(job, ASYNQ_OUTCOME_REQUEUED);
    return NULL;
}

static int handle_starting_later(asynq_job *job, void *arg)
{
    (void)arg;
    pthread_t thread;
    if (pthread_create(&thread, NULL, start_later, job))
        return asynq_fail(job, "no thread");
    pthread_detach(thread);
    return ASYNQ_OUTCOME_DEFERRED;
}

typedef struct hanging {
    asynq_job *job;
    int ends[2]; /* a byte passes when the job is cancelled */
} hanging;

static void hang_cancelled(asynq_job *job, void *arg)
{
    (void)job;
    (void)!write(((hanging *)arg)->ends[1], "", 1);
}

static void *complete_when_cancelled(void *arg)
{
    hanging *own = arg;
    char byte;
    (void)!read(own->ends[0], &byte, 1);
    close(own->ends[0]);
    close(own->ends[1]);
    note("cancelled %s", asynq_job_id(own->job));
    asynq_complete(own->job, ASYNQ_OUTCOME_DONE);
    free(own);
    return NULL;
}

static int handle_hanging(asynq_job *job, void *arg)
{
    (void)arg;
    pthread_t thread;
    hanging *own = calloc(1, sizeof *own);
    own->job = job;
    if (pipe(own->ends) || pthread_create(&thread, NULL, complete_when_cancelled, own))
        return asynq_fail(job, "no thread");
    pthread_detach(thread);
    ledger_write("start", job);
    asynq_job_on_cancel(job, hang_cancelled, own);
    return ASYNQ_OUTCOME_DEFERRED;
}

static int handle_deadline(asynq_job *job, void *arg)
{
    (void)arg;
    note("deadline %" PRId64, asynq_job_deadline_ms(job) - clock_now_ns() / NS_PER_MS);
    return ASYNQ_OUTCOME_DONE;
}

static int name_pattern(asynq_job *job, void *arg)
{
    note("%s %s", (const char *)arg, asynq_job_type(job));
    return ASYNQ_OUTCOME_DONE;
}

static int middleware(asynq_job *job, asynq_next *next, void *arg)
{
    note("before %s %s", (const char *)arg, asynq_job_type(job));
    int outcome = asynq_next_run(next, job);
    note("after %s %s", (const char *)arg, asynq_job_type(job));
    return outcome;
}

static int64_t retry_delay(const asynq_failure *failure, void *arg)
{
    (void)failure, (void)arg;
    return retry_delay_ms;
}

static bool is_failure(const asynq_failure *failure, void *arg)
{
    (void)arg;
    size_t i;
    json_t *text;
    json_array_foreach(not_failures, i, text)
        if (strcmp(json_string_value(text), failure->error) == 0)
            return false;
    return true;
}

static void on_error(const asynq_failure *failure, void *arg)
{
    (void)arg;
    note("error %s %s", asynq_job_id(failure->job), failure->error);
}

/* The id is kept as the job's data, to see that it stays with the job. */
static void on_start(asynq_job *job, void *arg)
{
    (void)arg;
    asynq_job_set_data(job, strdup(asynq_job_id(job)));
    note("attempt of %s starts", asynq_job_id(job));
}

static void on_end(const asynq_attempt *attempt, void *arg)
{
    (void)arg;
    char *id = asynq_job_data(attempt->job);
    int64_t next_ms = attempt->next_at_ms ? attempt->next_at_ms - attempt->ended_at_ms : 0;
    note("attempt %d of %s is %s: \"%s\"; waited %" PRId64 ", ran %" PRId64 ", again in %" PRId64
         ", code %d, reason %d",
         asynq_job_retry_count(attempt->job), id ? id : "?", asynq_attempt_end_name(attempt->end), attempt->error,
         attempt->pending_since_ms ? attempt->started_at_ms - attempt->pending_since_ms : -1,
         attempt->ended_at_ms - attempt->started_at_ms, next_ms, attempt->code, (int)attempt->cancel_reason);
    free(id);
}

/* In a thread that may block. */
static void report_error(const asynq_failure *failure, void *arg)
{
    (void)arg;
    usleep(20000);
    note("reported failure of %s: \"%s\", outcome %d, code %d, reason %d, retries %d", asynq_job_id(failure->job),
         failure->error, failure->outcome, failure->code, (int)failure->cancel_reason, failure->retry_count);
}

static void report_end(const asynq_attempt *attempt, void *arg)
{
    (void)arg;
    note("reported end of %s: %s", asynq_job_id(attempt->job), asynq_attempt_end_name(attempt->end));
}

static void on_log(asynq_log_level level, const char *text, void *arg)
{
    (void)arg;
    if (level >= ASYNQ_LOG_WARN)
        note("log %s", text);
    if (peer_log())
        peer_log()(level, text, NULL);
}

static void on_health(int status, const char *text, void *arg)
{
    (void)text, (void)arg;
    note("health %d", status);
}

static char email[] = "email", email_welcome[] = "email:welcome", outer[] = "A", inner[] = "B";

enum { MAX_CAPACITIES = 8 };
static asynq_capacity *capacities[MAX_CAPACITIES];

/* That of a route, by its number from 1 on; made when it is named first. */
static asynq_capacity *find_capacity(const json_t *row)
{
    int64_t number = json_integer_value(json_object_get(row, "capacity"));
    if (number < 1 || number > MAX_CAPACITIES)
        return NULL;
    if (!capacities[number - 1])
        capacities[number - 1] = asynq_capacity_new((int)json_integer_value(json_object_get(row, "room")));
    return capacities[number - 1];
}

/* {"capacity": number, "room": n} */
static json_t *set_room(json_t *arguments)
{
    asynq_capacity *capacity = find_capacity(arguments);
    json_t *answer = peer_status(capacity ? 0 : ASYNQ_E_INVALID, &(asynq_error){.text = "there is no such capacity"});
    if (capacity) {
        asynq_capacity_set_max(capacity, (int)json_integer_value(json_object_get(arguments, "room")));
        json_object_set_new(answer, "in_use", json_integer(asynq_capacity_in_use(capacity)));
    }
    return answer;
}

/*
 * [{"pattern", "retry": {"kind", "delay_ms", "max_ms", "jitter"}, "scope", "max", "nested": true, "async": true,
 *   "capacity": number, "room": n, "later": true}]
 */
static int add_routes(asynq_mux *into, json_t *rows, asynq_error *error)
{
    size_t i;
    json_t *row;
    int status = 0;
    json_array_foreach(rows, i, row) {
        json_t *retry = json_object_get(row, "retry");
        bool deferred_start = json_is_true(json_object_get(row, "later"));
        bool is_async = deferred_start || json_is_true(json_object_get(row, "async"));
        asynq_route route = {
            .pattern = json_string_value(json_object_get(row, "pattern")),
            .handler = deferred_start ? handle_starting_later
                       : is_async     ? handle_async
                                      : handle,
            .kind = is_async ? ASYNQ_HANDLER_ASYNC : ASYNQ_HANDLER_THREAD,
            .retry = {(asynq_retry_kind)json_integer_value(json_object_get(retry, "kind")),
                      json_integer_value(json_object_get(retry, "delay_ms")),
                      json_integer_value(json_object_get(retry, "max_ms")),
                      (int)json_integer_value(json_object_get(retry, "jitter"))},
            .limit = {json_string_value(json_object_get(row, "scope")),
                      (int)json_integer_value(json_object_get(row, "max"))},
            .capacity = find_capacity(row),
            .deferred_start = deferred_start,
        };
        if (!nested && json_is_true(json_object_get(row, "nested")))
            nested = asynq_mux_new();
        if (!status)
            status = asynq_mux_handle(nested ? nested : into, &route, error);
        if (!status && nested)
            status = asynq_mux_handle(
                into, &(asynq_route){.pattern = route.pattern, .handler = asynq_mux_dispatch, .arg = nested}, error);
    }
    return status;
}

static int build_mux(bool with_middleware, asynq_error *error)
{
    static const asynq_route routes[] = {
        {.pattern = "load", .handler = handle},
        {.pattern = "t", .handler = handle},
        {.pattern = "async:", .handler = handle_async, .kind = ASYNQ_HANDLER_ASYNC},
        {.pattern = "hang:", .handler = handle_hanging, .kind = ASYNQ_HANDLER_ASYNC},
        {.pattern = "later:", .handler = handle_async},
        {.pattern = "inline:", .handler = handle, .kind = ASYNQ_HANDLER_ASYNC},
        {.pattern = "deadline", .handler = handle_deadline},
        {.pattern = "email", .handler = name_pattern, .arg = email},
        {.pattern = "email:welcome", .handler = name_pattern, .arg = email_welcome},
    };
    mux = asynq_mux_new();
    int status = 0;
    for (size_t i = 0; !status && i < sizeof routes / sizeof *routes; i++)
        status = asynq_mux_handle(mux, &routes[i], error);
    if (!status && with_middleware)
        status = asynq_mux_use(mux, middleware, outer, error);
    if (!status && with_middleware)
        status = asynq_mux_use(mux, middleware, inner, error);
    return status;
}

/* {"queues": {name: priority}, "concurrency": n, "strict": bool, "shutdown_ms": n, "ledger": path, ...} */
/*
 * {"group": name, "tasks": [payload, ...]}, kept for an hour. Groups whose name begins with "broken", "drop" or "slow"
 * have their tasks refused, dropped, or aggregated after a while. The queue that is asked for must not matter.
 */
static int aggregate(asynq_aggregation *aggregation, void *arg)
{
    (void)arg;
    asynq_error error;
    const char *group = asynq_aggregation_group(aggregation);
    note("aggregates %zu of %s", asynq_aggregation_count(aggregation), group);
    usleep((useconds_t)(1000 * aggregate_ms));
    if (strncmp(group, "broken", 6) == 0)
        return ASYNQ_OUTCOME_FAILED;
    if (strncmp(group, "drop", 4) == 0)
        return ASYNQ_OUTCOME_REVOKED;
    if (strncmp(group, "slow", 4) == 0)
        usleep(1500000);
    json_t *list = json_array();
    for (size_t i = 0; i < asynq_aggregation_count(aggregation); i++) {
        const asynq_task *task = asynq_aggregation_task(aggregation, i);
        json_array_append_new(list, json_stringn(task->payload, task->payload_length));
    }
    json_t *whole = json_pack("{s:s,s:o}", "group", group, "tasks", list);
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    int status = asynq_aggregate_into(aggregation,
                                      &(asynq_task){.type = "t:sum",
                                                    .payload = text,
                                                    .payload_length = strlen(text),
                                                    .options = {.retention_ms = ASYNQ_HOURS(1), .queue = "elsewhere"}},
                                      &error);
    free(text);
    return status ? ASYNQ_OUTCOME_FAILED : ASYNQ_OUTCOME_DONE;
}

static json_t *start(json_t *arguments)
{
    asynq_error error;
    const char *name, *path = json_string_value(json_object_get(arguments, "ledger"));
    json_t *priority, *delay = json_object_get(arguments, "retry_delay_ms");
    not_failures = json_deep_copy(json_object_get(arguments, "not_failures"));
    if (path)
        ledger = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (delay)
        retry_delay_ms = json_integer_value(delay);
    int status = build_mux(json_is_true(json_object_get(arguments, "middleware")), &error);
    if (!status)
        status = add_routes(mux, json_object_get(arguments, "routes"), &error);
    aggregate_ms = json_integer_value(json_object_get(arguments, "aggregate_ms"));
    bool tells = json_is_true(json_object_get(arguments, "attempts"));
    asynq_server_options options = {
        .redis = peer_redis,
        .concurrency = (int)json_integer_value(json_object_get(arguments, "concurrency")),
        .strict_priority = json_is_true(json_object_get(arguments, "strict")),
        .mux = mux,
        .retry_delay_ms = delay ? retry_delay : NULL,
        .is_failure = not_failures ? is_failure : NULL,
        .on_error = on_error,
        .aggregate = json_is_true(json_object_get(arguments, "aggregates")) ? aggregate : NULL,
        .group_grace_period_ms = json_integer_value(json_object_get(arguments, "grace_ms")),
        .group_max_delay_ms = json_integer_value(json_object_get(arguments, "max_delay_ms")),
        .group_max_size = (int)json_integer_value(json_object_get(arguments, "max_size")),
        .on_health = on_health,
        .health_interval_ms = json_integer_value(json_object_get(arguments, "health_ms")),
        .shutdown_timeout_ms = json_integer_value(json_object_get(arguments, "shutdown_ms")),
        .park_threshold = getenv("ASYNQ_PEER_PARK_THRESHOLD") ? atoi(getenv("ASYNQ_PEER_PARK_THRESHOLD")) : 0,
        .lost_tasks = json_is_true(json_object_get(arguments, "retries_lost")) ? ASYNQ_LOST_RETRY : ASYNQ_LOST_REQUEUE,
        .max_losses = (int)json_integer_value(json_object_get(arguments, "max_losses")),
        .session_timeout_ms = json_integer_value(json_object_get(arguments, "session_ms")),
        .on_start = tells ? on_start : NULL,
        .on_end = tells ? on_end : NULL,
        .report_error = tells ? report_error : NULL,
        .report_end = tells ? report_end : NULL,
        .log = on_log,
        .log_level = getenv("ASYNQ_PEER_LOG") ? ASYNQ_LOG_DEBUG : ASYNQ_LOG_INFO,
    };
    if (!status) {
        server = asynq_server_new(&options, &error);
        status = server ? 0 : error.code;
    }
    if (!status && json_is_true(json_object_get(arguments, "daemonize")) && fork() > 0)
        _exit(0); /* the test goes on with the child */
    json_object_foreach(json_object_get(arguments, "queues"), name, priority)
        if (!status)
            status = asynq_server_queue(server, name, (int)json_integer_value(priority), &error);
    if (!status)
        status = asynq_server_start(server, &error);
    return peer_status(status, &error);
}

static json_t *ping(json_t *arguments)
{
    asynq_error error;
    return peer_status(asynq_server_ping(server, json_integer_value(json_object_get(arguments, "timeout_ms")), &error),
                       &error);
}

static json_t *start_again(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    return peer_status(asynq_server_start(server, &error), &error);
}

static json_t *stop(json_t *arguments)
{
    (void)arguments;
    asynq_server_stop(server);
    return peer_status(0, NULL);
}

static json_t *set_concurrency(json_t *arguments)
{
    asynq_error error;
    int status = asynq_server_set_concurrency(server, (int)json_integer_value(json_object_get(arguments, "n")), &error);
    return peer_status(status, &error);
}

/* {"name", "priority"}: 0 serves the queue no more */
static int change_queue(const json_t *arguments, asynq_error *error)
{
    const char *name = json_string_value(json_object_get(arguments, "name"));
    int64_t priority = json_integer_value(json_object_get(arguments, "priority"));
    return priority ? asynq_server_queue(server, name, (int)priority, error)
                    : asynq_server_remove_queue(server, name, error);
}

static json_t *set_queue(json_t *arguments)
{
    asynq_error error;
    int status = change_queue(arguments, &error);
    return peer_status(status, &error);
}

static json_t *shut_down(json_t *arguments)
{
    (void)arguments;
    asynq_server_shutdown(server);
    return peer_status(0, NULL);
}

static json_t *take_notes(json_t *arguments)
{
    (void)arguments;
    pthread_mutex_lock(&seen_lock);
    json_t *notes = seen ? seen : json_array();
    seen = NULL;
    pthread_mutex_unlock(&seen_lock);
    json_t *answer = peer_status(0, NULL);
    json_object_set_new(answer, "notes", notes);
    return answer;
}

/* What a child of fork() does with the server of its parent. */
static bool use_inherited(void)
{
    asynq_error error = {0};
    asynq_server_stats stats = {0};
    bool is_told = asynq_server_set_concurrency(server, 3, &error) == ASYNQ_E_STATE && error.text[0];
    is_told &= asynq_server_start(server, &error) == ASYNQ_E_STATE;
    is_told &= strcmp(asynq_server_status(server), "closed") == 0;
    asynq_server_get_stats(server, &stats);
    asynq_server_stop(server);
    asynq_server_shutdown(server);
    asynq_server_free(server);
    return is_told;
}

static json_t *fork_children(json_t *arguments)
{
    return peer_fork((int)json_integer_value(json_object_get(arguments, "children")), use_inherited);
}

/* ---- a semaphore ---- */

static asynq_semaphore *semaphore;

static json_t *semaphore_new(json_t *arguments)
{
    asynq_error error = {0};
    asynq_semaphore_free(semaphore);
    semaphore = asynq_semaphore_new(
        &(asynq_semaphore_options){.redis = peer_redis,
                                   .scope = json_string_value(json_object_get(arguments, "scope")),
                                   .tokens = (int)json_integer_value(json_object_get(arguments, "tokens"))},
        &error);
    return peer_status(error.code, &error);
}

static json_t *semaphore_acquire(json_t *arguments)
{
    asynq_error error;
    bool is_held;
    int status =
        asynq_semaphore_acquire(semaphore, json_string_value(json_object_get(arguments, "holder")),
                                json_integer_value(json_object_get(arguments, "deadline_ms")), &is_held, &error);
    json_t *answer = peer_status(status, &error);
    json_object_set_new(answer, "held", json_boolean(is_held));
    return answer;
}

static json_t *semaphore_release(json_t *arguments)
{
    asynq_error error;
    return peer_status(
        asynq_semaphore_release(semaphore, json_string_value(json_object_get(arguments, "holder")), &error), &error);
}

static json_t *free_server(json_t *arguments)
{
    (void)arguments;
    asynq_server_free(server);
    asynq_semaphore_free(semaphore);
    server = NULL;
    semaphore = NULL;
    return peer_status(0, NULL);
}

/* What handlers use that may still run when their server is gone. */
static json_t *end_servers(json_t *arguments)
{
    json_decref(free_server(arguments));
    while (handlers_running)
        usleep(1000);
    asynq_mux_free(mux);
    asynq_mux_free(nested);
    json_decref(not_failures);
    json_decref(seen);
    if (ledger >= 0)
        close(ledger);
    return peer_status(0, NULL);
}

int peer_server_in_child(void)
{
    return !use_inherited();
}

const peer_row peer_server_rows[] = {
    {"server.start", start},
    {"server.start_again", start_again},
    {"server.ping", ping},
    {"server.stop", stop},
    {"server.set_concurrency", set_concurrency},
    {"server.queue", set_queue},
    {"server.room", set_room},
    {"server.shutdown", shut_down},
    {"server.fork", fork_children},
    {"notes", take_notes},
    {"server.free", free_server},
    {"server.end", end_servers},
    {"semaphore.new", semaphore_new},
    {"semaphore.acquire", semaphore_acquire},
    {"semaphore.release", semaphore_release},
    {NULL, NULL},
};
