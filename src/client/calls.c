/* Enqueueing: what callers do, each on its own thread. */
#include "client/client.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"

#include <semaphore.h>
#include <stdatomic.h>

/*
 * A blocking call. It lives on its caller's stack, and its end wakes nobody else. A semaphore, because the caller may
 * return while the post is still under way, and because nobody woken by it runs into a lock that is still held.
 */
typedef struct client_request {
    asynq_client *client;
    sem_t done;
    pthread_mutex_t lock;    /* of what follows */
    asynq_enqueued *results; /* may be NULL */
    int64_t timeout_ms;
    asynq_error error; /* of the first task that failed */
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

static lane_task *client_plan(asynq_client *client, const asynq_task *given, const asynq_task_options *overrides,
                              int64_t timeout_ms, asynq_error *error)
{
    static const asynq_task_options none;
    lane_task *planned = NULL;
    /* First of all: a child of a fork may find locks taken for ever. */
    int status = engine_check_process(&client->engine, "client", error);
    if (!status) {
        planned = lane_task_new();
        status = planned ? task_plan_make(&planned->plan, &client->space, given, overrides ? overrides : &none,
                                          clock_now_ns(), error)
                         : error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (status) {
        mem_free(planned);
        return NULL;
    }
    planned->owner = client;
    planned->submitted_at_ms = clock_steady_ms();
    planned->give_up_at_ms = saturating_add(planned->submitted_at_ms, timeout_ms);
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
static void request_submit(client_request *request, lane_task *first, size_t count)
{
    asynq_client *client = request->client;
    asynq_error error;
    int status = client_check_usable(client, true, &error);
    pthread_mutex_lock(&request->lock);
    request->left += count;
    if (status)
        request_refuse(request, first, &error);
    pthread_mutex_unlock(&request->lock);
    if (!status)
        courier_submit(client, first, count);
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
    lane_task *planned = client_plan(request->client, task, options, request->timeout_ms, &failed.error);
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

int asynq_enqueue_within(asynq_client *client, const asynq_task *tasks, size_t count, const asynq_task_options *options,
                         int64_t timeout_ms, asynq_enqueued *results, asynq_error *error)
{
    error_clear(error);
    client_request request = {.client = client, .results = results, .left = 1};
    request.timeout_ms = timeout_ms > 0 ? timeout_ms : client->options.timeout_ms;
    pthread_mutex_init(&request.lock, NULL);
    sem_init(&request.done, 0, 0);
    for (size_t i = 0; i < count;) {
        /* A chunk at a time: Redis works on it while we plan the next one. */
        lane_task *first = NULL, **end = &first;
        size_t planned = 0;
        for (; i < count && planned < BROKER_CHUNK_TASKS; i++) {
            lane_task *task = request_plan(&request, i, &tasks[i], options);
            if (!task)
                continue;
            *end = task;
            end = &task->next;
            planned++;
        }
        if (planned)
            request_submit(&request, first, planned);
    }
    request_wait(&request);
    return request.error.code ? error_set(error, request.error.code, "%s", request.error.text) : ASYNQ_OK;
}

int asynq_enqueue_batch(asynq_client *client, const asynq_task *tasks, size_t count, const asynq_task_options *options,
                        asynq_enqueued *results, asynq_error *error)
{
    return asynq_enqueue_within(client, tasks, count, options, 0, results, error);
}

int asynq_enqueue(asynq_client *client, const asynq_task *task, const asynq_task_options *options,
                  asynq_enqueued *result, asynq_error *error)
{
    if (!task)
        return error_set(error, ASYNQ_E_INVALID, "task cannot be nil");
    return asynq_enqueue_batch(client, task, 1, options, result, error);
}

/* Counts the bytes of an asynchronous call among those that wait, unless they are too many already. */
static int client_make_room(asynq_client *client, size_t size, asynq_error *error)
{
    size_t before = atomic_fetch_add(&client->waiting_bytes, size);
    if (!before || before + size <= client->options.max_waiting_bytes)
        return ASYNQ_OK;
    client->waiting_bytes -= size;
    return error_set(error, ASYNQ_E_BUSY, "%zu bytes of tasks wait for Redis already; try again later", before);
}

int asynq_enqueue_async(asynq_client *client, const asynq_task *task, const asynq_task_options *options,
                        asynq_enqueued_cb callback, void *arg, asynq_error *error)
{
    asynq_error unasked;
    error = error ? error : &unasked;
    error_clear(error);
    lane_task *planned = client_plan(client, task, options, client->options.timeout_ms, error);
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

    int status = client_check_usable(client, false, error);
    if (!status)
        status = client_make_room(client, planned->plan.storage.length, error);
    if (!status) {
        courier_submit(client, planned, 1);
        return ASYNQ_OK;
    }
    mem_free(call);
    lane_task_free(planned);
    return status;
}
