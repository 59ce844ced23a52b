/*
 * Files of settings, in YAML or in JSON, which is YAML as well; read by libfyaml. Tables (setting.h) say which keys a
 * mapping may have and where their values go. Reading goes on after a mistake, so that all are found. Each complaint
 * begins with file, line and key: `asynqd.yaml:12: routes[2]: there is no key "quue"; did you mean "queue"?`
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/setting.h"
#include "base/setting_refs.h"

#include <sys/stat.h>

typedef struct settings settings;
typedef struct fy_node settings_node;

/*
 * Reads a file of at most 16 MB. `state` (may be NULL) receives what fstat() tells about it. Returns 0,
 * ASYNQ_E_NOT_FOUND (there is no such file), ASYNQ_E_SYSTEM (it cannot be read), ASYNQ_E_INVALID (no YAML), or
 * ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int settings_open(settings **made, const char *path, struct stat *state, asynq_error *error);
/* The same for a text that stands somewhere else; complaints begin with `place` instead of a path. */
ASYNQ_MUST_CHECK int settings_open_text(settings **made, const char *place, const char *text, asynq_error *error);
/* Accepts NULL. */
void settings_free(settings *file);

/* NULL: there is nothing in it, or comments only. */
settings_node *settings_root(const settings *file);
/* Counted from 1; 0: nobody knows. */
int settings_line(settings_node *node);
/* What lives as long as the settings do. */
arena *settings_memory(settings *file);

/* From now on values may stand somewhere else, see setting_refs.h. For files of the one whose environment it is. */
void settings_take_refs(settings *file);
const setting_refs *settings_refs(const settings *file);
/* The text of a value, or of what it refers to. NULL: it is none; there is a complaint if it refers to nothing. */
const char *settings_value(settings *file, settings_node *node, const char *key, size_t *length, asynq_error *error);

/* Hears of each value that was stored, by its place in the target. */
typedef void (*settings_stored_cb)(void *arg, const void *place, int line);
void settings_on_stored(settings *file, settings_stored_cb stored, void *arg);

/*
 * Stores the values of a mapping by its table, which ends with a name of NULL. Returns 0, or ASYNQ_E_INVALID; then
 * `error` has the first complaint.
 */
ASYNQ_MUST_CHECK int settings_read_mapping(settings *file, settings_node *node, const setting *table, void *target,
                                           asynq_error *error);

/* Calls `each` for the items of a list. Returns 0, or what one of the calls returned. */
ASYNQ_MUST_CHECK int settings_read_list(settings *file, settings_node *node,
                                        int (*each)(settings *file, settings_node *item, void *arg, asynq_error *error),
                                        void *arg, asynq_error *error);

/*
 * The pairs of a mapping one by one: a key of NULL when there are no more. Begin with an iterator of NULL. In the
 * second form values are texts too.
 */
ASYNQ_MUST_CHECK int settings_next_pair(settings *file, settings_node *mapping, void **iterator, const char **key,
                                        settings_node **value, asynq_error *error);
ASYNQ_MUST_CHECK int settings_next_text(settings *file, settings_node *mapping, void **iterator, const char **key,
                                        const char **value, asynq_error *error);

/* A scalar as it is written; NULL if the node is none. Lives as long as the settings. */
const char *settings_text(settings_node *node, size_t *length);
/* Appends the node as JSON. */
ASYNQ_MUST_CHECK int settings_append_json(settings *file, settings_node *node, buf *out, asynq_error *error);

/* Appends "asynqd.yaml:12: routes[2].http: ", as complaints about the node begin. */
void settings_append_place(const settings *file, settings_node *node, buf *out);
/* The same, as long as the settings live. NULL: out of memory. */
const char *settings_place(settings *file, settings_node *node);
/* What is read from now on stands below this key, for complaints. */
void settings_enter(settings *file, const char *key);
void settings_leave(settings *file);

/*
 * Adds a complaint about a node. Returns ASYNQ_E_INVALID; `error` receives the text if it is the first complaint about
 * the file.
 */
int settings_complain(settings *file, settings_node *node, asynq_error *error, const char *format, ...)
    ASYNQ_PRINTF(4, 5);
/* All of them, one a line; NULL: none. */
const char *settings_complaints(const settings *file);

#endif
