/*
 * See api.h. The way of a request, whose body may be large: what takes its time is done by a thread.
 *
 *     the loop                      the thread
 *     api_post_tasks() -----------> posting_read()
 *     posting_was_read() ---------> posting_send(), to the client, which sends tasks of many requests together
 *     finished(), after the last outcome; perhaps Redis is asked who serves the queues
 *     posting_answer() -----------> posting_describe()
 *     posting_reply()
 */
#include "daemon/api.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"
#include "client/task_option.h"
#include "daemon/api_answer.h"
#include "daemon/api_body.h"
#include "daemon/api_policy.h"
#include "daemon/meters.h"
#include "event/errands.h"
#include "event/waker.h"

#include <asynq/client.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Bodies up to this size need a few milliseconds, and do not wait for larger ones. */
enum { API_SMALL_BODY = 65536, API_SMALL = 0, API_LARGE = 1, API_THREADS = 2 };

/* One task of a request. */
typedef struct posted_task {
    struct posting *posting;
    api_task own;
    bool has_route;
    name_entry *place; /* as the policy has it */
    api_doubt doubt;
    asynq_enqueued result;
} posted_task;

/* A request. */
typedef struct posting {
    errand errand; /* what the thread does for it */
    api *owner;
    errands *thread;
    endpoint_request *request;
    config *config;      /* as of its coming; held */
    endpoint_body *text; /* payloads of the tasks point into it */
    api_body body;       /* and their other texts into this */
    int refusal;         /* HTTP status, with `error`; 0: it is read */
    asynq_error error;
    posted_task *tasks;
    size_t count;         /* that are read */
    size_t left;          /* under the api's lock */
    api_policy_wait wait; /* until it is known who serves its queues */
    int status;           /* of the answer */
    char *answer;
    struct posting *next;
} posting;

struct api {
    api_options options;
    asynq_client *client;
    api_policy *policy;
    errands *threads[API_THREADS]; /* for small bodies, and for large ones */
    loop_waker finished_waker;
    pthread_mutex_t lock;
    posting *finished;
    bool is_ending;
};

static posting *posting_of(errand *one)
{
    return container_of(one, posting, errand);
}

/* ---- the end of a request ---- */

/* Frees what may be large. */
static void posting_clear(errand *one)
{
    posting *own = posting_of(one);
    for (size_t i = 0; i < own->count; i++)
        api_task_clear(&own->tasks[i].own);
    mem_free(own->tasks);
    own->tasks = NULL;
    own->count = 0;
    api_body_clear(&own->body);
    endpoint_body_free(own->text);
    own->text = NULL;
}

static void posting_free(errand *one)
{
    posting *own = posting_of(one);
    posting_clear(one); /* if the thread has not */
    config_free(own->config);
    mem_free(own);
}

/* It has been answered. */
static void posting_end(posting *own)
{
    own->errand = (errand){.run = posting_clear, .done = posting_free};
    if (own->owner->is_ending || !errands_send(own->thread, &own->errand))
        posting_free(&own->errand);
}

/* ---- answers ---- */

static const char *api_queue_of(const posted_task *posted)
{
    return posted->own.task.options.queue ? posted->own.task.options.queue : "default";
}

static bool api_is_good(const posted_task *posted)
{
    return api_status_is_good(api_status_of(posted->result.error.code));
}

static json_t *api_describe(const posted_task *posted)
{
    return api_answer_describe(&(api_answer){&posted->own.task, api_queue_of(posted), &posted->result, posted->doubt});
}

static json_t *describe_list(const posting *own)
{
    json_t *list = json_array();
    for (size_t i = 0; i < own->count; i++)
        json_array_append_new(list, api_describe(&own->tasks[i]));
    return json_pack("{s:o}", "tasks", list);
}

/* Thread: the posting's. What was read is not needed afterwards. */
static void posting_describe(errand *one)
{
    posting *own = posting_of(one);
    json_t *document = own->body.list ? describe_list(own) : api_describe(own->tasks);
    own->answer = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    posting_clear(one);
}

static void posting_reply(errand *one)
{
    posting *own = posting_of(one);
    if (own->answer)
        endpoint_reply(own->request, own->status, "application/json", bytes_of(own->answer));
    else
        endpoint_reply_error(own->request, 500, "out of memory");
    free(own->answer);
    posting_free(one);
}

/* What came of all of them goes into the books. */
static void note_results(posting *own)
{
    api *a = own->owner;
    for (size_t i = 0; i < own->count; i++) {
        posted_task *posted = &own->tasks[i];
        const api_status *row = api_status_of(posted->result.error.code);
        metrics_add(a->options.meters, METER_ENQUEUED, &row->name, 1);
        own->status = row->status > own->status ? row->status : own->status;
        api_policy_arrive(a->policy, posted->place, api_status_is_good(row) || row->code == ASYNQ_E_OUTCOME_UNKNOWN);
        posted->doubt = api_policy_doubt(a->policy, api_queue_of(posted), posted->has_route);
    }
    if (own->body.list && own->status >= 300)
        own->status = 207;
}

static void posting_answer(posting *own)
{
    note_results(own);
    own->errand = (errand){.run = posting_describe, .done = posting_reply};
    if (own->owner->is_ending || !errands_send(own->thread, &own->errand))
        posting_reply(&own->errand);
}

static void api_servers_are_known(api_policy_wait *wait)
{
    posting_answer(container_of(wait, posting, wait));
}

/* Something is in a queue of which it is not known who serves it. */
static bool must_ask(const posting *own)
{
    api_policy *policy = own->owner->policy;
    for (size_t i = 0; i < own->count; i++)
        if (api_is_good(&own->tasks[i]) && api_policy_must_ask(policy, api_queue_of(&own->tasks[i])))
            return true;
    return false;
}

static void finished(void *arg)
{
    api *a = arg;
    pthread_mutex_lock(&a->lock);
    posting *list = a->finished;
    a->finished = NULL;
    pthread_mutex_unlock(&a->lock);
    while (list) {
        posting *own = list;
        list = own->next;
        own->wait.cb = api_servers_are_known;
        if (!a->is_ending && must_ask(own))
            api_policy_ask(a->policy, &own->wait);
        else
            posting_answer(own);
    }
}

/* One task fewer to wait for. Thread: any. */
static void count_down(posting *own)
{
    api *a = own->owner;
    pthread_mutex_lock(&a->lock);
    bool is_last = --own->left == 0;
    if (is_last) {
        own->next = a->finished;
        a->finished = own;
        loop_waker_wake(&a->finished_waker);
    }
    pthread_mutex_unlock(&a->lock);
}

static void enqueued(const asynq_enqueued *result, void *arg)
{
    posted_task *posted = arg;
    posted->result = *result;
    count_down(posted->posting);
}

/* ---- the request ---- */

static int refusal_status(int code)
{
    return code == ASYNQ_E_INVALID ? 400 : code == ASYNQ_E_STATE ? 403 : 503; /* the second: by the policy */
}

/* Returns false. */
static bool posting_refuse(posting *own, size_t index, const asynq_error *problem)
{
    own->refusal = refusal_status(problem->code);
    own->error = *problem;
    if (own->body.list)
        error_set(&own->error, problem->code, "tasks[%zu]: %s", index, problem->text);
    return false;
}

static bool api_read_task(posting *own, size_t i)
{
    asynq_error problem;
    posted_task *posted = &own->tasks[i];
    posted->posting = own;
    posted->own.written = own->body.written[i];
    own->count = i + 1;
    return (api_task_read(&posted->own, api_body_task(&own->body, i), &problem) &&
            api_policy_allows(own->owner->policy, own->config, &posted->own.task, &posted->has_route, &problem)) ||
           posting_refuse(own, i, &problem);
}

/* Thread: the posting's. Nothing is enqueued if one of the tasks cannot be read. */
static void posting_read(errand *one)
{
    posting *own = posting_of(one);
    own->refusal = api_body_read(&own->body, endpoint_body_join(own->text), &own->error);
    if (own->refusal)
        return;
    own->tasks = mem_calloc(own->body.count, sizeof *own->tasks);
    if (!own->tasks) {
        own->refusal = 503;
        error_set_code(&own->error, ASYNQ_E_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < own->body.count && api_read_task(own, i); i++)
        continue;
}

/* Thread: the posting's. The client copies what it sends. */
static void posting_send(errand *one)
{
    posting *own = posting_of(one);
    pthread_mutex_lock(&own->owner->lock);
    own->left += own->count;
    pthread_mutex_unlock(&own->owner->lock);
    for (size_t i = 0; i < own->count; i++) {
        posted_task *posted = &own->tasks[i];
        asynq_error error;
        int status = asynq_enqueue_async(own->owner->client, &posted->own.task, NULL, enqueued, posted, &error);
        if (!status)
            continue;
        task_options_reword(&error, false);
        posted->result.error = error;
        count_down(own);
    }
}

static void posting_was_sent(errand *one)
{
    count_down(posting_of(one));
}

/* Has the policy know of all of them, or of none. */
static bool ask_policy(posting *own)
{
    asynq_error problem;
    api_policy *policy = own->owner->policy;
    for (size_t i = 0; i < own->count; i++) {
        if (api_policy_send(policy, api_queue_of(&own->tasks[i]), &own->tasks[i].place, &problem))
            continue;
        posting_refuse(own, i, &problem);
        while (i-- > 0)
            api_policy_arrive(policy, own->tasks[i].place, false);
        return false;
    }
    return true;
}

static void posting_was_read(errand *one)
{
    posting *own = posting_of(one);
    if (!own->refusal && ask_policy(own)) {
        own->left = 1; /* that is ours, so that it does not finish before all are sent */
        own->errand = (errand){.run = posting_send, .done = posting_was_sent};
        if (errands_send(own->thread, &own->errand))
            return;
    }
    endpoint_reply_error(own->request, own->refusal, "%s", own->error.text);
    posting_end(own);
}

static bool api_is_json(const endpoint_request *request)
{
    const char *type = endpoint_header(request, "Content-Type");
    return type && strncasecmp(type, "application/json", 16) == 0 && (!type[16] || type[16] == ';' || type[16] == ' ');
}

/* True: it has been answered. */
static bool refuse_form(endpoint_request *request)
{
    const char *coding = endpoint_header(request, "Content-Encoding");
    if (!api_is_json(request))
        endpoint_reply_error(request, 415, "the body must be of type application/json");
    else if (coding && strcasecmp(coding, "identity") != 0)
        endpoint_reply_error(request, 415, "Content-Encoding: %.100s is not understood; send the body as it is",
                             coding);
    else
        return false;
    return true;
}

void api_post_tasks(api *a, endpoint_request *request)
{
    if (refuse_form(request))
        return;
    endpoint_body *text = endpoint_take_body(request);
    posting *own = text ? mem_calloc(1, sizeof *own) : NULL;
    if (!own) {
        endpoint_body_free(text);
        endpoint_reply_error(request, 503, "out of memory");
        return;
    }
    bool is_small = endpoint_body_length(text) <= API_SMALL_BODY;
    own->owner = a;
    own->thread = a->threads[is_small ? API_SMALL : API_LARGE];
    own->request = request;
    own->config = work_hold_config(a->options.work);
    own->text = text;
    own->errand = (errand){.run = posting_read, .done = posting_was_read};
    if (errands_send(own->thread, &own->errand))
        return;
    endpoint_reply_error(request, 503, "asynqd is stopping");
    posting_end(own);
}

/* ---- making ---- */

static int api_start_parts(api *a, asynq_error *error)
{
    const api_options *o = &a->options;
    a->policy = api_policy_new(&(api_policy_options){o->observer, o->work, o->routes});
    if (!a->policy)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    a->client =
        asynq_client_new(&(asynq_client_options){.redis = o->config->redis_uri,
                                                 .prefix = o->config->prefix,
                                                 .replicas = (int)o->config->endpoints.replicas,
                                                 .replicas_timeout_ms = o->config->endpoints.replicas_timeout_ms,
                                                 .fsync = o->config->endpoints.fsync},
                         error);
    if (!a->client)
        return error->code;
    for (size_t i = 0; i < API_THREADS; i++)
        if (!(a->threads[i] = errands_new(o->loop, error)))
            return error->code;
    int status = loop_waker_init(o->loop, &a->finished_waker, finished, a);
    return status ? error_set_code(error, status) : ASYNQ_OK;
}

api *api_new(const api_options *options, asynq_error *error)
{
    api *a = mem_calloc(1, sizeof *a);
    if (!a)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    a->options = *options;
    pthread_mutex_init(&a->lock, NULL);
    a->finished_waker.fd = -1;
    if (!api_start_parts(a, error))
        return a;
    api_free(a);
    return NULL;
}

void api_free(api *a)
{
    if (!a)
        return;
    a->is_ending = true;
    for (size_t i = 0; i < API_THREADS; i++)
        errands_free(a->threads[i]); /* before the client, to which they send */
    asynq_client_free(a->client);    /* all have their outcome now */
    if (a->finished_waker.fd >= 0)
        finished(a);
    loop_waker_clear(&a->finished_waker);
    api_policy_free(a->policy);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}
