/* See execution.h. */
#include "pg/execution.h"

#include "base/text.h"
#include "pg/spool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_ERROR = 8192, /* bytes of an error that are kept */
    MAX_TEXT = 2048,  /* of any other text; an escape makes six bytes of one, and a line has SPOOL_MAX_LINE */
};

/*
 * JSON by hand: a line is written twice for each attempt, and with jansson that took more time than all the rest
 * (bench/history: 32,000 instead of 48,000 attempts in a second).
 */
static void append_name(buf *line, const char *name)
{
    buf_append_text(line, line->length > 1 ? ",\"" : "\"");
    buf_append_text(line, name);
    buf_append_text(line, "\":");
}

static bool needs_escape(char c)
{
    return (unsigned char)c < ' ' || c == '"' || c == '\\';
}

static size_t escaped_length(char c)
{
    return needs_escape(c) ? sizeof "\\u0000" - 1 : 1;
}

static void append_escaped(buf *line, const char *text, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!needs_escape(text[i]))
            continue;
        const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_append(line, text + plain, i - plain);
        buf_append(line, escape, sizeof escape);
        plain = i + 1;
    }
    buf_append(line, text + plain, length - plain);
}

/* What is empty is left out, and becomes null. */
static void execution_append_text(buf *line, const char *name, const char *text, size_t max)
{
    if (!text || !*text)
        return;
    size_t length = text_cut(text, strlen(text), max);
    append_name(line, name);
    buf_append(line, "\"", 1);
    size_t begin = line->length;
    append_escaped(line, text, length);
    if (!buf_failed(line) && !text_is_utf8(line->data + begin, line->length - begin))
        text_make_utf8(line->data + begin, line->length - begin);
    buf_append(line, "\"", 1);
}

static void execution_append_number(buf *line, const char *name, int64_t number)
{
    char digits[24];
    append_name(line, name);
    buf_append(line, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, number));
}

static void append_time(buf *line, const char *name, int64_t at_ms)
{
    if (at_ms)
        execution_append_number(line, name, at_ms);
}

/* A header that anybody can set; only a number of the column's type is one of a job. */
static void append_job(buf *line, const char *text)
{
    int64_t number;
    if (text && text_read_number(text, &number))
        execution_append_number(line, "job_id", number);
}

/* Its end, as far as there is room for it in the line. */
static void append_output(buf *line, const char *text)
{
    size_t used = line->length + sizeof ",\"output\":\"\"}", room = used < SPOOL_MAX_LINE ? SPOOL_MAX_LINE - used : 0;
    size_t escaped = 0;
    for (const char *at = text; at && *at; at++)
        escaped += escaped_length(*at);
    for (; text && *text && escaped > room; text++)
        escaped -= escaped_length(*text);
    execution_append_text(line, "output", text, room);
}

void execution_append(buf *line, const execution *row)
{
    int64_t duration_ms = row->finished_at_ms - row->started_at_ms;
    buf_append(line, "{", 1);
    execution_append_text(line, "id", row->id, MAX_TEXT);
    execution_append_text(line, "task_id", row->task_id, MAX_TEXT);
    append_job(line, row->job_id);
    execution_append_text(line, "queue", row->queue, MAX_TEXT);
    execution_append_text(line, "type", row->type, MAX_TEXT);
    execution_append_number(line, "attempt", row->attempt);
    append_time(line, "queued_at", row->queued_at_ms);
    append_time(line, "started_at", row->started_at_ms);
    append_time(line, "finished_at", row->finished_at_ms);
    execution_append_text(line, "outcome", row->outcome ? row->outcome : "running", MAX_TEXT);
    execution_append_text(line, "error_class", row->error_class, MAX_TEXT);
    execution_append_text(line, "error", row->error, MAX_ERROR);
    if (row->http_status)
        execution_append_number(line, "http_status", row->http_status);
    if (row->outcome)
        execution_append_number(line, "duration_ms", duration_ms > 0 ? duration_ms : 0);
    execution_append_text(line, "trace_id", row->trace_id, MAX_TEXT);
    append_output(line, row->output);
    buf_append(line, "}", 1);
}
