/* See task_option.h. */
#include "client/task_option.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Go saturates durations at this many seconds. */
#define DURATION_MAX_S INT64_C(9223372036)

#define FIELD(member) .offset = offsetof(asynq_task_options, member), .member_name = #member

const task_option task_options[TASK_OPTIONS] = {
    {
        .name = "queue",
        .kind = TASK_OPTION_TEXT,
        FIELD(queue),
        .go_name = "Queue",
        .noun = "queue name",
        .blank = "queue name must contain one or more characters",
        .max_bytes = ASYNQ_NAME_MAX,
        .flag = "queue",
        .letter = 'q',
        .value = "QUEUE",
        .preset = "\"default\"",
        .help = "the queue",
    },
    {
        .name = "max_retry",
        .kind = TASK_OPTION_COUNT,
        FIELD(max_retry),
        .go_name = "MaxRetry",
        .zero_is_none = true,
        .max = INT32_MAX,
        .flag = "retry",
        .letter = 'r',
        .value = "N",
        .preset = "25",
        .help = "maximum number of retries after the first attempt",
    },
    {
        .name = "id",
        .kind = TASK_OPTION_TEXT,
        FIELD(id),
        .go_name = "TaskID",
        .alias = "task_id",
        .noun = "task ID",
        .blank = "task ID cannot be empty",
        .max_bytes = ASYNQ_ID_MAX,
        .flag = "id",
        .letter = 'i',
        .value = "ID",
        .preset = "random",
        .help = "the id",
    },
    {
        .name = "timeout",
        .kind = TASK_OPTION_DURATION,
        FIELD(timeout_ms),
        .go_name = "Timeout",
        .zero_is_none = true,
        .is_never_negative = true,
        .flag = "run-timeout",
        .value = "TIME",
        .preset = "30m",
        .help = "timeout of one attempt; 0: none",
    },
    {
        .name = "deadline",
        .kind = TASK_OPTION_MOMENT,
        FIELD(deadline_ms),
        .go_name = "Deadline",
        .is_never_negative = true,
        .flag = "deadline",
        .value = "TIME",
        .help = "time after which no attempt runs",
    },
    {
        .name = "unique",
        .kind = TASK_OPTION_DURATION,
        FIELD(unique_ms),
        .go_name = "Unique",
        .zero_is_none = true,
        .min_ms = MS_PER_SECOND,
        .too_short = "Unique TTL cannot be less than 1s",
        .flag = "unique",
        .value = "TIME",
        .help = "refuse an equal task (type, payload, queue) for this duration",
    },
    {
        .name = "process_at",
        .kind = TASK_OPTION_MOMENT,
        FIELD(process_at_ms),
        .rival = offsetof(asynq_task_options, process_in_ms),
        .go_name = "ProcessAt",
        .flag = "at",
        .value = "TIME",
        .help = "run at this time",
    },
    {
        .name = "process_in",
        .kind = TASK_OPTION_DURATION,
        FIELD(process_in_ms),
        .rival = offsetof(asynq_task_options, process_at_ms),
        .go_name = "ProcessIn",
        .flag = "in",
        .value = "TIME",
        .help = "run after this duration",
    },
    {
        .name = "retention",
        .kind = TASK_OPTION_DURATION,
        FIELD(retention_ms),
        .go_name = "Retention",
        .zero_is_none = true,
        .is_never_negative = true,
        .flag = "retention",
        .value = "TIME",
        .help = "keep the completed task for this duration",
    },
    {
        .name = "group",
        .kind = TASK_OPTION_TEXT,
        FIELD(group),
        .go_name = "Group",
        .noun = "group key",
        .blank = "group key cannot be empty",
        .max_bytes = ASYNQ_NAME_MAX,
        .flag = "group",
        .letter = 'g',
        .value = "GROUP",
        .help = "collect the task in this group",
    },
};

const task_option *task_option_find(const char *name)
{
    for (size_t i = 0; i < TASK_OPTIONS; i++)
        if (strcmp(task_options[i].name, name) == 0)
            return &task_options[i];
    return NULL;
}

setting task_option_setting(const task_option *row)
{
    static const setting_kind kinds[] = {[TASK_OPTION_TEXT] = SETTING_TEXT,
                                         [TASK_OPTION_COUNT] = SETTING_NUMBER,
                                         [TASK_OPTION_DURATION] = SETTING_DURATION};
    return (setting){.name = row->name,
                     .alias = row->alias,
                     .kind = kinds[row->kind],
                     .offset = row->offset,
                     .zero = row->zero_is_none ? ASYNQ_NONE : 0};
}

/* ---- fields ---- */

const char *task_option_text(const task_option *row, const asynq_task_options *options)
{
    const char *text = NULL;
    if (row->kind == TASK_OPTION_TEXT)
        memcpy(&text, (const char *)options + row->offset, sizeof text);
    return text;
}

static int64_t number_at(const asynq_task_options *options, size_t offset)
{
    int64_t number;
    memcpy(&number, (const char *)options + offset, sizeof number);
    return number;
}

int64_t task_option_number(const task_option *row, const asynq_task_options *options)
{
    return row->kind == TASK_OPTION_TEXT ? 0 : number_at(options, row->offset);
}

void task_option_set_text(const task_option *row, asynq_task_options *options, const char *text)
{
    memcpy((char *)options + row->offset, &text, sizeof text);
}

void task_option_set_number(const task_option *row, asynq_task_options *options, int64_t number)
{
    if (!number && row->zero_is_none)
        number = ASYNQ_NONE;
    memcpy((char *)options + row->offset, &number, sizeof number);
}

/* ---- merging and copying ---- */

static void override_option(const task_option *row, asynq_task_options *merged, const asynq_task_options *over)
{
    const char *text = task_option_text(row, over);
    int64_t number = task_option_number(row, over);
    if (text)
        task_option_set_text(row, merged, text);
    if (number || (row->rival && number_at(over, row->rival)))
        memcpy((char *)merged + row->offset, &number, sizeof number);
}

asynq_task_options task_options_merge(const asynq_task_options *own, const asynq_task_options *over)
{
    asynq_task_options merged = *own;
    for (size_t i = 0; over && i < TASK_OPTIONS; i++)
        override_option(&task_options[i], &merged, over);
    return merged;
}

static const char *task_option_copy_text(arena *into, const char *text, bool *failed)
{
    char *copy = text ? arena_dup(into, text, strlen(text)) : NULL;
    *failed |= text && !copy;
    return copy;
}

bool task_options_copy(asynq_task_options *options, arena *into)
{
    bool failed = false;
    for (size_t i = 0; i < TASK_OPTIONS; i++)
        if (task_options[i].kind == TASK_OPTION_TEXT)
            task_option_set_text(&task_options[i], options,
                                 task_option_copy_text(into, task_option_text(&task_options[i], options), &failed));
    asynq_header *headers = arena_alloc(into, (options->header_count + 1) * sizeof *headers);
    failed |= !headers;
    for (size_t i = 0; headers && i < options->header_count; i++) {
        headers[i].key = task_option_copy_text(into, options->headers[i].key, &failed);
        headers[i].value = task_option_copy_text(into, options->headers[i].value, &failed);
    }
    options->headers = headers;
    return !failed;
}

/* ---- complaints in the writer's words ---- */

/* The next place where the field's name stands as a word. */
static const char *task_option_find_member(const char *text, const char *name)
{
    static const char joint[] = "_abcdefghijklmnopqrstuvwxyz0123456789";
    size_t length = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += length)
        if ((at == text || !strchr(joint, at[-1])) && (!at[length] || !strchr(joint, at[length])))
            return at;
    return NULL;
}

/* "retention_ms is 5;" to "retention is 5 ms;" */
static void reword_option(const task_option *row, bool in_flags, char *text, size_t size)
{
    const char *at = task_option_find_member(text, row->member_name);
    char made[sizeof((asynq_error *)NULL)->text];
    if (!at)
        return;
    const char *rest = at + strlen(row->member_name);
    int digits = 0;
    (void)sscanf(rest, " is %*[-0123456789]%n", &digits);
    snprintf(made, sizeof made, "%.*s%s%s%.*s%s%s", (int)(at - text), text, in_flags ? "--" : "",
             in_flags ? row->flag : row->name, digits, rest, digits && row->kind == TASK_OPTION_DURATION ? " ms" : "",
             rest + digits);
    snprintf(text, size, "%s", made);
}

void task_options_reword(asynq_error *error, bool in_flags)
{
    for (size_t i = 0; error->code == ASYNQ_E_INVALID && i < TASK_OPTIONS; i++)
        if (task_options[i].kind != TASK_OPTION_TEXT)
            reword_option(&task_options[i], in_flags, error->text, sizeof error->text);
    text_make_utf8(error->text, strlen(error->text));
}

/* ---- checks ---- */

int task_name_check(const char *noun, const char *blank, const char *name, size_t max, asynq_error *error)
{
    size_t length = strlen(name);
    if (text_is_blank(name, length))
        return error_set(error, ASYNQ_E_INVALID, "%s", blank);
    if (length > max)
        return error_set(error, ASYNQ_E_INVALID, "%s has %zu bytes; at most %zu are allowed", noun, length, max);
    if (!text_is_utf8(name, length))
        return error_set(error, ASYNQ_E_INVALID, "%s is not valid UTF-8", noun);
    return ASYNQ_OK;
}

static int check_number(const task_option *row, int64_t number, asynq_error *error)
{
    bool is_duration = row->kind == TASK_OPTION_DURATION;
    if (is_duration && number / MS_PER_SECOND > DURATION_MAX_S)
        return error_set(error, ASYNQ_E_INVALID,
                         "%s is %" PRId64 "; Asynq can hold durations of at most %" PRId64 " s (292 years)",
                         row->member_name, number, DURATION_MAX_S);
    if (row->min_ms && number < row->min_ms)
        return error_set(error, ASYNQ_E_INVALID, "%s", row->too_short);
    if (row->max && number > row->max)
        return error_set(error, ASYNQ_E_INVALID, "%s is %" PRId64 "; at most %" PRId64 " can be stored",
                         row->member_name, number, row->max);
    if (row->is_never_negative && number < 0)
        return error_set(error, ASYNQ_E_INVALID, "%s is %" PRId64 "; it cannot be negative (ASYNQ_NONE is none)",
                         row->member_name, number);
    return ASYNQ_OK;
}

static int check_option(const task_option *row, const asynq_task_options *options, asynq_error *error)
{
    const char *text = task_option_text(row, options);
    int64_t number = task_option_number(row, options);
    if (text)
        return task_name_check(row->noun, row->blank, text, row->max_bytes, error);
    return number && number != ASYNQ_NONE ? check_number(row, number, error) : ASYNQ_OK;
}

int task_options_check(const asynq_task_options *options, asynq_error *error)
{
    int status = ASYNQ_OK;
    for (size_t i = 0; i < TASK_OPTIONS && !status; i++)
        status = check_option(&task_options[i], options, error);
    return status;
}
