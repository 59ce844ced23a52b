/*
 * See api.h. The tasks of a request go to the client one by one, which sends them together with those of others; their
 * outcomes come back in the client's thread, and the last one wakes the loop.
 */
#include "daemon/api.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/saturate.h"
#include "client/task_option.h"
#include "daemon/meters.h"
#include "event/waker.h"
#include "wire/base64.h"

#include <asynq/client.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TASKS = 1000, MOST_HEADERS = 100 };

/* One task of a request. */
typedef struct posted_task {
    struct posting *posting;
    asynq_task task;
    asynq_header headers[MOST_HEADERS];
    bytes written; /* the payload in the request; data NULL: there is none */
    unsigned char *bytes;
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
    size_t left; /* under the api's lock */
    struct posting *next;
} posting;

struct api {
    asynq_client *client;
    metrics *meters;
    loop_waker finished_waker;
    pthread_mutex_t lock;
    posting *finished;
    size_t open; /* requests under way; the loop's */
};

static void posting_free(posting *own)
{
    for (size_t i = 0; i < own->count; i++)
        mem_free(own->tasks[i].bytes);
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

static json_t *describe(const posted_task *posted)
{
    const asynq_enqueued *result = &posted->result;
    const status_row *row = find_status(result->error.code);
    const char *queue = posted->task.options.queue ? posted->task.options.queue : "default";
    json_t *object = json_pack("{s:s, s:s}", "result", row->name, "queue", queue);
    if (*result->id)
        json_object_set_new(object, "id", json_string(result->id));
    else if (posted->task.options.id)
        json_object_set_new(object, "id", json_string(posted->task.options.id));
    if (result->error.code)
        json_object_set_new(object, "error", json_string(result->error.text));
    else
        json_object_set_new(object, "state", json_string(state_name(result->state)));
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
        metrics_add(a->meters, METER_ENQUEUED, &row->name, 1);
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

/* ---- reading a task ---- */

static const char *const other_members[] = {"type", "payload", "payload_base64", "headers"};

enum { OTHERS = sizeof other_members / sizeof *other_members };

static bool read_text(const char *name, json_t *value, const char **text, asynq_error *error)
{
    *text = json_string_value(value);
    return (*text && strlen(*text) == json_string_length(value)) ||
           (error_set(error, ASYNQ_E_INVALID, "%s: is not a text", name), false);
}

static bool read_count(json_t *value, int64_t *number)
{
    *number = json_integer_value(value);
    return json_is_integer(value) && *number >= 0 && *number <= INT32_MAX;
}

static bool read_duration(json_t *value, int64_t *ms)
{
    const char *text = json_string_value(value);
    if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) >= 9e12)
        return text && duration_read(text, ms);
    *ms = ms_up_of_seconds(json_number_value(value));
    return true;
}

static bool read_moment(json_t *value, int64_t *at_ms)
{
    const char *text = json_string_value(value);
    return text && clock_read_time(text, at_ms) && *at_ms > 0;
}

static bool read_option(const task_option *row, json_t *value, asynq_task_options *options, asynq_error *error)
{
    static const struct {
        bool (*read)(json_t *value, int64_t *number);
        const char *complaint;
    } kinds[] = {
        [TASK_OPTION_COUNT] = {read_count, "is not a whole number from 0 on"},
        [TASK_OPTION_DURATION] = {read_duration, "is neither seconds nor " DURATION_FORM},
        [TASK_OPTION_MOMENT] = {read_moment, "is no time such as 2026-01-02T15:04:05Z"},
    };
    const char *text;
    int64_t number;
    if (row->kind == TASK_OPTION_TEXT) {
        bool is_text = read_text(row->name, value, &text, error);
        task_option_set_text(row, options, text);
        return is_text;
    }
    if (!kinds[row->kind].read(value, &number))
        return error_set(error, ASYNQ_E_INVALID, "%s: %s", row->name, kinds[row->kind].complaint), false;
    task_option_set_number(row, options, number);
    return true;
}

static bool read_headers(json_t *value, posted_task *posted, asynq_error *error)
{
    const char *key;
    json_t *text;
    asynq_task_options *options = &posted->task.options;
    if (!json_is_object(value) || json_object_size(value) > MOST_HEADERS)
        return error_set(error, ASYNQ_E_INVALID, "headers: is no object with up to %d texts", MOST_HEADERS), false;
    json_object_foreach(value, key, text) {
        if (!json_is_string(text) || strlen(json_string_value(text)) != json_string_length(text))
            return error_set(error, ASYNQ_E_INVALID, "headers: %s: is not a text", key), false;
        posted->headers[options->header_count++] = (asynq_header){key, json_string_value(text)};
    }
    options->headers = posted->headers;
    return true;
}

/* The task's payload from now on. False: out of memory. */
static bool keep_payload(posted_task *posted, const buf *text, asynq_error *error)
{
    posted->bytes = buf_failed(text) ? NULL : mem_alloc(text->length + 1);
    if (!posted->bytes)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), false;
    memcpy(posted->bytes, text->data ? text->data : "", text->length);
    posted->task.payload = posted->bytes;
    posted->task.payload_length = text->length;
    return true;
}

static bool read_base64(const char *encoded, posted_task *posted, asynq_error *error)
{
    buf decoded;
    buf_init(&decoded, 0);
    bool is_read = encoded && base64_decode(encoded, &decoded);
    if (!is_read)
        error_set(error, ASYNQ_E_INVALID, "payload_base64: is no base64");
    is_read = is_read && keep_payload(posted, &decoded, error);
    buf_clear(&decoded);
    return is_read;
}

/* Of a text its characters; anything else as it is written. */
static bool read_payload(posted_task *posted, asynq_error *error)
{
    asynq_task *task = &posted->task;
    buf text;
    if (task->payload)
        return error_set(error, ASYNQ_E_INVALID, "payload and payload_base64 are both given"), false;
    if (*posted->written.data != '"') {
        task->payload = posted->written.data;
        task->payload_length = posted->written.length;
        return true;
    }
    buf_init(&text, 0);
    bool is_read = json_text_decode(posted->written, &text);
    if (!is_read)
        error_set(error, ASYNQ_E_INVALID, "payload: has half of a surrogate pair, which is no character");
    is_read = is_read && keep_payload(posted, &text, error);
    buf_clear(&text);
    return is_read;
}

static void complain_of_member(const char *name, asynq_error *error)
{
    const char *names[TASK_OPTIONS + OTHERS];
    for (size_t i = 0; i < TASK_OPTIONS; i++)
        names[i] = task_options[i].name;
    for (size_t i = 0; i < OTHERS; i++)
        names[TASK_OPTIONS + i] = other_members[i];
    const char *nearest = nearest_word(name, names, TASK_OPTIONS + OTHERS);
    error_set(error, ASYNQ_E_INVALID, "there is no member \"%.100s\"%s%s%s", name, nearest ? "; did you mean \"" : "",
              nearest ? nearest : "", nearest ? "\"?" : "");
}

static bool read_one(const char *name, json_t *value, posted_task *posted, asynq_error *error)
{
    for (size_t i = 0; i < TASK_OPTIONS; i++)
        if (strcmp(task_options[i].name, name) == 0)
            return read_option(&task_options[i], value, &posted->task.options, error);
    if (strcmp(name, "type") == 0)
        return read_text(name, value, &posted->task.type, error);
    if (strcmp(name, "payload") == 0)
        return read_payload(posted, error);
    if (strcmp(name, "headers") == 0)
        return read_headers(value, posted, error);
    if (strcmp(name, "payload_base64") != 0) {
        complain_of_member(name, error);
        return false;
    }
    if (posted->task.payload)
        return error_set(error, ASYNQ_E_INVALID, "payload and payload_base64 are both given"), false;
    return read_base64(json_string_value(value), posted, error);
}

static bool read_task(json_t *object, posted_task *posted, asynq_error *error)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        return error_set(error, ASYNQ_E_INVALID, "a task is an object"), false;
    json_object_foreach(object, name, value)
        if (!json_is_null(value) && !read_one(name, value, posted, error))
            return false;
    if (!posted->task.type)
        return error_set(error, ASYNQ_E_INVALID, "type is missing"), false;
    return true;
}

/* ---- payloads, as they are written ---- */

/* The body, and a copy in which a number stands for each payload: those may be of any size and kind. */
typedef struct payload_cut {
    const char *body;
    char *copy;
    bytes *written; /* by task */
    size_t count;   /* tasks so far */
} payload_cut;

static void cut_payload(payload_cut *cut, bytes value)
{
    char *at = cut->copy + (value.data - cut->body);
    cut->written[cut->count] = value;
    for (size_t i = 0; i < value.length; i++)
        if (at[i] != '\n') /* complaints tell the line */
            at[i] = i ? ' ' : '0';
}

static void cut_list(payload_cut *cut, bytes list);

/* A task, or the object around a list of them. */
static void cut_object(payload_cut *cut, bytes object, bool is_whole)
{
    bytes key, value;
    bool has_list = false;
    json_cursor cursor = json_text_enter(object);
    while (json_text_next(&cursor, &key, &value)) {
        bool is_null = bytes_equal(value, bytes_of("null"));
        if (is_whole && json_text_is_key(key, bytes_of("tasks")) && *value.data == '[') {
            cut_list(cut, value);
            has_list = true;
        } else if (json_text_is_key(key, bytes_of("payload")) && !is_null && cut->count < MOST_TASKS) {
            cut_payload(cut, value);
        }
    }
    cut->count += !has_list;
}

static void cut_list(payload_cut *cut, bytes list)
{
    bytes key, value;
    json_cursor cursor = json_text_enter(list);
    while (json_text_next(&cursor, &key, &value))
        if (*value.data == '{')
            cut_object(cut, value, false);
        else
            cut->count++;
}

/* Fills `written`, with room for MOST_TASKS, and returns what is left to be read; NULL: out of memory. */
static char *cut_payloads(bytes body, bytes *written)
{
    payload_cut cut = {.body = body.data, .copy = mem_dup(body.data, body.length), .written = written};
    if (!cut.copy || !json_text_is_valid(body))
        return cut.copy; /* the parser says what is wrong */
    bytes whole = json_text_trim(body);
    if (*whole.data == '[')
        cut_list(&cut, whole);
    else if (*whole.data == '{')
        cut_object(&cut, whole, true);
    return cut.copy;
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
        int status = asynq_enqueue_async(a->client, &posted->task, NULL, enqueued, posted, &error);
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
        own->tasks[i].posting = own;
        own->tasks[i].written = written[i];
        if (read_task(own->is_batch ? json_array_get(list, i) : list, &own->tasks[i], &problem))
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

void api_post_tasks(api *a, endpoint_request *request)
{
    json_error_t where;
    asynq_error error;
    bytes body = endpoint_body(request);
    if (refuse_form(request))
        return;
    bytes written[MOST_TASKS + 1] = {0};
    char *copy = cut_payloads(body, written);
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
    if (list && (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > MOST_TASKS)) {
        endpoint_reply_error(request, json_array_size(list) > MOST_TASKS ? 413 : 400,
                             "tasks: is no list of 1 to %d tasks", MOST_TASKS);
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
    endpoint_reply_error(request, error.code == ASYNQ_E_INVALID ? 400 : 503, "%s", error.text);
    posting_free(own);
}

/* ---- making ---- */

api *api_new(loop *l, const char *redis, metrics *meters, asynq_error *error)
{
    api *a = mem_calloc(1, sizeof *a);
    if (!a)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    a->meters = meters;
    pthread_mutex_init(&a->lock, NULL);
    a->finished_waker.fd = -1;
    a->client = asynq_client_new(&(asynq_client_options){ASYNQ_CLIENT_OPTIONS_INIT, .redis = redis}, error);
    if (a->client && !loop_waker_init(l, &a->finished_waker, finished, a))
        return a;
    if (a->client)
        error_set_code(error, ASYNQ_E_SYSTEM);
    api_free(a);
    return NULL;
}

void api_free(api *a)
{
    if (!a)
        return;
    asynq_client_free(a->client); /* all have their outcome now */
    if (a->finished_waker.fd >= 0)
        finished(a);
    loop_waker_clear(&a->finished_waker);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}
