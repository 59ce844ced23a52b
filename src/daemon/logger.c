/* See logger.h. */
#include "daemon/logger.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/terminal.h"
#include "base/text.h"
#include "daemon/config.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

enum {
    MAX_FIELDS = 32,
    MAX_TEXT = 8192,         /* bytes of a field; names of tasks can have megabytes */
    TELL_DROPPED_MS = 10000, /* at most so often */
};

static const char *level_name(asynq_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level - ASYNQ_LOG_DEBUG];
}

/* "2026-11-23T06:40:00.123Z" */
static void write_now(char text[32])
{
    int64_t now_ms = clock_now_ns() / NS_PER_MS;
    time_t seconds = (time_t)(now_ms / MS_PER_SECOND);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, 32 - length, ".%03dZ", (int)(now_ms % MS_PER_SECOND));
}

/* A copy as UTF-8, not longer than MAX_TEXT: texts come from everywhere. Freed with mem_free(); NULL: out of memory. */
static char *logger_clean(const char *text)
{
    size_t length = strlen(text), kept = text_cut(text, length, MAX_TEXT);
    char *copy = mem_alloc(kept + 4);
    if (!copy)
        return NULL;
    memcpy(copy, text, kept);
    text_make_utf8(copy, kept);
    strcpy(copy + kept, kept < length ? "..." : "");
    return copy;
}

/* ---- logfmt ---- */

/* Readers of logfmt know the escapes of JSON. */
static void append_quoted(buf *line, const char *text)
{
    buf quoted;
    buf_init(&quoted, 0);
    buf_append_text(&quoted, "\"");
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            buf_append_format(&quoted, "\\%c", *text);
        else if (*text == '\n')
            buf_append_text(&quoted, "\\n");
        else if ((unsigned char)*text < ' ')
            buf_append_format(&quoted, "\\u%04x", (unsigned char)*text);
        else
            buf_append(&quoted, text, 1);
    buf_append_text(&quoted, "\"");
    terminal_append_json(line, quoted.data ? quoted.data : "\"\"", quoted.data ? quoted.length : 2);
    buf_clear(&quoted);
}

static bool logger_is_plain(const char *text)
{
    return !strpbrk(text, " =\"") && terminal_is_clean(text);
}

static void logger_append_text(buf *line, const char *name, const char *text)
{
    char *clean = logger_clean(text);
    const char *shown = clean ? clean : "(out of memory)";
    buf_append_format(line, "%s%s=", line->length ? " " : "", name);
    if (logger_is_plain(shown))
        buf_append_text(line, shown);
    else
        append_quoted(line, shown);
    mem_free(clean);
}

static bool is_left_out(const log_field *field)
{
    return field->text && !*field->text;
}

static void append_logfmt(buf *line, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    char now[32];
    write_now(now);
    logger_append_text(line, "time", now);
    logger_append_text(line, "level", level_name(level));
    logger_append_text(line, "msg", message);
    for (size_t i = 0; i < count; i++)
        if (is_left_out(&fields[i]))
            continue;
        else if (fields[i].text)
            logger_append_text(line, fields[i].name, fields[i].text);
        else
            buf_append_format(line, " %s=%" PRId64, fields[i].name, fields[i].number);
}

/* ---- JSON ---- */

static json_t *logger_json_text(const char *text)
{
    char *clean = logger_clean(text);
    json_t *made = json_string(clean ? clean : "(out of memory)");
    mem_free(clean);
    return made;
}

static void logger_append_json(buf *line, asynq_log_level level, const char *message, const log_field *fields,
                               size_t count)
{
    char now[32];
    write_now(now);
    json_t *object = json_object();
    json_object_set_new(object, "time", json_string(now));
    json_object_set_new(object, "level", json_string(level_name(level)));
    json_object_set_new(object, "msg", logger_json_text(message));
    for (size_t i = 0; i < count; i++)
        if (!is_left_out(&fields[i]))
            json_object_set_new(object, fields[i].name,
                                fields[i].text ? logger_json_text(fields[i].text) : json_integer(fields[i].number));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    terminal_append_json(line, text ? text : "{}", text ? strlen(text) : 2);
    free(text);
}

/* ---- journal ---- */

#ifdef HAVE_SYSTEMD
/* An entry for the journal, as the writer's queue holds it: "NAME=value" behind their lengths. */
static void append_journal_field(buf *entry, const char *name, const char *format, ...)
{
    va_list args;
    size_t length = 0, at = entry->length;
    buf_append(entry, &length, sizeof length);
    for (; *name; name++) {
        char capital = (char)toupper((unsigned char)*name);
        buf_append(entry, &capital, 1);
    }
    buf_append(entry, "=", 1);
    va_start(args, format);
    buf_append_formatv(entry, format, args);
    va_end(args);
    if (buf_failed(entry))
        return;
    length = entry->length - at - sizeof length;
    memcpy(entry->data + at, &length, sizeof length);
}

static void append_journal_text(buf *entry, const char *name, const char *text)
{
    char *clean = logger_clean(text);
    append_journal_field(entry, name, "%s", clean ? clean : "(out of memory)");
    mem_free(clean);
}

/* The journal has names in capitals, and syslog's priorities. */
static void append_journal(buf *entry, asynq_log_level level, const char *message, const log_field *fields,
                           size_t count)
{
    static const int priorities[] = {7, 6, 4, 3};
    append_journal_text(entry, "message", message);
    append_journal_field(entry, "priority", "%d", priorities[level - ASYNQ_LOG_DEBUG]);
    append_journal_field(entry, "syslog_identifier", "asynqd");
    for (size_t i = 0; i < count && i < MAX_FIELDS; i++)
        if (is_left_out(&fields[i]))
            continue;
        else if (fields[i].text)
            append_journal_text(entry, fields[i].name, fields[i].text);
        else
            append_journal_field(entry, fields[i].name, "%" PRId64, fields[i].number);
}

/* Thread: the writer's. */
static void send_to_journal(bytes entry)
{
    struct iovec pieces[MAX_FIELDS + 3];
    int count = 0;
    for (size_t at = 0, length; at < entry.length && count < MAX_FIELDS + 3; at += length) {
        memcpy(&length, entry.data + at, sizeof length);
        at += sizeof length;
        pieces[count++] = (struct iovec){(char *)(uintptr_t)entry.data + at, length};
    }
    sd_journal_sendv(pieces, count);
}
#else
static void append_journal(buf *entry, asynq_log_level level, const char *message, const log_field *fields,
                           size_t count)
{
    (void)entry, (void)level, (void)message, (void)fields, (void)count;
}

static void send_to_journal(bytes entry)
{
    (void)entry;
}
#endif

/* systemd says to which socket it has connected standard error; it may have been changed since. */
static bool is_connected_with_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat state;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &state) &&
           state.st_dev == device && state.st_ino == inode;
}

/* ---- all of them ---- */

int logger_init(logger *log, int format, int output, asynq_log_level level)
{
    *log = (logger){.format = format, .level = level};
    log->to_journal = output == LOG_OUTPUT_JOURNAL || (output == LOG_OUTPUT_AUTO && is_connected_with_journal());
#ifndef HAVE_SYSTEMD
    log->to_journal = false;
#endif
    log->writer = log_writer_start(STDERR_FILENO, log->to_journal ? send_to_journal : NULL);
    return log->writer ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void logger_set_level(logger *log, asynq_log_level level)
{
    log->level = level;
}

void logger_clear(logger *log)
{
    log_writer_stop(log->writer);
    log->writer = NULL;
}

uint64_t logger_dropped(const logger *log)
{
    return log_writer_dropped(log->writer);
}

static bool logger_add(logger *log, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    buf line;
    buf_init(&line, 0);
    if (log->to_journal)
        append_journal(&line, level, message, fields, count);
    else if (log->format == LOG_FORMAT_JSON)
        logger_append_json(&line, level, message, fields, count);
    else
        append_logfmt(&line, level, message, fields, count);
    if (!log->to_journal)
        buf_append_text(&line, "\n");
    bool is_added = log_writer_add(log->writer, (bytes){line.data, line.length});
    buf_clear(&line);
    return is_added;
}

/* Once there is room again. */
static void logger_tell_dropped(logger *log)
{
    uint64_t dropped = logger_dropped(log), told = log->told_dropped;
    int64_t now_ms = clock_steady_ms(), told_at_ms = log->told_at_ms;
    if (dropped == told || (told_at_ms && now_ms - told_at_ms < TELL_DROPPED_MS) ||
        !atomic_compare_exchange_strong(&log->told_at_ms, &told_at_ms, now_ms))
        return;
    const log_field field = {.name = "dropped_lines", .number = (int64_t)(dropped - told)};
    log->told_dropped = dropped;
    logger_add(log, ASYNQ_LOG_WARN, "log lines were dropped, as they were not read in time", &field, 1);
}

void logger_write(logger *log, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    if ((int)level < log->level || level > ASYNQ_LOG_ERROR)
        return;
    if (logger_add(log, level, message, fields, count))
        logger_tell_dropped(log);
}

void logger_line(asynq_log_level level, const char *text, void *arg)
{
    const log_source *source = arg;
    log_field field = {.name = "component", .text = source->component};
    logger_write(source->log, level, text, &field, 1);
}
