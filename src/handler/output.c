/* See output.h. */
#include "handler/output.h"

#include "base/alloc.h"
#include "base/text.h"
#include "handler/line_limit.h"
#include "handler/text_tail.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

enum { OUTPUT_LINE_MAX = 1000 };

struct attempt_output {
    output_keep keep;
    bool is_logged;
    log_sink *log;
    line_limit limit;
    char task[64];
    char line[2][OUTPUT_LINE_MAX]; /* of each stream, not ended yet; the loop's */
    size_t line_length[2];
    pthread_mutex_t lock;
    text_tail tail; /* under the lock */
};

static attempt_output *output_of(handler_call *call)
{
    return call->note ? call->note->output : NULL;
}

void handler_keep_output(handler_call *call, const output_options *options)
{
    char who[80];
    bool is_kept = options->keep != OUTPUT_NEVER && options->max_size;
    if (!call->note || (!is_kept && !options->is_logged))
        return;
    attempt_output *output = mem_calloc(1, sizeof *output);
    if (!output)
        return; /* the task is worth more */
    output->keep = is_kept ? (output_keep)options->keep : OUTPUT_NEVER;
    output->is_logged = options->is_logged;
    output->log = call->host->log;
    snprintf(output->task, sizeof output->task, "%s", asynq_job_id(call->job));
    snprintf(who, sizeof who, "task %s", output->task);
    line_limit_init(&output->limit, call->host->loop, output->log, who);
    pthread_mutex_init(&output->lock, NULL);
    text_tail_init(&output->tail, (size_t)options->max_size);
    call->note->output = output;
}

/* ---- lines ---- */

static void log_output(attempt_output *output, int stream)
{
    size_t *length = &output->line_length[stream - 1];
    if (*length && log_wants(output->log, ASYNQ_LOG_INFO) && line_limit_pass(&output->limit))
        log_event(output->log, LOG_TASK_OUTPUT, "task %s %s: %.*s", output->task, stream == 2 ? "stderr" : "stdout",
                  (int)*length, output->line[stream - 1]);
    *length = 0;
}

static void add_line(attempt_output *output, int stream, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        size_t *at = &output->line_length[stream - 1];
        bool is_end = data[i] == '\n' || data[i] == '\r';
        if (!is_end)
            output->line[stream - 1][(*at)++] = data[i] ? data[i] : '?';
        if (is_end || *at == OUTPUT_LINE_MAX)
            log_output(output, stream);
    }
}

void handler_add_output(handler_call *call, int stream, const char *data, size_t length)
{
    attempt_output *output = output_of(call);
    if (!output)
        return;
    if (output->is_logged)
        add_line(output, stream, data, length);
    if (output->keep == OUTPUT_NEVER)
        return;
    pthread_mutex_lock(&output->lock);
    text_tail_add(&output->tail, data, length);
    pthread_mutex_unlock(&output->lock);
}

void handler_end_output(handler_call *call)
{
    attempt_output *output = output_of(call);
    if (!output || !output->is_logged)
        return;
    for (int stream = 1; stream <= 2; stream++)
        log_output(output, stream);
    line_limit_end(&output->limit);
}

/* ---- reading ---- */

/* The first place from there on where a character begins. */
static size_t character_from(const char *text, size_t length, size_t at)
{
    while (at && at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

bool handler_keeps_output(handler_call *call)
{
    attempt_output *output = output_of(call);
    return output && output->keep != OUTPUT_NEVER;
}

/* Without white space at its end, as UTF-8; a NUL would be the end of it, here and in PostgreSQL. */
static void append_clean(buf *text, const char *data, size_t length)
{
    size_t begin = text->length;
    while (length && isspace((unsigned char)data[length - 1]))
        length--;
    buf_append(text, data, length);
    if (buf_failed(text))
        return;
    for (size_t i = begin; i < text->length; i++)
        if (!text->data[i])
            text->data[i] = '?';
    text_make_utf8(text->data + begin, length);
}

void attempt_output_append(const attempt_note *note, bool has_failed, buf *text)
{
    attempt_output *output = note ? note->output : NULL;
    if (!output || output->keep == OUTPUT_NEVER || (output->keep == OUTPUT_FAILURE && !has_failed))
        return;
    pthread_mutex_lock(&output->lock);
    const buf *all = &output->tail.text;
    size_t skipped = all->length > output->tail.max ? all->length - output->tail.max : 0;
    skipped = character_from(all->data, all->length, skipped);
    if (all->length > skipped)
        append_clean(text, all->data + skipped, all->length - skipped);
    pthread_mutex_unlock(&output->lock);
}

const char *attempt_output_complaint(handler_call *call, char *room, size_t size)
{
    buf text;
    buf_init(&text, 0);
    attempt_output_append(call->note, true, &text);
    size_t skipped = character_from(text.data, text.length, text.length > size - 3 ? text.length - (size - 3) : 0);
    snprintf(room, size, "%s%s", text.length ? ": " : "", text.data ? text.data + skipped : "");
    buf_clear(&text);
    return room;
}

void attempt_output_free(attempt_output *output)
{
    if (!output)
        return;
    text_tail_clear(&output->tail);
    pthread_mutex_destroy(&output->lock);
    mem_free(output);
}

/* ---- options ---- */

static const char *const keep_names[] = {
    [OUTPUT_NEVER] = "never", [OUTPUT_FAILURE] = "failure", [OUTPUT_ALWAYS] = "always", NULL};

const setting output_table[] = {
    {.name = "keep",
     .kind = SETTING_CHOICE,
     .offset = offsetof(output_options, keep),
     .choices = keep_names,
     .preset = "never",
     .help = "Attempts whose output is kept in the history. After failed attempts it is also the end of the error, up "
             "to 8 kB, in place of standard error alone."},
    {.name = "limit",
     .kind = SETTING_SIZE,
     .offset = offsetof(output_options, max_size),
     .preset = "8kB",
     .max = 64000,
     .help = "Maximum size of the kept end."},
    {.name = "log",
     .kind = SETTING_SWITCH,
     .offset = offsetof(output_options, is_logged),
     .preset = "false",
     .help = "Log each line with the id of the task, while it runs. Beyond 500 lines a second most are only counted."},
    {0},
};
