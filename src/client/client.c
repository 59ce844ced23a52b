/*
 * The client: callers hand tasks to the client's own thread, which runs a loop with one connection and a lane per
 * queue. Blocking calls wait for their outcome; there is no second implementation for them.
 */
#include "client/lane.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/option_struct.h"
#include "base/thread.h"
#include "event/timer.h"
#include "event/waker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <uuid/uuid.h>

enum { CLIENT_DEFAULT_TIMEOUT_MS = 10000, CLIENT_TICK_MS = 100, CLIENT_RETRY_MS = 10, CLIENT_LANE_IDLE_MS = 60000 };

#define CLIENT_DEFAULT_WAITING ((size_t)64 << 20)
#define CLIENT_DEFAULT_URI "redis://127.0.0.1:6379"

typedef struct client_ping {
    struct client_ping *next;
    asynq_client *client;
    int64_t give_up_at_ms;
    bool sent, done; /* done: under the lock */
    asynq_error error;
} client_ping;

struct asynq_client {
    asynq_client_options options;
    redis_uri uri;
    log_sink log;
    char id[37];

    /* Shared with callers, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* nothing is outstanding, or a ping has ended */
    bool started, stopping;
    pid_t pid; /* of the process that has the thread */
    lane_task *submitted, **submitted_end;
    client_ping *pings_submitted;

    /* Added to under the lock, taken from without it. */
    _Atomic size_t outstanding;   /* tasks and pings without outcome */
    _Atomic size_t waiting_bytes; /* of asynchronous calls */

    /* The client's thread alone. */
    pthread_t thread;
    loop *loop;
    loop_waker waker;
    loop_timer tick, retry;
    lane_context context;
    lane *lanes; /* uthash */
    client_ping *pings;
};

/* One call less is outstanding. The lock is taken only for the last, so that callers and our thread seldom meet. */
static void client_count_down(asynq_client *client)
{
    if (--client->outstanding)
        return;
    pthread_mutex_lock(&client->lock);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

/* ---- the thread ---- */

static lane *client_lane(asynq_client *client, bytes queue)
{
    lane *found = NULL;
    HASH_FIND(hh, client->lanes, queue.data, queue.length, found);
    if (found)
        return found;
    found = lane_new(&client->context, queue);
    if (!found)
        return NULL;
    HASH_ADD_KEYPTR(hh, client->lanes, found->keys.queue.data, found->keys.queue.length, found);
    if (HASH_HAS(found))
        return found;
    lane_free(found);
    return NULL;
}

static void client_pump(asynq_client *client)
{
    for (lane *l = client->lanes; l; l = l->hh.next)
        lane_pump(l);
}

static void ping_finish(client_ping *ping, const asynq_error *error)
{
    asynq_client *client = ping->client;
    pthread_mutex_lock(&client->lock);
    if (error)
        ping->error = *error;
    ping->done = true;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    client_count_down(client);
}

static void pings_remove(asynq_client *client, client_ping *ping)
{
    for (client_ping **at = &client->pings; *at; at = &(*at)->next)
        if (*at == ping) {
            *at = ping->next;
            return;
        }
}

static void ping_replied(void *arg, const redis_result *result)
{
    client_ping *ping = arg;
    asynq_error error = {0};
    ping->sent = false;
    if (result->outcome != REDIS_REPLIED && loop_steady_ms(ping->client->loop) < ping->give_up_at_ms)
        return; /* it stays in the list and is sent again */
    redis_result_check(result, &error);
    pings_remove(ping->client, ping);
    ping_finish(ping, error.code ? &error : NULL);
}

static void pings_pump(asynq_client *client)
{
    for (client_ping *ping = client->pings; ping; ping = ping->next)
        if (!ping->sent && redis_conn_is_ready(client->context.conn))
            ping->sent = redis_conn_commandf(client->context.conn, ping_replied, ping, 1, "PING") == ASYNQ_OK;
}

/* Ends pings that wait too long, or all that are not with Redis. */
static void pings_fail(asynq_client *client, int64_t now_ms, const asynq_error *error)
{
    for (client_ping **at = &client->pings; *at;) {
        client_ping *ping = *at;
        if (ping->sent || now_ms < ping->give_up_at_ms) {
            at = &ping->next;
            continue;
        }
        *at = ping->next;
        ping_finish(ping, error);
    }
}

static void client_resumed(void *arg)
{
    asynq_client *client = arg;
    client_pump(client);
    pings_pump(client);
}

static void client_ready(void *arg)
{
    asynq_client *client = arg;
    error_clear(&client->context.last_error);
    client_resumed(client);
}

static void client_down(void *arg, const asynq_error *error)
{
    asynq_client *client = arg;
    client->context.last_error = *error;
    if (!redis_error_is_final(error->code))
        return;
    for (lane *l = client->lanes; l; l = l->hh.next)
        lane_fail(l, error->code, error->text);
    pings_fail(client, INT64_MAX, error);
}

static void client_retry(void *arg)
{
    client_pump(arg);
}

static void client_retry_soon(void *arg)
{
    asynq_client *client = arg;
    if (!loop_timer_is_set(&client->retry))
        loop_timer_set(&client->retry, CLIENT_RETRY_MS);
}

static void client_tick(void *arg)
{
    asynq_client *client = arg;
    int64_t now_ms = loop_steady_ms(client->loop);
    lane *l, *next;
    HASH_ITER(hh, client->lanes, l, next) {
        lane_expire(l, now_ms);
        if (lane_is_idle(l) && now_ms - l->used_at_ms > CLIENT_LANE_IDLE_MS) {
            HASH_DEL(client->lanes, l);
            lane_free(l);
        }
    }
    asynq_error error;
    const asynq_error *last = &client->context.last_error;
    error_set(&error, ASYNQ_E_UNAVAILABLE, "Redis cannot be reached: %.200s", last->code ? last->text : "no answer");
    pings_fail(client, now_ms, &error);
    loop_timer_set(&client->tick, CLIENT_TICK_MS);
}

static void client_take_submitted(void *arg)
{
    asynq_client *client = arg;
    pthread_mutex_lock(&client->lock);
    lane_task *tasks = client->submitted;
    client->submitted = NULL;
    client->submitted_end = &client->submitted;
    client_ping *pings = client->pings_submitted;
    client->pings_submitted = NULL;
    bool is_over = client->stopping && !client->outstanding;
    pthread_mutex_unlock(&client->lock);

    while (pings) {
        client_ping *ping = pings;
        pings = ping->next;
        ping->next = client->pings;
        client->pings = ping;
    }
    while (tasks) {
        lane_task *task = tasks;
        tasks = task->next;
        lane *l = client_lane(client, task->plan.queue);
        if (l)
            lane_add(l, task);
        else
            lane_task_finish(task, ASYNQ_E_NO_MEMORY, asynq_status_text(ASYNQ_E_NO_MEMORY));
    }
    const asynq_error *last = &client->context.last_error;
    if (redis_error_is_final(last->code)) { /* the connection goes on trying; callers hear at once what is wrong */
        asynq_error error = *last;
        client_down(client, &error);
    }
    client_pump(client);
    pings_pump(client);
    if (is_over) {
        redis_conn_free(client->context.conn);
        client->context.conn = NULL;
        loop_stop(client->loop);
    }
}

static void *client_run(void *arg)
{
    asynq_client *client = arg;
    loop_timer_set(&client->tick, CLIENT_TICK_MS);
    loop_run(client->loop);
    return NULL;
}

/* ---- starting and ending ---- */

/* Under the lock, at the first use. */
static int client_start(asynq_client *client, asynq_error *error)
{
    client->loop = loop_new();
    if (!client->loop)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    loop_timer_init(client->loop, &client->tick, client_tick, client);
    loop_timer_init(client->loop, &client->retry, client_retry, client);
    int status = loop_waker_init(client->loop, &client->waker, client_take_submitted, client);
    if (status) {
        error_set(error, status, "cannot make an event descriptor; are too many files open?");
        goto fail;
    }
    client->context = (lane_context){
        .loop = client->loop,
        .client_id = client->options.no_memory_in_redis ? (bytes){0} : bytes_of(client->id),
        .retry_soon = client_retry_soon,
        .arg = client,
        .conn = redis_conn_new(&(redis_conn_options){
            .loop = client->loop,
            .uri = &client->uri,
            .log = &client->log,
            .name = "asynq-client",
            .events = {.ready = client_ready, .resumed = client_resumed, .down = client_down, .arg = client},
        }),
    };
    status = client->context.conn ? thread_start(&client->thread, client_run, client, error)
                                  : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status) {
        client->started = true;
        client->pid = getpid();
        return ASYNQ_OK;
    }
    redis_conn_free(client->context.conn);
    loop_waker_clear(&client->waker);
fail:
    loop_free(client->loop);
    client->loop = NULL;
    return status;
}

static int client_check_options(asynq_client_options *options, asynq_error *error)
{
    if (!options->redis)
        options->redis = CLIENT_DEFAULT_URI;
    if (!options->timeout_ms)
        options->timeout_ms = CLIENT_DEFAULT_TIMEOUT_MS;
    if (!options->most_waiting_bytes)
        options->most_waiting_bytes = CLIENT_DEFAULT_WAITING;
    if (options->timeout_ms < 0)
        return error_set(error, ASYNQ_E_INVALID, "timeout_ms of the client is negative");
    return ASYNQ_OK;
}

asynq_client *asynq_client_new(const asynq_client_options *options, asynq_error *error)
{
    error_clear(error);
    asynq_client *client = mem_calloc(1, sizeof *client);
    if (!client) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    int status = option_struct_import(&client->options, sizeof client->options, options, sizeof client->options,
                                      "asynq_client_options", error);
    if (!status)
        status = client_check_options(&client->options, error);
    if (!status)
        status = redis_uri_parse(&client->uri, client->options.redis, error);
    if (status) {
        mem_free(client);
        return NULL;
    }
    uuid_t random_id;
    uuid_generate_random(random_id);
    uuid_unparse_lower(random_id, client->id);
    log_init(&client->log, client->options.log, client->options.log_arg, client->options.log_level);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->changed, NULL);
    client->submitted_end = &client->submitted;
    return client;
}

void asynq_client_free(asynq_client *client)
{
    if (!client)
        return;
    bool is_ours = client->started && client->pid == getpid(); /* a forked child has no thread to wait for */
    if (is_ours)
        asynq_client_flush(client);
    if (is_ours) {
        pthread_mutex_lock(&client->lock);
        client->stopping = true;
        pthread_mutex_unlock(&client->lock);
        loop_waker_wake(&client->waker);
        pthread_join(client->thread, NULL);
        lane *l, *next;
        HASH_ITER(hh, client->lanes, l, next) {
            HASH_DEL(client->lanes, l);
            lane_free(l);
        }
        loop_waker_clear(&client->waker);
        loop_free(client->loop);
    }
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    log_clear(&client->log);
    redis_uri_clear(&client->uri);
    mem_free(client);
}

void asynq_client_flush(asynq_client *client)
{
    pthread_mutex_lock(&client->lock);
    while (client->outstanding)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

/* ---- calls ---- */

/*
 * A blocking call. It lives on its caller's stack, and its end wakes nobody else. A semaphore, because the caller may
 * return while the post is still under way, and because nobody woken by it runs into a lock that is still held.
 */
typedef struct client_request {
    asynq_client *client;
    sem_t done;
    pthread_mutex_t lock;    /* of what follows */
    asynq_enqueued *results; /* may be NULL */
    asynq_error error;       /* of the first task that failed */
    size_t first_failed;
    size_t left; /* tasks without outcome, and one for the caller as long as it submits */
} client_request;

static void request_note(client_request *request, size_t index, const asynq_enqueued *outcome)
{
    if (request->results)
        request->results[index] = *outcome;
    if (outcome->error.code && (!request->error.code || index < request->first_failed)) {
        request->error = outcome->error;
        request->first_failed = index;
    }
}

static void blocking_finished(lane_task *task)
{
    asynq_client *client = task->owner;
    client_request *request = task->cookie;
    pthread_mutex_lock(&request->lock);
    request_note(request, task->index, &task->plan.enqueued);
    bool is_last = --request->left == 0;
    pthread_mutex_unlock(&request->lock);
    if (is_last)
        sem_post(&request->done);
    client_count_down(client);
}

typedef struct async_call {
    asynq_enqueued_cb callback;
    void *arg;
} async_call;

static void async_finished(lane_task *task)
{
    asynq_client *client = task->owner;
    async_call *call = task->cookie;
    if (call->callback)
        call->callback(&task->plan.enqueued, call->arg);
    mem_free(call);
    client->waiting_bytes -= task->plan.storage.length;
    client_count_down(client);
}

/* Under the lock: starts the client if need be, and refuses calls that could never end. */
static int client_check_usable(asynq_client *client, bool is_blocking, asynq_error *error)
{
    if (client->stopping)
        return error_set_code(error, ASYNQ_E_CLOSED);
    if (!client->started)
        return client_start(client, error);
    if (client->pid != getpid())
        return error_set(error, ASYNQ_E_STATE, "this client was used before a fork; make a new one in the child");
    if (is_blocking && pthread_equal(pthread_self(), client->thread))
        return error_set(error, ASYNQ_E_STATE,
                         "a blocking call from the client's own callback would never end; use asynq_enqueue_async");
    return ASYNQ_OK;
}

/* Under the lock. Takes the list over on success. */
static void client_submit(asynq_client *client, lane_task *first, lane_task **end, size_t count)
{
    *client->submitted_end = first;
    client->submitted_end = end;
    client->outstanding += count;
}

static lane_task *client_plan(asynq_client *client, const asynq_task *given, const asynq_task_options *overrides,
                              asynq_error *error)
{
    asynq_task task;
    asynq_task_options options;
    lane_task *planned = NULL;
    int status = given ? option_struct_import(&task, sizeof task, given, sizeof task, "asynq_task", error) : ASYNQ_OK;
    if (!status)
        status = option_struct_import(&options, sizeof options, overrides, sizeof options, "asynq_task_options", error);
    if (!status) {
        planned = lane_task_new();
        status = planned ? task_plan_make(&planned->plan, given ? &task : NULL, &options, clock_now_ns(), error)
                         : error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (status) {
        mem_free(planned);
        return NULL;
    }
    planned->owner = client;
    planned->give_up_at_ms = clock_steady_ms() + client->options.timeout_ms;
    return planned;
}

/* These tasks could not be handed over: each reports why. */
static void request_refuse(client_request *request, lane_task *first, const asynq_error *error)
{
    while (first) {
        lane_task *task = first;
        first = task->next;
        task->plan.enqueued.error = *error;
        request_note(request, task->index, &task->plan.enqueued);
        lane_task_free(task);
        request->left--;
    }
}

/* Hands tasks over to the client's thread. */
static void request_submit(client_request *request, lane_task *first, lane_task **end, size_t count)
{
    asynq_client *client = request->client;
    asynq_error error;
    pthread_mutex_lock(&request->lock);
    request->left += count;
    pthread_mutex_unlock(&request->lock);
    pthread_mutex_lock(&client->lock);
    int status = client_check_usable(client, true, &error);
    if (!status)
        client_submit(client, first, end, count);
    pthread_mutex_unlock(&client->lock);
    if (!status) {
        loop_waker_wake(&client->waker);
        return;
    }
    pthread_mutex_lock(&request->lock);
    request_refuse(request, first, &error);
    pthread_mutex_unlock(&request->lock);
}

static void request_wait(client_request *request)
{
    pthread_mutex_lock(&request->lock);
    bool has_ended = --request->left == 0;
    pthread_mutex_unlock(&request->lock);
    while (!has_ended && sem_wait(&request->done) != 0)
        continue; /* a signal came */
    sem_destroy(&request->done);
    pthread_mutex_destroy(&request->lock);
}

/* One task of a request; NULL if it is wrong, which is noted. */
static lane_task *request_plan(client_request *request, size_t index, const asynq_task *task,
                               const asynq_task_options *options)
{
    asynq_enqueued failed = {0};
    lane_task *planned = client_plan(request->client, task, options, &failed.error);
    if (planned) {
        planned->finished = blocking_finished;
        planned->cookie = request;
        planned->index = index;
    } else {
        pthread_mutex_lock(&request->lock);
        request_note(request, index, &failed);
        pthread_mutex_unlock(&request->lock);
    }
    return planned;
}

int asynq_enqueue_batch(asynq_client *client, const asynq_task *tasks, size_t count, const asynq_task_options *options,
                        asynq_enqueued *results, asynq_error *error)
{
    error_clear(error);
    client_request request = {.client = client, .results = results, .left = 1};
    pthread_mutex_init(&request.lock, NULL);
    sem_init(&request.done, 0, 0);
    size_t stride = count ? option_struct_size(tasks, sizeof *tasks) : 0;
    for (size_t i = 0; i < count;) {
        /* A chunk at a time: Redis works on it while we plan the next one. */
        lane_task *first = NULL, **end = &first;
        size_t planned = 0;
        for (; i < count && planned < BROKER_CHUNK_TASKS; i++) {
            lane_task *task =
                request_plan(&request, i, (const asynq_task *)((const char *)tasks + i * stride), options);
            if (!task)
                continue;
            *end = task;
            end = &task->next;
            planned++;
        }
        if (planned)
            request_submit(&request, first, end, planned);
    }
    request_wait(&request);
    if (request.error.code && error)
        *error = request.error;
    return request.error.code;
}

int asynq_enqueue(asynq_client *client, const asynq_task *task, const asynq_task_options *options,
                  asynq_enqueued *result, asynq_error *error)
{
    if (!task)
        return error_set(error, ASYNQ_E_INVALID, "task cannot be nil");
    return asynq_enqueue_batch(client, task, 1, options, result, error);
}

int asynq_enqueue_async(asynq_client *client, const asynq_task *task, const asynq_task_options *options,
                        asynq_enqueued_cb callback, void *arg, asynq_error *error)
{
    asynq_error unasked;
    error = error ? error : &unasked;
    error_clear(error);
    lane_task *planned = client_plan(client, task, options, error);
    if (!planned)
        return error->code;
    async_call *call = mem_alloc(sizeof *call);
    if (!call) {
        lane_task_free(planned);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    *call = (async_call){callback, arg};
    planned->finished = async_finished;
    planned->cookie = call;

    size_t size = planned->plan.storage.length;
    pthread_mutex_lock(&client->lock);
    int status = client_check_usable(client, false, error);
    if (!status && client->waiting_bytes && client->waiting_bytes + size > client->options.most_waiting_bytes)
        status = error_set(error, ASYNQ_E_BUSY, "%zu bytes of tasks wait for Redis already; try again later",
                           client->waiting_bytes);
    if (!status) {
        client_submit(client, planned, &planned->next, 1);
        client->waiting_bytes += size;
    }
    pthread_mutex_unlock(&client->lock);
    if (!status) {
        loop_waker_wake(&client->waker);
        return ASYNQ_OK;
    }
    mem_free(call);
    lane_task_free(planned);
    return status;
}

int asynq_client_ping(asynq_client *client, asynq_error *error)
{
    error_clear(error);
    client_ping ping = {.client = client, .give_up_at_ms = clock_steady_ms() + client->options.timeout_ms};
    pthread_mutex_lock(&client->lock);
    int status = client_check_usable(client, true, &ping.error);
    if (!status) {
        ping.next = client->pings_submitted;
        client->pings_submitted = &ping;
        client->outstanding++;
        loop_waker_wake(&client->waker);
        while (!ping.done)
            pthread_cond_wait(&client->changed, &client->lock);
        status = ping.error.code;
    }
    pthread_mutex_unlock(&client->lock);
    if (status && error)
        *error = ping.error;
    return status;
}
