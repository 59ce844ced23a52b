/* See api_body.h. */
#include "daemon/api_body.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_text.h"

#include <string.h>

/* Values in a body that are not in payloads. A tree of as many as a body has room for would take a gigabyte. */
enum { BODY_MAX_VALUES = API_MAX_TASKS * (API_MAX_HEADERS + 30) };

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
        } else if (json_text_is_key(key, bytes_of("payload")) && !is_null && cut->count < API_MAX_TASKS) {
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

/*
 * Finds the payloads of a body's tasks, and returns a copy in which a number stands for each. Ends with mem_free().
 * NULL: out of memory.
 */
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

/* ---- the whole ---- */

/* Of valid JSON: each value but the first of its object or list stands behind a comma. */
static bool has_too_many_values(const char *text, size_t length)
{
    size_t commas = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            is_quoted = !is_quoted;
        else
            commas += text[i] == ',' && !is_quoted;
    return commas >= BODY_MAX_VALUES;
}

static int complain_of_json(const json_error_t *where, asynq_error *error)
{
    bool is_nul = json_error_code(where) == json_error_null_character;
    error_set(error, ASYNQ_E_INVALID, "line %d, column %d: %s", where->line, where->column,
              is_nul ? "a text has a NUL character, which only a payload can have" : where->text);
    return 400;
}

/* A document that is no task, or no list of them, is left to whoever reads the tasks. */
static int find_tasks(api_body *body, asynq_error *error)
{
    json_t *list = json_is_array(body->document) ? body->document : json_object_get(body->document, "tasks");
    body->list = list;
    body->count = list ? json_array_size(list) : 1;
    if (body->count && body->count <= API_MAX_TASKS && (!list || json_is_array(list)))
        return 0;
    error_set(error, ASYNQ_E_INVALID, "tasks: is no list of 1 to %d tasks", API_MAX_TASKS);
    return body->count > API_MAX_TASKS ? 413 : 400;
}

int api_body_read(api_body *body, bytes text, asynq_error *error)
{
    json_error_t where;
    char *copy = text.data ? cut_payloads(text, body->written) : NULL;
    if (!copy)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), 503;
    bool is_large = has_too_many_values(copy, text.length);
    if (!is_large)
        body->document = json_loadb(copy, text.length, JSON_REJECT_DUPLICATES, &where);
    mem_free(copy);
    if (body->document)
        return find_tasks(body, error);
    if (!is_large)
        return complain_of_json(&where, error);
    error_set(error, ASYNQ_E_INVALID,
              "the body has more values than a list of %d tasks with %d headers each, without their payloads",
              API_MAX_TASKS, API_MAX_HEADERS);
    return 413;
}

void api_body_clear(api_body *body)
{
    json_decref(body->document);
    *body = (api_body){0};
}

json_t *api_body_task(const api_body *body, size_t i)
{
    return body->list ? json_array_get(body->list, i) : body->document;
}
