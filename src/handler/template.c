/* See template.h. */
#include "handler/template.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/text.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_PARTS = 256 };

typedef struct template_part {
    const char *text; /* as it is, or the name in a placeholder; in template->text */
    size_t length;
    bool is_name, is_optional, is_quoted;
} template_part;

struct template
{
    char *text;
    template_place place;
    size_t count;
    template_part parts[];
};

/* ---- parsing ---- */

static const char *const task_names[] = {"id", "type", "queue", "retried", "max_retry", "deadline"};

static bool template_is_known(const char *name, size_t length)
{
    if (length == 7 && strncmp(name, "payload", length) == 0)
        return true;
    if (length > 8 && strncmp(name, "payload.", 8) == 0)
        return name[8] != '.' && name[length - 1] != '.' && !memmem(name, length, "..", 2);
    if (length > 7 && strncmp(name, "header.", 7) == 0)
        return true;
    for (size_t i = 0; i < sizeof task_names / sizeof *task_names; i++)
        if (length == 5 + strlen(task_names[i]) && strncmp(name, "task.", 5) == 0 &&
            strncmp(name + 5, task_names[i], length - 5) == 0)
            return true;
    return false;
}

static int add_part(template *t, const template_part *part, asynq_error *error)
{
    if (t->count == MAX_PARTS)
        return error_set(error, ASYNQ_E_INVALID, "has more than %d placeholders", MAX_PARTS / 2);
    t->parts[t->count++] = *part;
    return ASYNQ_OK;
}

/* Whether JSON text that was outside (or inside) of quotes before is inside of them after these bytes. */
static bool is_in_quotes(bool before, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\\' && before)
            i++;
        else if (text[i] == '"')
            before = !before;
    return before;
}

static int template_parse_name(template *t, const char *start, const char *end, bool is_quoted, asynq_error *error)
{
    while (start < end && *start == ' ')
        start++;
    while (start < end && end[-1] == ' ')
        end--;
    bool is_optional = start < end && end[-1] == '?';
    size_t length = (size_t)(end - start) - is_optional;
    if (!template_is_known(start, length))
        return error_set(error, ASYNQ_E_INVALID,
                         "{{%.*s}} stands for nothing; there are payload, payload.NAME, header.NAME, task.id, "
                         "task.type, task.queue, task.retried, task.max_retry and task.deadline",
                         (int)(end - start), start);
    return add_part(t, &(template_part){start, length, true, is_optional, is_quoted}, error);
}

static int template_parse(template *t, asynq_error *error)
{
    bool is_quoted = false;
    for (const char *at = t->text; *at;) {
        const char *open = strstr(at, "{{");
        size_t length = open ? (size_t)(open - at) : strlen(at);
        int status = length ? add_part(t, &(template_part){at, length, false, false, false}, error) : ASYNQ_OK;
        if (status || !open)
            return status;
        const char *close = strstr(open, "}}");
        if (!close)
            return error_set(error, ASYNQ_E_INVALID, "a placeholder begins with {{ and does not end with }}");
        is_quoted = is_in_quotes(is_quoted, at, length);
        status = template_parse_name(t, open + 2, close, is_quoted, error);
        if (status)
            return status;
        at = close + 2;
    }
    return ASYNQ_OK;
}

int template_new(template **made, const char *text, template_place place, asynq_error *error)
{
    template *t = mem_calloc(1, sizeof *t + MAX_PARTS * sizeof *t->parts);
    *made = NULL;
    if (!t || !(t->text = mem_strdup(text))) {
        mem_free(t);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    t->place = place;
    int status = template_parse(t, error);
    if (status) {
        template_free(t);
        return status;
    }
    template *small = mem_realloc(t, sizeof *t + t->count * sizeof *t->parts);
    *made = small ? small : t;
    return ASYNQ_OK;
}

void template_free(template *t)
{
    if (!t)
        return;
    mem_free(t->text);
    mem_free(t);
}

static bool is_json_with(const template *t, const char *value)
{
    buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < t->count; i++)
        if (!t->parts[i].is_name)
            buf_append(&text, t->parts[i].text, t->parts[i].length);
        else
            buf_append_text(&text, t->parts[i].is_quoted ? "x" : value);
    bool is_json = !buf_failed(&text) && json_text_is_valid((bytes){text.data, text.length});
    buf_clear(&text);
    return is_json;
}

/* A value may also be a key. */
bool template_may_be_json(const template *t)
{
    return is_json_with(t, "0") || is_json_with(t, "\"x\"");
}

bool template_is_variable(const template *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->parts[i].is_name)
            return true;
    return false;
}

bool template_begins_variable(const template *t)
{
    return t->count && t->parts[0].is_name;
}

/* ---- escaping ---- */

static void append_percent(buf *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (isalnum(byte) || memchr("-._~", byte, 4))
            buf_append(out, text + i, 1);
        else
            buf_append_format(out, "%%%02X", byte);
    }
}

/* The text as a JSON string, without its quotes unless they are asked for. */
static bool append_json_string(buf *out, const char *text, size_t length, bool with_quotes)
{
    json_t *string = json_stringn(text, length);
    char *encoded = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    if (encoded && with_quotes)
        buf_append_text(out, encoded);
    else if (encoded)
        buf_append(out, encoded + 1, strlen(encoded) - 2);
    free(encoded);
    return encoded != NULL;
}

static int template_refuse(const template_part *part, asynq_error *error, const char *why)
{
    return error_set(error, ASYNQ_E_INVALID, "{{%.*s}} %s", (int)part->length, part->text, why);
}

static int template_append_value(const template *t, const template_part *part, const char *text, size_t length,
                                 buf *out, asynq_error *error)
{
    switch (t->place) {
    case TEMPLATE_URL:
        if (part == t->parts)
            break;
        if ((length == 1 && *text == '.') || (length == 2 && strncmp(text, "..", 2) == 0))
            return template_refuse(part, error, "is \".\" or \"..\", which would be another place in the URL");
        append_percent(out, text, length);
        return ASYNQ_OK;
    case TEMPLATE_FORM:
        append_percent(out, text, length);
        return ASYNQ_OK;
    case TEMPLATE_HEADER:
        for (size_t i = 0; i < length; i++)
            if (iscntrl((unsigned char)text[i]) && text[i] != '\t')
                return template_refuse(part, error, "has a control character, which cannot stand in a header");
        break;
    case TEMPLATE_JSON:
        return append_json_string(out, text, length, !part->is_quoted)
                   ? ASYNQ_OK
                   : template_refuse(part, error, "is not valid UTF-8, which cannot stand in JSON");
    case TEMPLATE_TEXT:
        break;
    }
    buf_append(out, text, length);
    return ASYNQ_OK;
}

/* ---- values ---- */

static bytes payload_of(const template_values *values)
{
    size_t length;
    const char *text = asynq_job_payload(values->job, &length);
    return (bytes){text, length};
}

static bool template_is_json(template_values *values)
{
    if (!values->is_looked_at)
        values->is_json = json_text_is_valid(payload_of(values));
    values->is_looked_at = true;
    return values->is_json;
}

/* The characters of a text, where they are not to stand in JSON as they are. */
static int append_json_text(const template *t, const template_part *part, bytes quoted, buf *out, asynq_error *error)
{
    buf text;
    buf_init(&text, 0);
    int status = json_text_decode(quoted, &text)
                     ? template_append_value(t, part, text.data ? text.data : "", text.length, out, error)
                     : template_refuse(part, error, "has half of a surrogate pair, which is no character");
    buf_clear(&text);
    return status;
}

/* As it is written in the payload. */
static int append_json_value(const template *t, const template_part *part, bytes value, buf *out, asynq_error *error)
{
    bool is_text = *value.data == '"';
    if (t->place == TEMPLATE_JSON && !text_is_utf8(value.data, value.length))
        return template_refuse(part, error, "is not valid UTF-8, which cannot stand in JSON");
    if (t->place == TEMPLATE_JSON && !part->is_quoted)
        buf_append(out, value.data, value.length);
    else if (t->place == TEMPLATE_JSON && is_text)
        buf_append(out, value.data + 1, value.length - 2);
    else if (is_text)
        return append_json_text(t, part, value, out, error);
    else
        return template_append_value(t, part, value.data, value.length, out, error);
    return ASYNQ_OK;
}

static int append_missing(const template *t, const template_part *part, buf *out, asynq_error *error, const char *why)
{
    if (!part->is_optional)
        return template_refuse(part, error, why);
    if (t->place == TEMPLATE_JSON && !part->is_quoted)
        buf_append_text(out, "null");
    return ASYNQ_OK;
}

static int append_payload(const template *t, const template_part *part, template_values *values, buf *out,
                          asynq_error *error)
{
    size_t prefix = strlen("payload.");
    bytes payload = payload_of(values), value, path = {0};
    bool is_whole = part->length < prefix, is_json_place = t->place == TEMPLATE_JSON && !part->is_quoted;
    if (is_whole && !is_json_place)
        return template_append_value(t, part, payload.data, payload.length, out, error);
    if (!template_is_json(values))
        return append_missing(t, part, out, error, "is not there, as the payload is not JSON");
    if (!is_whole)
        path = (bytes){part->text + prefix, part->length - prefix};
    if (!json_index_find(&values->index, payload, path, &value) ||
        (!is_json_place && bytes_equal(value, bytes_of("null"))))
        return append_missing(t, part, out, error, "is not in the payload");
    return append_json_value(t, part, value, out, error);
}

static int template_append_number(const template *t, const template_part *part, int number, buf *out,
                                  asynq_error *error)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d", number);
    if (t->place != TEMPLATE_JSON || part->is_quoted)
        return template_append_value(t, part, text, (size_t)length, out, error);
    buf_append(out, text, (size_t)length);
    return ASYNQ_OK;
}

static int append_task(const template *t, const template_part *part, const asynq_job *job, buf *out, asynq_error *error)
{
    const char *name = part->text + strlen("task."), *text = NULL;
    char when[32];
    switch (*name) {
    case 'i':
        text = asynq_job_id(job);
        break;
    case 'q':
        text = asynq_job_queue(job);
        break;
    case 't':
        text = asynq_job_type(job);
        break;
    case 'r':
        return template_append_number(t, part, asynq_job_retry_count(job), out, error);
    case 'm':
        return template_append_number(t, part, asynq_job_max_retry(job), out, error);
    default: {
        time_t seconds = (time_t)(asynq_job_deadline_ms(job) / MS_PER_SECOND);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
        text = when;
    }
    }
    return template_append_value(t, part, text, strlen(text), out, error);
}

static int template_append_header(const template *t, const template_part *part, const asynq_job *job, buf *out,
                                  asynq_error *error)
{
    char name[256];
    size_t prefix = strlen("header.");
    snprintf(name, sizeof name, "%.*s", (int)(part->length - prefix), part->text + prefix);
    const char *value = asynq_job_header(job, name);
    return value ? template_append_value(t, part, value, strlen(value), out, error)
                 : append_missing(t, part, out, error, "is not among the task's headers");
}

void template_values_clear(template_values *values)
{
    json_index_clear(&values->index);
}

int template_fill(const template *t, template_values *values, buf *out, asynq_error *error)
{
    int status = ASYNQ_OK;
    for (size_t i = 0; !status && i < t->count; i++) {
        const template_part *part = &t->parts[i];
        if (!part->is_name)
            buf_append(out, part->text, part->length);
        else if (*part->text == 'p')
            status = append_payload(t, part, values, out, error);
        else if (*part->text == 'h')
            status = template_append_header(t, part, values->job, out, error);
        else
            status = append_task(t, part, values->job, out, error);
    }
    if (!status && buf_failed(out))
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    return status;
}
