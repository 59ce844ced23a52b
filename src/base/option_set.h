/*
 * The options of a program, from one table (setting.h). Four sources, each stronger than those before it:
 *
 *   presets < file (http.listen) < environment (ASYNQD_HTTP_LISTEN, and names in `variables`) < flags (--http-listen)
 *
 * Every value remembers where it came from; every mistake is noted, and reading goes on.
 */
#ifndef BASE_OPTION_SET_H
#define BASE_OPTION_SET_H

#include "base/settings.h"

typedef struct option_set option_set;

/*
 * `prefix` begins the environment variables, "ASYNQD"; `others` are patterns (fnmatch) of what is behind it where it is
 * none of the options, up to NULL. The target is borrowed, and has the presets afterwards.
 */
option_set *option_set_new(const setting *table, const char *prefix, const char *const *others, void *target);
/* Accepts NULL. The target's texts and lists end here. */
void option_set_free(option_set *o);

/* Each adds what it finds, and returns false if there were mistakes. */
bool option_set_read_file(option_set *o, const char *path);
bool option_set_read_environment(option_set *o, char **environment);
/* Without the name of the program. */
bool option_set_read_flags(option_set *o, int count, char **words);

/* How a value was written that stands somewhere else; NULL: it does not. */
const setting_ref *option_set_ref(const option_set *o, const void *value);

/* Memory that lives as long as the options. */
arena *option_set_memory(option_set *o);

/* The value at this place of the target was given by somebody, not preset. */
bool option_set_is_given(const option_set *o, const void *place);
/* It is one of the options, not a part of a larger one. */
bool option_set_knows(const option_set *o, const void *place);
/* "asynqd.yaml:12", "$ASYNQD_LOG_LEVEL", "--log-level", "default". Lives as long as the options. */
const char *option_set_origin(const option_set *o, const void *place);

/* Notes a mistake in the value at this place. */
void option_set_complain(option_set *o, const void *place, const char *format, ...) ASYNQ_PRINTF(3, 4);
/* The same with a place that the caller knows; `format` makes the whole line. */
void option_set_complain_line(option_set *o, const char *format, ...) ASYNQ_PRINTF(2, 3);
/* The same for what is missing outside of the options, and may come yet. */
void option_set_doubt_line(option_set *o, const char *format, ...) ASYNQ_PRINTF(2, 3);
/* One a line; NULL: none. Warnings are about things that do no harm. */
const char *option_set_complaints(const option_set *o);
const char *option_set_warnings(const option_set *o);
const char *option_set_doubts(const option_set *o);

/* The flag and the variable that a path stands for: "--log-level", "ASYNQD_LOG_LEVEL". `text` holds 128 bytes. */
void option_set_flag(const char *path, char *text);
void option_set_variable(const char *prefix, const char *path, char *text);

#endif
