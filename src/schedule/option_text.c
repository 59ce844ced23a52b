/* See option_text.h. */
#include "schedule/option_text.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "client/task_option.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Go's form of a duration: "1h30m0s", "1.5s", "250ms". */
static void append_duration(buf *out, int64_t ms)
{
    int64_t rest = ms < 0 ? -ms : ms, seconds = rest / MS_PER_SECOND;
    if (ms < 0)
        buf_append_text(out, "-");
    if (rest && rest < MS_PER_SECOND) {
        buf_append_format(out, "%" PRId64 "ms", rest);
        return;
    }
    if (seconds >= 3600)
        buf_append_format(out, "%" PRId64 "h", seconds / 3600);
    if (seconds >= 60)
        buf_append_format(out, "%" PRId64 "m", seconds / 60 % 60);
    char second[32];
    int length = snprintf(second, sizeof second, "%" PRId64 ".%03" PRId64, seconds % 60, rest % MS_PER_SECOND);
    while (second[length - 1] == '0')
        length--;
    length -= second[length - 1] == '.';
    buf_append_format(out, "%.*ss", length, second);
}

/* Go's time.UnixDate, in UTC. */
static void append_date(buf *out, int64_t at_ms)
{
    char text[64];
    struct tm at;
    time_t at_s = (time_t)floor_div(at_ms, MS_PER_SECOND);
    strftime(text, sizeof text, "%a %b %e %H:%M:%S UTC %Y", gmtime_r(&at_s, &at));
    buf_append_text(out, text);
}

static void append_count(buf *out, int64_t wish)
{
    buf_append_format(out, "%" PRId64, wish < 0 ? 0 : wish);
}

static void option_text_append_json(buf *out, const char *text)
{
    buf_append_text(out, "\"");
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool is_separator = at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
        if (*at == '"' || *at == '\\')
            buf_append_format(out, "\\%c", *at);
        else if (*at < 0x20 || strchr("<>&", *at))
            buf_append_format(out, "\\u%04x", *at);
        else if (is_separator)
            buf_append_format(out, "\\u20%02x", at[2] - 0x80);
        else
            buf_append(out, at, 1);
        at += is_separator ? 2 : 0;
    }
    buf_append_text(out, "\"");
}

/* How a number of each kind is written. */
static void (*const append_number[])(buf *out, int64_t number) = {
    [TASK_OPTION_COUNT] = append_count,
    [TASK_OPTION_DURATION] = append_duration,
    [TASK_OPTION_MOMENT] = append_date,
};

/* False: the option is not set. */
static bool append_option(buf *out, const task_option *row, const asynq_task_options *options)
{
    const char *text = task_option_text(row, options);
    int64_t number = task_option_number(row, options);
    if (!text && !number)
        return false;
    buf_append_format(out, "%s(", row->go_name);
    if (text)
        text_append_quoted(out, text, strlen(text));
    else
        append_number[row->kind](out, number == ASYNQ_NONE ? 0 : number);
    buf_append_text(out, ")");
    return true;
}

static void option_text_append_header(buf *out, const asynq_header *header)
{
    buf_append_text(out, "Header([");
    option_text_append_json(out, header->key ? header->key : "");
    buf_append_text(out, ",");
    option_text_append_json(out, header->value ? header->value : "");
    buf_append_text(out, "])");
}

/* Moves what was written into the arena. */
static bool option_text_keep(buf *text, arena *into, bytes *kept)
{
    char *copy = buf_failed(text) ? NULL : arena_dup(into, text->data, text->length);
    *kept = (bytes){copy, text->length};
    buf_clear(text);
    return copy != NULL;
}

size_t option_texts(const asynq_task_options *options, arena *into, bytes **texts)
{
    size_t count = 0;
    bool fine = true;
    *texts = arena_alloc(into, (TASK_OPTIONS + (options ? options->header_count : 0)) * sizeof **texts);
    if (!*texts || !options)
        return 0;
    buf text;
    for (size_t i = 0; i < TASK_OPTIONS && fine; i++) {
        buf_init(&text, 0);
        if (append_option(&text, &task_options[i], options))
            fine = option_text_keep(&text, into, &(*texts)[count++]);
    }
    for (size_t i = 0; i < options->header_count && fine; i++) {
        buf_init(&text, 0);
        option_text_append_header(&text, &options->headers[i]);
        fine = option_text_keep(&text, into, &(*texts)[count++]);
    }
    if (!fine)
        *texts = NULL;
    return fine ? count : 0;
}
