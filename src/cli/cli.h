/*
 * asynqctl from inside. A row of the command table says all there is to know of a command: its words, arguments, flags
 * and texts. The parser, the help, the manual page and the completions are made from it; the command itself is one
 * function.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <asynq/asynq.h>
#include <jansson.h>
#include <stdio.h>

/* Exit statuses; documented in asynqctl(1). */
typedef enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,    /* Redis, or a task or queue that is not as the command needs it */
    CLI_USAGE = 2,     /* a wrong command line */
    CLI_NOT_FOUND = 3, /* no such queue, task or entry */
    CLI_DECLINED = 4,  /* a question was answered with no, or nobody was there to answer */
    CLI_FAULTS = 5,    /* fsck has found faults that are not repaired */
    CLI_TIMED_OUT = 6,
    CLI_REPAIRED = 7, /* fsck has found faults and repaired them all */
    CLI_INTERRUPTED = 130
} cli_exit;

typedef enum cli_kind {
    CLI_SWITCH, /* no value */
    CLI_TEXT,
    CLI_NUMBER,   /* a whole number from 0 on */
    CLI_DURATION, /* "90s", "1h30m", "2d"; ms */
    CLI_TIME,     /* RFC 3339, "-2h", "+10m" or Unix seconds; Unix ms */
    CLI_STATE     /* the state of a task */
} cli_kind;

typedef struct cli_flag {
    const char *name;
    char letter; /* '\0': none */
    cli_kind kind;
    const char *value;   /* what the value is called in the help */
    const char *initial; /* the default as the help shows it; NULL: none */
    const char *help;
    bool required;
} cli_flag;

struct cli_run;

typedef struct cli_command {
    const char *noun;      /* "task"; NULL: the command is one word */
    const char *verb;      /* "ls" */
    const char *aliases;   /* of the verb, separated by spaces */
    const char *arguments; /* "ID..."; "" for none */
    int min, max;          /* number of arguments; most < 0: any */
    const char *summary;   /* a line */
    const char *details;   /* for the help; may be NULL */
    const cli_flag *flags; /* ends with a name of NULL; may be NULL */
    int (*run)(struct cli_run *cli);
    const char *example;
} cli_command;

extern const cli_command cli_commands[]; /* ends with a verb of NULL */

/* Completes the flags that are made from other tables. Call it once, before the commands are looked at. */
void cli_commands_prepare(void);

/* "task ls". Lives until the next call. */
const char *cli_command_name(const cli_command *command);
/* The commands of a noun one after the other: the one behind `after`, or the first (NULL). NULL: that was all. */
const cli_command *cli_next_of(const char *noun, const cli_command *after);
/* The first command of each noun, one after the other, as above. */
const cli_command *cli_next_noun(const cli_command *after);
extern const cli_flag cli_global_flags[];

/* What was given for a flag. */
typedef struct cli_value {
    const cli_flag *flag;
    const char *text; /* NULL: not given */
    int64_t number;
} cli_value;

enum { CLI_FLAGS_MAX = 32, CLI_ARGUMENTS_MAX = 4096 };

/* One run of the program. */
typedef struct cli_run {
    const cli_command *command;
    cli_value values[CLI_FLAGS_MAX];
    size_t value_count;
    const char *arguments[CLI_ARGUMENTS_MAX];
    int argument_count;
    bool as_json;
    bool in_colour;             /* standard output */
    int width;                  /* of the terminal; 0: none */
    asynq_inspector *inspector; /* made by cli_connect() */
} cli_run;

/* ---- options.c: the command line ---- */

/* Fills `cli`. Returns CLI_OK, or CLI_USAGE after telling what is wrong. */
int cli_parse(cli_run *cli, int argc, char **argv);
bool cli_given(const cli_run *cli, const char *flag);
/* The value or, without one, NULL or 0. */
const char *cli_text(const cli_run *cli, const char *flag);
int64_t cli_number(const cli_run *cli, const char *flag);
/* Unix time in ms. */
int64_t cli_now_ms(void);
/* Reads a time in Unix ms. False: it is none. */
bool cli_read_time(const char *text, int64_t *at_ms);

/* ---- help.c ---- */

void cli_help(const cli_command *command, FILE *out); /* NULL: of the program */
void cli_help_noun(const char *noun, FILE *out);

/* ---- session.c: Redis and the person in front ---- */

/* --uri, or what the environment says; NULL: the default. */
const char *cli_uri(const cli_run *cli);
/* Likewise --prefix. */
const char *cli_prefix(const cli_run *cli);
/* Makes the inspector. CLI_OK, or a status after telling why not. */
int cli_connect(cli_run *cli);
/* ---- say.c: lines for people ---- */

/* A line; what could steer a terminal is escaped in all of it. */
void cli_say(FILE *out, const char *format, ...) ASYNQ_PRINTF(2, 3);
/* Standard output for a program, as it is; on a terminal nothing in it steers that. False: it cannot be written. */
bool cli_print_raw(const char *text, size_t length);
/* A copy in which nothing can steer the terminal; mem_free() ends the first, some calls later end the second. */
char *cli_escape_copy(const char *text);
/* Likewise of bytes, of so many at most; what is cut ends with an ellipsis. */
char *cli_escape_bytes(const void *data, size_t length, size_t max);
const char *cli_escape(const char *text);
/* What stands for the rest of a text, in one column. */
const char *cli_ellipsis(void);
/* Tells what went wrong and returns the exit status for it. */
int cli_fail(const asynq_error *error);
int cli_complain(int status, const char *format, ...) ASYNQ_PRINTF(2, 3);
/* ---- session.c, again: questions and long work ---- */

/*
 * Asks before something is lost: true when --yes was given or a person on a terminal agrees. Otherwise it tells so;
 * the command ends with CLI_DECLINED.
 */
bool cli_confirm(const cli_run *cli, const char *format, ...) ASYNQ_PRINTF(2, 3);

/* A line on standard error for work that takes longer than a second; an asynq_progress_cb. Ctrl-C stops the work. */
typedef struct cli_progress {
    const char *what; /* "archiving" */
    int64_t begun_at_ms, shown_at_ms;
} cli_progress;

bool cli_show_progress(int64_t done, int64_t total, void *progress);
void cli_end_progress(cli_progress *progress);
bool cli_is_interrupted(void);

/* ---- table.c: output for people ---- */

typedef struct cli_table cli_table;

/* Columns named by `titles`, which ends with NULL; a title that begins with '>' is for numbers. */
cli_table *cli_table_new(const char *const *titles);
/* Adds a cell; the text is copied, and what a terminal could misunderstand is escaped. */
void cli_table_add(cli_table *table, const char *text);
/* The same of a payload or result, whatever it consists of; a long one is cut. */
void cli_table_add_bytes(cli_table *table, const void *data, size_t length);
void cli_table_addf(cli_table *table, const char *format, ...) ASYNQ_PRINTF(2, 3);
void cli_table_add_number(cli_table *table, int64_t number);
/* Receives a line; the first one has the titles. */
typedef void (*cli_line_cb)(void *arg, size_t row, const char *text);
/* Makes lines, and frees. `width` 0: as wide as it gets; else the widest column of text is cut so that a row fits. */
void cli_table_lines(cli_table *table, int width, cli_line_cb line, void *arg);
/* Prints and frees. On a terminal the widest column of text is cut so that a row is a line. */
void cli_table_print(const cli_run *cli, cli_table *table);

/* "3m12s"; "-" for 0 or less. `text` holds 32 bytes. Returns `text`. */
const char *cli_format_duration(int64_t ms, char *text);
/* "2006-01-02 15:04:05" in local time; "-" for 0. `text` holds 32 bytes. */
const char *cli_format_time(int64_t at_ms, char *text);
/* "12.3 MB". `text` holds 32 bytes. */
const char *cli_format_bytes(int64_t bytes, char *text);
/* "42%, the second file"; "" if nothing is known. `text` holds 256 bytes. */
const char *cli_format_progress(double fraction, const char *words, char *text);

/* ---- json.c: output for programs ---- */

/* Prints one document and frees it. Returns CLI_OK or, if it could not be written, CLI_FAILED. */
int cli_print_json(json_t *document);
/* The same on one line, for lists without end. */
int cli_print_json_line(json_t *document);
json_t *cli_json_task(const asynq_task_info *task);
/* Bytes as text, or as {"base64": ...} if they are not UTF-8. */
json_t *cli_json_bytes(const void *bytes, size_t length);
json_t *cli_json_text(const char *text);
/* RFC 3339 in UTC; null for 0. */
json_t *cli_json_time(int64_t at_ms);
/* Null if it is below 0. */
json_t *cli_json_fraction(double fraction);

#endif
