/*
 * The options of a task, one row each. From the rows follow merging, checks, copies, the texts that schedulers show,
 * and what schedule files, asynqctl's flags and asynqd's API call them. What an option is good for stands where it is
 * used.
 *
 *   options in C ----------------+
 *   schedule file (YAML) --------+--> asynq_task_options --merge--> check --> plan.c: what is stored
 *   asynqctl task enqueue -------+           |
 *   POST /v1/tasks (JSON) -------+           +--> Go's text: Queue("low"), for user interfaces
 *
 * Headers are a list and no row: each of these places knows them.
 */
#ifndef CLIENT_TASK_OPTION_H
#define CLIENT_TASK_OPTION_H

#include "base/arena.h"
#include "base/setting.h"

#include <asynq/client.h>

typedef enum task_option_kind {
    TASK_OPTION_TEXT,     /* const char * */
    TASK_OPTION_COUNT,    /* int64_t from here on; below zero is none */
    TASK_OPTION_DURATION, /* ms */
    TASK_OPTION_MOMENT    /* Unix ms; not in schedule files, whose tasks are made again and again */
} task_option_kind;

typedef struct task_option {
    const char *name; /* in JSON and YAML; what a text is called in a complaint is `noun` */
    task_option_kind kind;
    size_t offset;       /* in asynq_task_options */
    size_t rival;        /* offset of another spelling of the same thing: who gives one, overrides both; 0: none */
    const char *go_name; /* of Go's function: "MaxRetry" */
    const char *alias;   /* in schedule files; NULL: none */
    bool zero_is_none;   /* 0 that somebody wrote is ASYNQ_NONE; else it is the default */

    /* checks */
    const char *noun;        /* of a text */
    const char *blank;       /* what is said of a blank one */
    size_t max_bytes;        /* of a text */
    int64_t min_ms, max;     /* of a number; 0: no bound, as far as Asynq's types go */
    const char *too_short;   /* what is said of less than min_ms */
    bool is_never_negative;  /* it is stored, and would mean something else below zero */
    const char *member_name; /* of the field, for complaints of a number */

    /* asynqctl task enqueue */
    const char *flag;
    char letter; /* '\0': none */
    const char *value, *preset, *help;
} task_option;

enum { TASK_OPTIONS = 10 };

/* In the order in which their texts are shown. */
extern const task_option task_options[TASK_OPTIONS];

/* By its name; NULL: there is none. */
const task_option *task_option_find(const char *name);

/* The key of a file of settings; the offset counts from the options. Not for a moment. */
setting task_option_setting(const task_option *row);

/* NULL: not set. */
const char *task_option_text(const task_option *row, const asynq_task_options *options);
/* 0: not set. */
int64_t task_option_number(const task_option *row, const asynq_task_options *options);
void task_option_set_text(const task_option *row, asynq_task_options *options, const char *text);
/* A number that somebody wrote, see zero_is_none. */
void task_option_set_number(const task_option *row, asynq_task_options *options, int64_t number);

/* `over` (may be NULL) over `own`, option by option. Headers stay those of `own`. */
asynq_task_options task_options_merge(const asynq_task_options *own, const asynq_task_options *over);

/* What can be said of each option alone. Returns 0, or ASYNQ_E_INVALID. */
ASYNQ_MUST_CHECK int task_options_check(const asynq_task_options *options, asynq_error *error);

/*
 * An error of a call with options names fields in C; who has written JSON, YAML or flags finds his own names there
 * afterwards: "retention", "--retention".
 */
void task_options_reword(asynq_error *error, bool in_flags);

/* A text that is a name, such as a task's type: not blank, not longer than `max`, UTF-8. */
ASYNQ_MUST_CHECK int task_name_check(const char *noun, const char *blank, const char *name, size_t max,
                                     asynq_error *error);

/* Replaces what the options point to by copies, headers too. False: out of memory. */
ASYNQ_MUST_CHECK bool task_options_copy(asynq_task_options *options, arena *into);

#endif
