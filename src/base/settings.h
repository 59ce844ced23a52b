/*
 * Files of settings, in YAML or in JSON, which is YAML as well; read by libfyaml. A table says which keys a mapping may
 * have and where their values go. Each complaint begins with file and line: `schedule.yaml:12: there is no key "quue";
 * did you mean "queue"?`
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/buf.h"

#include <stdint.h>
#include <sys/stat.h>

typedef struct settings settings;
typedef struct fy_node settings_node;

typedef enum setting_kind {
    SETTING_TEXT,     /* const char *; lives as long as the settings */
    SETTING_NUMBER,   /* int64_t: a whole number from 0 on */
    SETTING_DURATION, /* int64_t, ms */
    SETTING_CHOICE,   /* int: which of `choices` */
    SETTING_OTHER     /* read() does it */
} setting_kind;

/* A key of a mapping. */
typedef struct setting {
    const char *name;
    const char *alias; /* another name for it; may be NULL */
    setting_kind kind;
    size_t offset; /* of the value in the target */
    bool is_needed;
    int64_t zero;               /* what 0 is stored as */
    const char *const *choices; /* ends with NULL */
    int (*read)(settings *file, settings_node *node, void *target, asynq_error *error);
} setting;

/*
 * Reads a file of at most 16 MB. `state` (may be NULL) receives what fstat() tells about it. Returns 0,
 * ASYNQ_E_NOT_FOUND (there is no such file), ASYNQ_E_SYSTEM (it cannot be read), ASYNQ_E_INVALID (is empty, or no
 * YAML), or ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int settings_open(settings **made, const char *path, struct stat *state, asynq_error *error);
/* Accepts NULL. */
void settings_free(settings *file);

settings_node *settings_root(const settings *file);

/* Stores the values of a mapping by its table, which ends with a name of NULL. Returns 0, or ASYNQ_E_INVALID. */
ASYNQ_MUST_CHECK int settings_read_mapping(settings *file, settings_node *node, const setting *table, void *target,
                                           asynq_error *error);

/* Calls `each` for the items of a list until one does not return 0, which then is returned. */
ASYNQ_MUST_CHECK int settings_read_list(settings *file, settings_node *node,
                                        int (*each)(settings *file, settings_node *item, void *arg, asynq_error *error),
                                        void *arg, asynq_error *error);

/* The pairs of a mapping with texts for values, one by one: NULL when there are no more. Begin with an iterator of
 * NULL.
 */
ASYNQ_MUST_CHECK int settings_next_text(settings *file, settings_node *mapping, void **iterator, const char **key,
                                        const char **value, asynq_error *error);

/* A scalar as it is written; NULL if the node is none. Lives as long as the settings. */
const char *settings_text(settings_node *node, size_t *length);
/* Appends the node as JSON. */
ASYNQ_MUST_CHECK int settings_append_json(settings *file, settings_node *node, buf *out, asynq_error *error);

/* Fills `error` with file, line and the text. Returns ASYNQ_E_INVALID. */
int settings_complain(settings *file, settings_node *node, asynq_error *error, const char *format, ...)
    ASYNQ_PRINTF(4, 5);

#endif
