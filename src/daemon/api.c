/*
 * See api.h. The tasks of a request go to the client one by one, which sends them together with those of others; their
 * outcomes come back in the client's thread, and the last one wakes the loop.
 */
#include "daemon/api.h"

#include "base/alloc.h"
#include "base/error.h"
#include "client/task_option.h"
#include "daemon/api_policy.h"
#include "daemon/api_task.h"
#include "daemon/meters.h"
#include "event/waker.h"

#include <asynq/client.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One task of a request. */
typedef struct posted_task {
    struct posting *posting;
    api_task own;
    asynq_enqueued result;
} posted_task;

/* A request. */
typedef struct posting {
    api *owner;
    endpoint_request *request;
    json_t *body; /* texts of the tasks point into it */
    posted_task *tasks;
    size_t count;
    bool is_batch;
    size_t left;          /* under the api's lock */
    api_policy_wait wait; /* until it is known who serves its queues */
    struct posting *next;
} posting;

struct api {
    api_options options;
    asynq_client *client;
    api_policy *policy;
    loop_waker finished_waker;
    pthread_mutex_t lock;
    posting *finished;
    size_t open; /* requests under way; the loop's */
    bool is_ending;
};

static void posting_free(posting *own)
{
    for (size_t i = 0; i < own->count; i++)
        api_task_clear(&own->tasks[i].own);
    mem_free(own->tasks);
    json_decref(own->body);
    mem_free(own);
}

/* ---- answers ---- */

typedef struct status_row {
    int code, status;
    const char *name;
} status_row;

static const status_row status_rows[] = {
    {ASYNQ_OK, 201, "created"},
    {ASYNQ_E_CONFLICT, 200, "exists"}, /* a repeat of the same request is no error */
    {ASYNQ_E_DUPLICATE, 409, "duplicate"},
    {ASYNQ_E_INVALID, 400, "invalid"},
    {ASYNQ_E_BUSY, 503, "busy"},
    {ASYNQ_E_OUTCOME_UNKNOWN, 504, "unknown"},
    {ASYNQ_E_REDIS_FULL, 507, "redis_full"},
};

static const status_row *find_status(int code)
{
    static const status_row other = {0, 503, "unavailable"};
    for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++)
        if (status_rows[i].code == code)
            return &status_rows[i];
    return &other;
}

static const char *state_name(asynq_state state)
{
    switch (state) {
    case ASYNQ_STATE_SCHEDULED:
        return "scheduled";
    case ASYNQ_STATE_AGGREGATING:
        return "aggregating";
    default:
        return "pending";
    }
}

static const char *queue_of(const posted_task *posted)
{
    return posted->own.task.options.queue ? posted->own.task.options.queue : "default";
}

static json_t *describe(const posted_task *posted)
{
    const asynq_enqueued *result = &posted->result;
    const status_row *row = find_status(result->error.code);
    const api_policy *policy = posted->posting->owner->policy;
    json_t *object = json_pack("{s:s, s:s}", "result", row->name, "queue", queue_of(posted));
    if (*result->id)
        json_object_set_new(object, "id", json_string(result->id));
    else if (posted->own.task.options.id)
        json_object_set_new(object, "id", json_string(posted->own.task.options.id));
    if (result->error.code)
        json_object_set_new(object, "error", json_string(result->error.text));
    else
        json_object_set_new(object, "state", json_string(state_name(result->state)));
    json_t *warnings = row->status < 300 ? api_policy_warnings(policy, queue_of(posted), posted->own.task.type) : NULL;
    if (warnings)
        json_object_set_new(object, "warnings", warnings);
    return object;
}

static void reply_json(endpoint_request *request, int status, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (text)
        endpoint_reply(request, status, "application/json", bytes_of(text));
    else
        endpoint_reply_error(request, 500, "out of memory");
    free(text);
}

static void answer(posting *own)
{
    api *a = own->owner;
    int worst = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < own->count; i++) {
        const status_row *row = find_status(own->tasks[i].result.error.code);
        metrics_add(a->options.meters, METER_ENQUEUED, &row->name, 1);
        worst = row->status > worst ? row->status : worst;
        json_array_append_new(list, describe(&own->tasks[i]));
    }
    if (own->is_batch) {
        reply_json(own->request, worst < 300 ? worst : 207, json_pack("{s:o}", "tasks", list));
    } else {
        reply_json(own->request, worst, json_incref(json_array_get(list, 0)));
        json_decref(list);
    }
    a->open--;
    posting_free(own);
}

static void servers_are_known(api_policy_wait *wait)
{
    answer((posting *)(void *)((char *)wait - offsetof(posting, wait)));
}

/* Something is in a queue of which it is not known who serves it. */
static bool must_ask(posting *own)
{
    const api_policy *policy = own->owner->policy;
    own->wait.cb = servers_are_known;
    for (size_t i = 0; i < own->count; i++)
        if (find_status(own->tasks[i].result.error.code)->status < 300 &&
            api_policy_must_ask(policy, queue_of(&own->tasks[i])))
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
        if (!a->is_ending && must_ask(own))
            api_policy_ask(a->policy, &own->wait);
        else
            answer(own);
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

static void post(posting *own)
{
    api *a = own->owner;
    a->open++;
    own->left = own->count + 1; /* the last is ours, so that it does not finish before all are sent */
    for (size_t i = 0; i < own->count; i++) {
        posted_task *posted = &own->tasks[i];
        asynq_error error;
        int status = asynq_enqueue_async(a->client, &posted->own.task, NULL, enqueued, posted, &error);
        if (!status)
            continue;
        task_options_reword(&error, false);
        posted->result.error = error;
        count_down(own);
    }
    count_down(own);
}

/* Nothing is enqueued if one of the tasks cannot be read. */
static bool read_tasks(posting *own, json_t *list, const bytes *written, asynq_error *error)
{
    size_t count = own->is_batch ? json_array_size(list) : 1;
    own->tasks = mem_calloc(count + 1, sizeof *own->tasks);
    if (!own->tasks)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), false;
    own->count = count;
    for (size_t i = 0; i < count; i++) {
        asynq_error problem;
        api_task *task = &own->tasks[i].own;
        own->tasks[i].posting = own;
        task->written = written[i];
        if (api_task_read(task, own->is_batch ? json_array_get(list, i) : list, &problem) &&
            api_policy_admit(own->owner->policy, &task->task, &problem))
            continue;
        if (own->is_batch)
            return error_set(error, problem.code, "tasks[%zu]: %s", i, problem.text), false;
        *error = problem;
        return false;
    }
    return true;
}

static bool is_json(const endpoint_request *request)
{
    const char *type = endpoint_header(request, "Content-Type");
    return type && strncasecmp(type, "application/json", 16) == 0 && (!type[16] || type[16] == ';' || type[16] == ' ');
}

/* True: it has been answered. */
static bool refuse_form(endpoint_request *request)
{
    const char *coding = endpoint_header(request, "Content-Encoding");
    if (!is_json(request))
        endpoint_reply_error(request, 415, "the body must be of type application/json");
    else if (coding && strcasecmp(coding, "identity") != 0)
        endpoint_reply_error(request, 415, "Content-Encoding: %.100s is not understood; send the body as it is",
                             coding);
    else
        return false;
    return true;
}

static void reply_unreadable(endpoint_request *request, const json_error_t *where)
{
    bool is_nul = json_error_code(where) == json_error_null_character;
    endpoint_reply_error(request, 400, "line %d, column %d: %s", where->line, where->column,
                         is_nul ? "a text has a NUL character, which only a payload can have" : where->text);
}

static int refusal_status(int code)
{
    return code == ASYNQ_E_INVALID ? 400 : code == ASYNQ_E_STATE ? 403 : 503; /* the second: by the policy */
}

void api_post_tasks(api *a, endpoint_request *request)
{
    json_error_t where;
    asynq_error error;
    bytes body = endpoint_body(request);
    if (refuse_form(request))
        return;
    bytes written[API_MAX_TASKS + 1] = {0};
    char *copy = api_cut_payloads(body, written);
    json_t *document = copy ? json_loadb(copy, body.length, JSON_REJECT_DUPLICATES, &where) : NULL;
    mem_free(copy);
    if (!copy) {
        endpoint_reply_error(request, 503, "out of memory");
        return;
    }
    if (!document) {
        reply_unreadable(request, &where);
        return;
    }
    json_t *list = json_is_array(document) ? document : json_object_get(document, "tasks");
    if (list && (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > API_MAX_TASKS)) {
        endpoint_reply_error(request, json_array_size(list) > API_MAX_TASKS ? 413 : 400,
                             "tasks: is no list of 1 to %d tasks", API_MAX_TASKS);
        json_decref(document);
        return;
    }
    posting *own = mem_calloc(1, sizeof *own);
    if (!own) {
        json_decref(document);
        endpoint_reply_error(request, 503, "out of memory");
        return;
    }
    *own = (posting){.owner = a, .request = request, .body = document, .is_batch = list != NULL};
    if (read_tasks(own, list ? list : document, written, &error)) {
        post(own);
        return;
    }
    endpoint_reply_error(request, refusal_status(error.code), "%s", error.text);
    posting_free(own);
}

/* ---- making ---- */

api *api_new(const api_options *options, asynq_error *error)
{
    api *a = mem_calloc(1, sizeof *a);
    if (!a)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    a->options = *options;
    pthread_mutex_init(&a->lock, NULL);
    a->finished_waker.fd = -1;
    a->policy = api_policy_new(&(api_policy_options){options->observer, options->work, options->routes});
    a->client = asynq_client_new(&(asynq_client_options){ASYNQ_CLIENT_OPTIONS_INIT, .redis = options->redis}, error);
    if (a->client && a->policy && !loop_waker_init(options->loop, &a->finished_waker, finished, a))
        return a;
    if (a->client)
        error_set_code(error, a->policy ? ASYNQ_E_SYSTEM : ASYNQ_E_NO_MEMORY);
    api_free(a);
    return NULL;
}

void api_free(api *a)
{
    if (!a)
        return;
    a->is_ending = true;
    asynq_client_free(a->client); /* all have their outcome now */
    if (a->finished_waker.fd >= 0)
        finished(a);
    loop_waker_clear(&a->finished_waker);
    api_policy_free(a->policy);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}
