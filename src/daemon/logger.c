/* See logger.h. */
#include "daemon/logger.h"

#include "base/buf.h"
#include "base/clock.h"
#include "daemon/config.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
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

enum { MOST_FIELDS = 32 };

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

/* ---- logfmt ---- */

static void append_quoted(buf *line, const char *text)
{
    buf_append_text(line, "\"");
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            buf_append_format(line, "\\%c", *text);
        else if (*text == '\n')
            buf_append_text(line, "\\n");
        else if ((unsigned char)*text < ' ' || *text == 127)
            buf_append_format(line, "\\u%04x", (unsigned char)*text);
        else
            buf_append(line, text, 1);
    buf_append_text(line, "\"");
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 127 || strchr("=\"\\", *text))
            return false;
    return true;
}

static void append_text(buf *line, const char *name, const char *text)
{
    buf_append_format(line, "%s%s=", line->length ? " " : "", name);
    if (is_plain(text))
        buf_append_text(line, text);
    else
        append_quoted(line, text);
}

static bool is_left_out(const log_field *field)
{
    return field->text && !*field->text;
}

static void append_logfmt(buf *line, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    char now[32];
    write_now(now);
    append_text(line, "time", now);
    append_text(line, "level", level_name(level));
    append_text(line, "msg", message);
    for (size_t i = 0; i < count; i++)
        if (is_left_out(&fields[i]))
            continue;
        else if (fields[i].text)
            append_text(line, fields[i].name, fields[i].text);
        else
            buf_append_format(line, " %s=%" PRId64, fields[i].name, fields[i].number);
}

/* ---- JSON ---- */

static void append_json(buf *line, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    char now[32];
    write_now(now);
    json_t *object = json_object();
    json_object_set_new(object, "time", json_string(now));
    json_object_set_new(object, "level", json_string(level_name(level)));
    json_object_set_new(object, "msg", json_string(message));
    for (size_t i = 0; i < count; i++)
        if (!is_left_out(&fields[i]))
            json_object_set_new(object, fields[i].name,
                                fields[i].text ? json_string(fields[i].text) : json_integer(fields[i].number));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    buf_append_text(line, text ? text : "{\"msg\":\"a line that is no UTF-8\"}");
    free(text);
}

/* ---- journal ---- */

#ifdef HAVE_SYSTEMD
/* The journal has names in capitals, and syslog's priorities. */
static char *journal_field(const char *name, const char *text, int64_t number)
{
    char *made = NULL;
    int length = text ? asprintf(&made, "%s=%s", name, text) : asprintf(&made, "%s=%" PRId64, name, number);
    for (char *at = made; length >= 0 && *at != '='; at++)
        *at = (char)toupper((unsigned char)*at);
    return length < 0 ? NULL : made;
}

static void send_to_journal(asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    static const int priorities[] = {7, 6, 4, 3};
    char *texts[MOST_FIELDS + 3];
    struct iovec pieces[MOST_FIELDS + 3];
    size_t used = 0;
    int sent = 0;
    texts[used++] = journal_field("message", message, 0);
    texts[used++] = journal_field("priority", NULL, priorities[level - ASYNQ_LOG_DEBUG]);
    texts[used++] = journal_field("syslog_identifier", "asynqd", 0);
    for (size_t i = 0; i < count && i < MOST_FIELDS; i++)
        if (!is_left_out(&fields[i]))
            texts[used++] = journal_field(fields[i].name, fields[i].text, fields[i].number);
    for (size_t i = 0; i < used; i++)
        if (texts[i])
            pieces[sent++] = (struct iovec){texts[i], strlen(texts[i])};
    sd_journal_sendv(pieces, sent);
    for (size_t i = 0; i < used; i++)
        free(texts[i]);
}
#else
static void send_to_journal(asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    (void)level, (void)message, (void)fields, (void)count;
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

void logger_init(logger *log, int format, int output, asynq_log_level level)
{
    pthread_mutex_init(&log->lock, NULL);
    log->format = format;
    log->level = level;
    log->to_journal = output == LOG_OUTPUT_JOURNAL || (output == LOG_OUTPUT_AUTO && is_connected_with_journal());
#ifndef HAVE_SYSTEMD
    log->to_journal = false;
#endif
}

void logger_set_level(logger *log, asynq_log_level level)
{
    log->level = level;
}

void logger_clear(logger *log)
{
    pthread_mutex_destroy(&log->lock);
}

void logger_write(logger *log, asynq_log_level level, const char *message, const log_field *fields, size_t count)
{
    if ((int)level < log->level || level > ASYNQ_LOG_ERROR)
        return;
    if (log->to_journal) {
        send_to_journal(level, message, fields, count);
        return;
    }
    buf line;
    buf_init(&line, 0);
    if (log->format == LOG_FORMAT_JSON)
        append_json(&line, level, message, fields, count);
    else
        append_logfmt(&line, level, message, fields, count);
    buf_append_text(&line, "\n");
    pthread_mutex_lock(&log->lock);
    for (size_t sent = 0; line.data && sent < line.length;) {
        ssize_t more = write(STDERR_FILENO, line.data + sent, line.length - sent);
        if (more <= 0)
            break; /* nobody to tell it to */
        sent += (size_t)more;
    }
    pthread_mutex_unlock(&log->lock);
    buf_clear(&line);
}

void logger_line(asynq_log_level level, const char *text, void *arg)
{
    const log_source *source = arg;
    log_field field = {.name = "component", .text = source->component};
    logger_write(source->log, level, text, &field, 1);
}
