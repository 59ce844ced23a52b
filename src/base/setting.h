/*
 * A setting: one row of an option table. The row says what a value may be, where it is stored, what it is when nobody
 * says anything, and what people should know about it. Files (settings.h), the environment and flags (options.h), the
 * sample file and the manual are all made from the same rows.
 */
#ifndef BASE_SETTING_H
#define BASE_SETTING_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

struct settings;
struct fy_node;

/* What a value is, and the type of the field that it is stored in. */
typedef enum setting_kind {
    SETTING_TEXT,     /* const char * */
    SETTING_NUMBER,   /* int64_t: a whole number from 0 on */
    SETTING_DURATION, /* int64_t: ms */
    SETTING_SIZE,     /* int64_t: bytes */
    SETTING_SWITCH,   /* bool */
    SETTING_CHOICE,   /* int: which of `choices` */
    SETTING_LIST,     /* setting_list; as one text: "a,b" */
    SETTING_PAIRS,    /* setting_pairs; as one text: "a=1,b=2" */
    SETTING_GROUP,    /* a mapping with a table of its own; its offsets count from this row's */
    SETTING_OTHER     /* read() does it, from YAML */
} setting_kind;

typedef struct setting_list {
    const char **items;
    size_t count;
} setting_list;

typedef struct setting_pair {
    const char *name, *value;
} setting_pair;

typedef struct setting_pairs {
    setting_pair *items;
    size_t count;
} setting_pairs;

typedef struct setting {
    const char *name;  /* of the key; words are joined by '_' */
    const char *alias; /* another name for it; may be NULL */
    setting_kind kind;
    size_t offset; /* of the value in the target */
    bool is_needed;
    int64_t zero;               /* what 0 is stored as */
    int64_t min, max;           /* of a number, duration or size; most 0: no bound */
    const char *const *choices; /* ends with NULL */
    const struct setting *group;
    int (*read)(struct settings *file, struct fy_node *node, void *target, asynq_error *error);

    const char *preset;    /* the default as one would write it; NULL: none */
    const char *variables; /* environment variables beside the one made from the name; separated by spaces */
    const char *value;     /* what the manual calls the value; NULL: by its kind */
    const char *help;      /* whole sentences */
    const char *example;   /* for the sample file, where there is no preset */
    bool is_secret;        /* never shown, and NAME_file names a file that has it */
    bool is_literal;       /* ${NAME} in it has a meaning of its own, so it is not replaced */
    bool (*is_code)(const setting_list *before); /* of lists: the same for the word that follows these; NULL: none */
    bool has_numbers;  /* of lists and pairs: the values are numbers, and printed without quotes */
    bool has_password; /* a URI: what is between ':' and '@' is never shown */
    bool hides_values; /* of pairs: any of them may be a secret, so they are never shown */
    bool is_reloaded;  /* a change takes effect without a restart */
} setting;

/*
 * Stores the value that a text stands for in `target`. Texts are borrowed, lists live in `memory`. False: it is not of
 * the row's kind, and `problem` has the end of a sentence that begins with the setting's name.
 */
bool setting_read(const setting *row, const char *text, void *target, arena *memory, buf *problem);

/*
 * The same with what is in a file, for a secret: NAME_file instead of NAME. A line end at its end does not belong to
 * it.
 */
bool setting_read_secret(const setting *row, const char *path, void *target, arena *memory, buf *problem);
/* The secret whose NAME_file this is; NULL: none. */
const setting *setting_find_secret(const setting *table, const char *name);

/* Stores the presets of a table and of its groups. They are as the program was written, so this cannot go wrong. */
void setting_preset(const setting *table, void *target, arena *memory);

/* Appends the value as setting_read() would take it; "" for a text that is not there. Secrets become stars. */
void setting_append(const setting *row, const void *target, buf *out);

/* Appends a URI without the password in it. */
void setting_append_masked(const char *uri, buf *out);

/* What the manual calls a value: "URI", "DURATION", "text|json". */
void setting_append_form(const setting *row, buf *out);

/* True if both targets have the same value. Not for groups and what read() reads. */
bool setting_is_same(const setting *row, const void *a, const void *b);
/* The same for all rows of a table and of its groups; what read() reads is never the same. */
bool setting_table_is_same(const setting *table, const void *a, const void *b);
/* Gives `to` the value of `from`, which keeps what it consists of. Not for groups and what read() reads. */
void setting_copy(const setting *row, void *to, const void *from);

/* The row with this name or alias; NULL: there is none. */
const setting *setting_find(const setting *table, const char *name);
/* The nearest name to one that is not in the table; NULL: none is near. */
const char *setting_nearest(const setting *table, const char *name);

/*
 * Calls `each` for every row of a table and, in place of a group, for the rows in it. `path` is the row's name with
 * those of its groups in front, "log.level"; `target` is what the row's offset counts from.
 */
typedef void (*setting_each)(const setting *row, const char *path, void *target, void *arg);
void setting_walk(const setting *table, void *target, setting_each each, void *arg);

#endif
