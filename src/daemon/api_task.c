/* See api_task.h. */
#include "daemon/api_task.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/saturate.h"
#include "client/task_option.h"
#include "wire/base64.h"

#include <string.h>

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

static bool api_task_read_duration(json_t *value, int64_t *ms)
{
    const char *text = json_string_value(value);
    if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) >= 9e12)
        return text && duration_read(text, ms);
    *ms = ms_up_of_seconds(json_number_value(value));
    return true;
}

static bool api_task_read_moment(json_t *value, int64_t *at_ms)
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
        [TASK_OPTION_DURATION] = {api_task_read_duration, "is neither seconds nor " DURATION_FORM},
        [TASK_OPTION_MOMENT] = {api_task_read_moment, "is no time such as 2026-01-02T15:04:05Z"},
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

static bool api_task_read_headers(json_t *value, api_task *own, asynq_error *error)
{
    const char *key;
    json_t *text;
    asynq_task_options *options = &own->task.options;
    if (!json_is_object(value) || json_object_size(value) > API_MAX_HEADERS)
        return error_set(error, ASYNQ_E_INVALID, "headers: is no object with up to %d texts", API_MAX_HEADERS), false;
    json_object_foreach(value, key, text) {
        if (!json_is_string(text) || strlen(json_string_value(text)) != json_string_length(text))
            return error_set(error, ASYNQ_E_INVALID, "headers: %s: is not a text", key), false;
        own->headers[options->header_count++] = (asynq_header){key, json_string_value(text)};
    }
    options->headers = own->headers;
    return true;
}

/* The task's payload from now on. False: out of memory. */
static bool keep_payload(api_task *own, const buf *text, asynq_error *error)
{
    own->bytes = buf_failed(text) ? NULL : mem_alloc(text->length + 1);
    if (!own->bytes)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), false;
    memcpy(own->bytes, text->data ? text->data : "", text->length);
    own->task.payload = own->bytes;
    own->task.payload_length = text->length;
    return true;
}

static bool read_base64(const char *encoded, api_task *own, asynq_error *error)
{
    buf decoded;
    buf_init(&decoded, 0);
    bool is_read = encoded && base64_decode(encoded, &decoded);
    if (!is_read)
        error_set(error, ASYNQ_E_INVALID, "payload_base64: is no base64");
    is_read = is_read && keep_payload(own, &decoded, error);
    buf_clear(&decoded);
    return is_read;
}

/* Of a text its characters; anything else as it is written. */
static bool api_task_read_payload(api_task *own, asynq_error *error)
{
    asynq_task *task = &own->task;
    buf text;
    if (task->payload)
        return error_set(error, ASYNQ_E_INVALID, "payload and payload_base64 are both given"), false;
    if (*own->written.data != '"') {
        task->payload = own->written.data;
        task->payload_length = own->written.length;
        return true;
    }
    buf_init(&text, 0);
    bool is_read = json_text_decode(own->written, &text);
    if (!is_read)
        error_set(error, ASYNQ_E_INVALID, "payload: has half of a surrogate pair, which is no character");
    is_read = is_read && keep_payload(own, &text, error);
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

static bool read_one(const char *name, json_t *value, api_task *own, asynq_error *error)
{
    const task_option *option = task_option_find(name);
    if (option)
        return read_option(option, value, &own->task.options, error);
    if (strcmp(name, "type") == 0)
        return read_text(name, value, &own->task.type, error);
    if (strcmp(name, "payload") == 0)
        return api_task_read_payload(own, error);
    if (strcmp(name, "headers") == 0)
        return api_task_read_headers(value, own, error);
    if (strcmp(name, "payload_base64") != 0) {
        complain_of_member(name, error);
        return false;
    }
    if (own->task.payload)
        return error_set(error, ASYNQ_E_INVALID, "payload and payload_base64 are both given"), false;
    return read_base64(json_string_value(value), own, error);
}

bool api_task_read(api_task *own, json_t *object, asynq_error *error)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        return error_set(error, ASYNQ_E_INVALID, "a task is an object"), false;
    json_object_foreach(object, name, value)
        if (!json_is_null(value) && !read_one(name, value, own, error))
            return false;
    if (!own->task.type)
        return error_set(error, ASYNQ_E_INVALID, "type is missing"), false;
    return true;
}

void api_task_clear(api_task *own)
{
    mem_free(own->bytes);
}
