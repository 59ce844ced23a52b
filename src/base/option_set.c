/* See option_set.h. */
#include "base/option_set.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/text.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { MAX_OPTIONS = 256, MAX_NAME = 128 };

typedef struct option {
    const setting *row;
    char *path;
    void *target;
    const char *origin; /* NULL: preset */
} option;

struct option_set {
    const setting *table;
    const char *prefix;
    const char *const *others;
    arena memory;
    option items[MAX_OPTIONS];
    size_t count;
    settings *file;               /* texts of the target live in it */
    settings *texts[MAX_OPTIONS]; /* the same of values that were read as YAML from elsewhere */
    size_t text_count;
    const char *file_path;
    buf complaints, warnings, doubts;
};

static const void *option_set_place_of(const option *item)
{
    return (const char *)item->target + item->row->offset;
}

static option *option_set_find_place(const option_set *o, const void *place)
{
    for (size_t i = 0; i < o->count; i++)
        if (option_set_place_of(&o->items[i]) == place)
            return (option *)&o->items[i];
    return NULL;
}

static void set_origin(option_set *o, option *item, const char *text)
{
    item->origin = arena_dup(&o->memory, text, strlen(text));
}

static void note_option(const setting *row, const char *path, void *target, void *arg)
{
    option_set *o = arg;
    char *copy = arena_dup(&o->memory, path, strlen(path));
    if (copy && o->count < MAX_OPTIONS)
        o->items[o->count++] = (option){row, copy, target, NULL};
}

option_set *option_set_new(const setting *table, const char *prefix, const char *const *others, void *target)
{
    option_set *o = mem_calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->table = table;
    o->prefix = prefix;
    o->others = others;
    arena_init(&o->memory, 0);
    buf_init(&o->complaints, 0);
    buf_init(&o->warnings, 0);
    buf_init(&o->doubts, 0);
    setting_walk(table, target, note_option, o);
    setting_preset(table, target, &o->memory);
    return o;
}

void option_set_free(option_set *o)
{
    if (!o)
        return;
    settings_free(o->file);
    while (o->text_count)
        settings_free(o->texts[--o->text_count]);
    arena_clear(&o->memory);
    buf_clear(&o->complaints);
    buf_clear(&o->warnings);
    buf_clear(&o->doubts);
    mem_free(o);
}

const setting_ref *option_set_ref(const option_set *o, const void *value)
{
    const setting_ref *ref = o->file ? setting_refs_find(settings_refs(o->file), value) : NULL;
    for (size_t i = 0; !ref && i < o->text_count; i++)
        ref = setting_refs_find(settings_refs(o->texts[i]), value);
    return ref;
}

arena *option_set_memory(option_set *o)
{
    return &o->memory;
}

/* ---- complaints and origins ---- */

bool option_set_is_given(const option_set *o, const void *place)
{
    const option *item = option_set_find_place(o, place);
    return item && item->origin;
}

bool option_set_knows(const option_set *o, const void *place)
{
    return option_set_find_place(o, place) != NULL;
}

const char *option_set_origin(const option_set *o, const void *place)
{
    const option *item = option_set_find_place(o, place);
    return item && item->origin ? item->origin : "default";
}

/* What came from elsewhere is as it was written, whatever it was written in. */
static void mask(const settings *source, buf *text)
{
    buf masked;
    if (!source)
        return;
    buf_init(&masked, 0);
    setting_refs_mask(settings_refs(source), text->data ? text->data : "", &masked);
    buf_clear(text);
    *text = masked;
}

static void append_line(const option_set *o, buf *lines, const char *format, va_list args)
{
    buf text;
    buf_init(&text, 0);
    buf_append_formatv(&text, format, args);
    mask(o->file, &text);
    for (size_t i = 0; i < o->text_count; i++)
        mask(o->texts[i], &text);
    buf_append_format(lines, "%s\n", text.data ? text.data : "");
    buf_clear(&text);
}

void option_set_complain(option_set *o, const void *place, const char *format, ...)
{
    const option *item = option_set_find_place(o, place);
    va_list args;
    buf_append_format(&o->complaints, "%s: %s: ", option_set_origin(o, place), item ? item->path : "?");
    va_start(args, format);
    append_line(o, &o->complaints, format, args);
    va_end(args);
}

void option_set_complain_line(option_set *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append_line(o, &o->complaints, format, args);
    va_end(args);
}

void option_set_doubt_line(option_set *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append_line(o, &o->doubts, format, args);
    va_end(args);
}

const char *option_set_complaints(const option_set *o)
{
    return o->complaints.data;
}

const char *option_set_warnings(const option_set *o)
{
    return o->warnings.data;
}

const char *option_set_doubts(const option_set *o)
{
    return o->doubts.data;
}

/* ---- file ---- */

static void note_stored(void *arg, const void *place, int line)
{
    option_set *o = arg;
    option *item = option_set_find_place(o, place);
    char text[512];
    snprintf(text, sizeof text, "%s:%d", o->file_path, line);
    if (item)
        set_origin(o, item, text);
}

static void *target_of(const option_set *o)
{
    return o->count ? o->items[0].target : NULL; /* the first row is no group: option_set_new()'s target */
}

bool option_set_read_file(option_set *o, const char *path)
{
    asynq_error error;
    o->file_path = path;
    int status = settings_open(&o->file, path, NULL, &error);
    if (!status) {
        settings_on_stored(o->file, note_stored, o);
        settings_take_refs(o->file);
        if (settings_root(o->file)) /* a file of comments leaves all as it is */
            status = settings_read_mapping(o->file, settings_root(o->file), o->table, target_of(o), &error);
    }
    const char *all = o->file ? settings_complaints(o->file) : NULL;
    if (all)
        buf_append_text(&o->complaints, all);
    else if (status)
        buf_append_format(&o->complaints, "%s\n", error.text);
    return !status;
}

/* ---- environment and flags ---- */

/* "log.level" to "log-level" or "LOG_LEVEL". */
static void convert(const char *path, char joint, bool in_capitals, char *text, size_t size)
{
    size_t i = 0;
    for (; path[i] && i + 1 < size; i++)
        text[i] = path[i] == '.' || path[i] == '_' ? joint : in_capitals ? (char)toupper(path[i]) : path[i];
    text[i] = '\0';
}

void option_set_flag(const char *path, char *text)
{
    memcpy(text, "--", 2);
    convert(path, '-', false, text + 2, MAX_NAME - 2);
}

void option_set_variable(const char *prefix, const char *path, char *text)
{
    size_t length = (size_t)snprintf(text, MAX_NAME, "%s_", prefix);
    convert(path, '_', true, text + length, MAX_NAME - length);
}

/* What a word names, by the names that each option has for that source. `is_file`: NAME_FILE of a secret. */
typedef bool (*is_name_of)(const option_set *o, const option *item, const char *word, size_t length);

static bool is_variable_of(const option_set *o, const option *item, const char *word, size_t length)
{
    char name[MAX_NAME];
    option_set_variable(o->prefix, item->path, name);
    return (strlen(name) == length && strncmp(name, word, length) == 0) ||
           text_has_word(item->row->variables, word, length);
}

static bool is_flag_of(const option_set *o, const option *item, const char *word, size_t length)
{
    char name[MAX_NAME];
    (void)o;
    option_set_flag(item->path, name);
    return strlen(name) == length && strncmp(name, word, length) == 0;
}

static option *find_named(option_set *o, is_name_of is_name, const char *word, size_t length, bool *is_file)
{
    static const size_t end = sizeof "_file" - 1;
    *is_file = false;
    for (size_t i = 0; i < o->count; i++)
        if (is_name(o, &o->items[i], word, length))
            return &o->items[i];
    bool may_be_file = length > end && (strncmp(word + length - end, "_FILE", end) == 0 ||
                                        strncmp(word + length - end, "-file", end) == 0);
    for (size_t i = 0; may_be_file && i < o->count; i++)
        if (o->items[i].row->is_secret && is_name(o, &o->items[i], word, length - end)) {
            *is_file = true;
            return &o->items[i];
        }
    return NULL;
}

/* A value that has no form of its own as a text is read as YAML: `[{type: "a:", command: {argv: [b]}}]`. */
static bool store_yaml(option_set *o, option *item, const char *origin, const char *text)
{
    asynq_error error = {0};
    settings *file = NULL;
    int status = o->text_count < MAX_OPTIONS ? settings_open_text(&file, origin, text, &error) : ASYNQ_E_NO_MEMORY;
    if (!status) {
        o->texts[o->text_count++] = file;
        settings_take_refs(file);
        status = item->row->read(file, settings_root(file), item->target, &error);
    }
    const char *all = file ? settings_complaints(file) : NULL;
    if (all)
        buf_append_text(&o->complaints, all);
    else if (status)
        buf_append_format(&o->complaints, "%s\n", error.text);
    else
        set_origin(o, item, origin);
    return !status;
}

/* `origin` is the name by which it was given. */
static bool option_set_store(option_set *o, option *item, const char *origin, bool is_file, const char *text)
{
    if (item->row->kind == SETTING_OTHER)
        return store_yaml(o, item, origin, text);
    buf problem;
    buf_init(&problem, 0);
    bool is_read = (is_file ? setting_read_secret : setting_read)(item->row, text, item->target, &o->memory, &problem);
    if (is_read)
        set_origin(o, item, origin);
    else
        buf_append_format(&o->complaints, "%s: %s\n", origin, problem.data ? problem.data : "out of memory");
    buf_clear(&problem);
    return is_read;
}

/* A name with our prefix that is none of ours: a mistake, or another's, such as Kubernetes's ASYNQD_SERVICE_HOST. */
static void warn_of_variable(option_set *o, const char *name)
{
    char names[MAX_OPTIONS][MAX_NAME];
    const char *list[MAX_OPTIONS];
    for (size_t i = 0; o->others[i]; i++)
        if (fnmatch(o->others[i], name + strlen(o->prefix) + 1, 0) == 0)
            return;
    for (size_t i = 0; i < o->count; i++) {
        option_set_variable(o->prefix, o->items[i].path, names[i]);
        list[i] = names[i];
    }
    const char *nearest = nearest_word(name, list, o->count);
    if (nearest)
        buf_append_format(&o->warnings, "$%s: there is no such variable; did you mean $%s?\n", name, nearest);
}

/* The option's own variable counts more than the others. */
static bool read_variables(option_set *o, char **environment, bool own)
{
    bool is_fine = true;
    size_t prefix = strlen(o->prefix);
    for (; *environment; environment++) {
        const char *variable = *environment;
        size_t length = strcspn(variable, "=");
        bool is_own = strncmp(variable, o->prefix, prefix) == 0 && variable[prefix] == '_';
        bool is_file;
        if (is_own != own || !variable[length])
            continue;
        option *item = find_named(o, is_variable_of, variable, length, &is_file);
        char origin[MAX_NAME];
        snprintf(origin, sizeof origin, "$%.*s", (int)length, variable);
        if (item)
            is_fine &= option_set_store(o, item, origin, is_file, variable + length + 1);
        else if (own)
            warn_of_variable(o, origin + 1);
    }
    return is_fine;
}

bool option_set_read_environment(option_set *o, char **environment)
{
    bool is_fine = read_variables(o, environment, false);
    return read_variables(o, environment, true) && is_fine;
}

static bool complain_of_flag(option_set *o, const char *word, size_t length)
{
    char names[MAX_OPTIONS][MAX_NAME], own[MAX_NAME];
    const char *list[MAX_OPTIONS];
    for (size_t i = 0; i < o->count; i++) {
        option_set_flag(o->items[i].path, names[i]);
        list[i] = names[i];
    }
    snprintf(own, sizeof own, "%.*s", (int)length, word);
    const char *nearest = nearest_word(own, list, o->count);
    if (nearest)
        buf_append_format(&o->complaints, "there is no flag %s; did you mean %s?\n", own, nearest);
    else
        buf_append_format(&o->complaints, "there is no flag %s; see --help\n", own);
    return false;
}

bool option_set_read_flags(option_set *o, int count, char **words)
{
    bool is_fine = true;
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        size_t length = strcspn(word, "=");
        const char *text = word[length] ? word + length + 1 : NULL;
        bool is_file;
        option *item = find_named(o, is_flag_of, word, length, &is_file);
        if (!item) {
            is_fine = complain_of_flag(o, word, length);
            continue;
        }
        if (!text && item->row->kind == SETTING_SWITCH)
            text = "true";
        else if (!text && i + 1 < count)
            text = words[++i];
        char origin[MAX_NAME];
        snprintf(origin, sizeof origin, "%.*s", (int)length, word);
        if (text)
            is_fine &= option_set_store(o, item, origin, is_file, text);
        else
            buf_append_format(&o->complaints, "%s needs a value\n", origin), is_fine = false;
    }
    return is_fine;
}
