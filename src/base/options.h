/*
 * The options of a program, from one table (setting.h). Four sources, each stronger than those before it:
 *
 *   presets < file (http.listen) < environment (ASYNQD_HTTP_LISTEN, and names in `variables`) < flags (--http-listen)
 *
 * Every value remembers where it came from; every mistake is noted, and reading goes on.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/settings.h"

typedef struct options options;

/*
 * `prefix` begins the environment variables, "ASYNQD"; `others` are patterns (fnmatch) of what is behind it where it is
 * none of the options, up to NULL. The target is borrowed, and has the presets afterwards.
 */
options *options_new(const setting *table, const char *prefix, const char *const *others, void *target);
/* Accepts NULL. The target's texts and lists end here. */
void options_free(options *o);

/* Each adds what it finds, and returns false if there were mistakes. */
bool options_read_file(options *o, const char *path);
bool options_read_environment(options *o, char **environment);
/* Without the name of the program. */
bool options_read_flags(options *o, int count, char **words);

/* Memory that lives as long as the options. */
arena *options_memory(options *o);

/* The value at this place of the target was given by somebody, not preset. */
bool options_is_given(const options *o, const void *place);
/* "asynqd.yaml:12", "$ASYNQD_LOG_LEVEL", "--log-level", "default". Lives as long as the options. */
const char *options_origin(const options *o, const void *place);

/* Notes a mistake in the value at this place. */
void options_complain(options *o, const void *place, const char *format, ...) ASYNQ_PRINTF(3, 4);
/* The same with a place that the caller knows; `format` makes the whole line. */
void options_complain_line(options *o, const char *format, ...) ASYNQ_PRINTF(2, 3);
/* One a line; NULL: none. Warnings are about things that do no harm. */
const char *options_complaints(const options *o);
const char *options_warnings(const options *o);

/* The flag and the variable that a path stands for: "--log-level", "ASYNQD_LOG_LEVEL". `text` holds 128 bytes. */
void options_flag(const char *path, char *text);
void options_variable(const char *prefix, const char *path, char *text);

#endif
