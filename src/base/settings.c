/* See settings.h. */
#include "base/settings.h"

#include "base/alloc.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/text.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 16 << 20, MOST_KEYS = 64 };

struct settings {
    char *path;
    buf text; /* the nodes point into it */
    struct fy_parser *parser;
    struct fy_diag *diagnosis;
    struct fy_document *document;
};

/* ---- complaints ---- */

/* Counted from 1; 0: nobody knows. A mapping is where its first key is. */
static int line_of(settings_node *node)
{
    void *iterator = NULL;
    struct fy_node_pair *pair;
    switch (node ? fy_node_get_type(node) : FYNT_SCALAR) {
    case FYNT_SEQUENCE:
        return line_of(fy_node_sequence_get_by_index(node, 0));
    case FYNT_MAPPING:
        pair = fy_node_mapping_iterate(node, &iterator);
        return pair ? line_of(fy_node_pair_key(pair)) : 0;
    default: {
        struct fy_token *token = node ? fy_node_get_scalar_token(node) : NULL;
        const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
        return mark ? mark->line + 1 : 0;
    }
    }
}

int settings_complain(settings *file, settings_node *node, asynq_error *error, const char *format, ...)
{
    buf text;
    va_list args;
    int line = line_of(node);
    buf_init(&text, 0);
    if (line)
        buf_append_format(&text, "%s:%d: ", file->path, line);
    else
        buf_append_format(&text, "%s: ", file->path);
    va_start(args, format);
    buf_append_formatv(&text, format, args);
    va_end(args);
    error_set(error, ASYNQ_E_INVALID, "%s", text.data ? text.data : asynq_status_text(ASYNQ_E_NO_MEMORY));
    buf_clear(&text);
    return ASYNQ_E_INVALID;
}

/* ---- reading the file ---- */

static int read_bytes(settings *file, struct stat *state, asynq_error *error)
{
    struct stat own;
    FILE *in = fopen(file->path, "rbe");
    if (!in)
        return error_set(error, errno == ENOENT ? ASYNQ_E_NOT_FOUND : ASYNQ_E_SYSTEM, "%s: %s", file->path,
                         strerror(errno));
    bool is_wrong = fstat(fileno(in), state ? state : &own) != 0;
    for (char *room; !is_wrong && !feof(in) && (room = buf_reserve(&file->text, 65536));) {
        file->text.length += fread(room, 1, 65536, in);
        is_wrong = ferror(in);
    }
    int problem = errno;
    fclose(in);
    if (is_wrong)
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", file->path, strerror(problem));
    if (buf_failed(&file->text))
        return error_set(error, ASYNQ_E_INVALID, "%s: more than %d MB", file->path, MOST_BYTES >> 20);
    return ASYNQ_OK;
}

/* The first thing that libfyaml found wrong. */
static int complain_of_syntax(settings *file, asynq_error *error)
{
    void *iterator = NULL;
    struct fy_diag_error *found = fy_diag_errors_iterate(file->diagnosis, &iterator);
    if (found)
        return error_set(error, ASYNQ_E_INVALID, "%s:%d: %s", file->path, found->line, found->msg);
    return error_set(error, ASYNQ_E_INVALID, "%s: is empty", file->path);
}

static void say_nothing(struct fy_diag *diagnosis, void *arg, const char *text, size_t length)
{
    (void)diagnosis, (void)arg, (void)text, (void)length;
}

static int parse(settings *file, asynq_error *error)
{
    struct fy_diag_cfg quiet;
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.output_fn = say_nothing;
    file->diagnosis = fy_diag_create(&quiet);
    if (!file->diagnosis)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    fy_diag_set_collect_errors(file->diagnosis, true);
    file->parser = fy_parser_create(&(struct fy_parse_cfg){.flags = FYPCF_QUIET, .diag = file->diagnosis});
    if (!file->parser || fy_parser_set_string(file->parser, file->text.data, file->text.length))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    file->document = fy_parse_load_document(file->parser);
    if (!settings_root(file))
        return complain_of_syntax(file, error);
    struct fy_document *second = fy_parse_load_document(file->parser);
    if (!second)
        return ASYNQ_OK;
    settings_complain(file, fy_document_root(second), error, "a second document begins; there can be one only");
    fy_parse_document_destroy(file->parser, second);
    return ASYNQ_E_INVALID;
}

int settings_open(settings **made, const char *path, struct stat *state, asynq_error *error)
{
    settings *file = mem_calloc(1, sizeof *file);
    *made = NULL;
    if (!file)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    buf_init(&file->text, MOST_BYTES);
    file->path = mem_strdup(path);
    int status = file->path ? read_bytes(file, state, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = parse(file, error);
    if (status)
        settings_free(file);
    else
        *made = file;
    return status;
}

void settings_free(settings *file)
{
    if (!file)
        return;
    if (file->document)
        fy_parse_document_destroy(file->parser, file->document);
    fy_parser_destroy(file->parser);
    fy_diag_destroy(file->diagnosis);
    buf_clear(&file->text);
    mem_free(file->path);
    mem_free(file);
}

settings_node *settings_root(const settings *file)
{
    return file->document ? fy_document_root(file->document) : NULL;
}

/* ---- values ---- */

const char *settings_text(settings_node *node, size_t *length)
{
    size_t own;
    if (!fy_node_is_scalar(node) || fy_node_is_alias(node))
        return NULL;
    const char *text = fy_node_get_scalar(node, length ? length : &own);
    return text ? fy_node_get_scalar0(node) : "";
}

static bool read_choice(const char *text, const char *const *choices, int *choice)
{
    for (*choice = 0; choices[*choice]; ++*choice)
        if (strcmp(choices[*choice], text) == 0)
            return true;
    return false;
}

static int complain_of_choice(settings *file, settings_node *node, const setting *row, const char *text,
                              asynq_error *error)
{
    buf list;
    buf_init(&list, 0);
    for (size_t i = 0; row->choices[i]; i++)
        buf_append_format(&list, "%s%s", i ? ", " : "", row->choices[i]);
    settings_complain(file, node, error, "%s: \"%s\" is none of %s", row->name, text, list.data ? list.data : "them");
    buf_clear(&list);
    return ASYNQ_E_INVALID;
}

static int store(settings *file, const setting *row, settings_node *node, void *target, asynq_error *error)
{
    void *place = (char *)target + row->offset;
    if (row->kind == SETTING_OTHER)
        return row->read(file, node, target, error);
    size_t length = 0;
    const char *text = settings_text(node, &length);
    if (!text)
        return settings_complain(file, node, error, "%s: is no plain value", row->name);
    if (strlen(text) != length)
        return settings_complain(file, node, error, "%s: has a NUL byte", row->name);
    int64_t number = 0;
    switch (row->kind) {
    case SETTING_TEXT:
        memcpy(place, &text, sizeof text);
        return ASYNQ_OK;
    case SETTING_CHOICE:
        return read_choice(text, row->choices, place) ? ASYNQ_OK : complain_of_choice(file, node, row, text, error);
    case SETTING_NUMBER:
        if (!text_read_number(text, &number))
            return settings_complain(file, node, error, "%s: \"%s\" is no whole number from 0 on", row->name, text);
        break;
    default:
        if (!duration_read(text, &number))
            return settings_complain(file, node, error, "%s: \"%s\" is not " DURATION_FORM, row->name, text);
    }
    number = number ? number : row->zero;
    memcpy(place, &number, sizeof number);
    return ASYNQ_OK;
}

/* ---- mappings and lists ---- */

static const setting *find_row(const setting *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0 || (table->alias && strcmp(table->alias, name) == 0))
            return table;
    return NULL;
}

static int complain_of_key(settings *file, settings_node *key, const setting *table, const char *name,
                           asynq_error *error)
{
    const char *names[MOST_KEYS];
    size_t count = 0;
    for (; table->name && count < MOST_KEYS; table++)
        names[count++] = table->name;
    const char *nearest = nearest_word(name, names, count);
    return nearest ? settings_complain(file, key, error, "there is no key \"%s\"; did you mean \"%s\"?", name, nearest)
                   : settings_complain(file, key, error, "there is no key \"%s\" here", name);
}

int settings_read_mapping(settings *file, settings_node *node, const setting *table, void *target, asynq_error *error)
{
    bool is_given[MOST_KEYS] = {false};
    void *iterator = NULL;
    struct fy_node_pair *pair;
    if (!fy_node_is_mapping(node))
        return settings_complain(file, node, error, "keys with values are wanted here");
    while ((pair = fy_node_mapping_iterate(node, &iterator))) {
        settings_node *key = fy_node_pair_key(pair);
        const char *name = settings_text(key, NULL);
        const setting *row = name ? find_row(table, name) : NULL;
        if (!row)
            return complain_of_key(file, key, table, name ? name : "", error);
        if (is_given[row - table])
            return settings_complain(file, key, error, "%s and %s are the same", row->name, row->alias);
        is_given[row - table] = true;
        int status = store(file, row, fy_node_pair_value(pair), target, error);
        if (status)
            return status;
    }
    for (const setting *row = table; row->name; row++)
        if (row->is_needed && !is_given[row - table])
            return settings_complain(file, node, error, "%s is missing", row->name);
    return ASYNQ_OK;
}

int settings_read_list(settings *file, settings_node *node,
                       int (*each)(settings *file, settings_node *item, void *arg, asynq_error *error), void *arg,
                       asynq_error *error)
{
    void *iterator = NULL;
    settings_node *item;
    int status = ASYNQ_OK;
    if (!fy_node_is_sequence(node))
        return settings_complain(file, node, error, "a list is wanted here");
    while (!status && (item = fy_node_sequence_iterate(node, &iterator)))
        status = each(file, item, arg, error);
    return status;
}

int settings_next_text(settings *file, settings_node *mapping, void **iterator, const char **key, const char **value,
                       asynq_error *error)
{
    *key = *value = NULL;
    if (!fy_node_is_mapping(mapping))
        return settings_complain(file, mapping, error, "keys with values are wanted here");
    struct fy_node_pair *pair = fy_node_mapping_iterate(mapping, iterator);
    if (!pair)
        return ASYNQ_OK;
    *key = settings_text(fy_node_pair_key(pair), NULL);
    *value = settings_text(fy_node_pair_value(pair), NULL);
    return *key && *value ? ASYNQ_OK
                          : settings_complain(file, fy_node_pair_key(pair), error, "key or value is no plain text");
}

int settings_append_json(settings *file, settings_node *node, buf *out, asynq_error *error)
{
    char *json = fy_emit_node_to_string(node, FYECF_MODE_JSON_ONELINE | FYECF_WIDTH_INF);
    if (!json)
        return settings_complain(file, node, error, "this cannot be written as JSON (it may have an alias in it)");
    buf_append(out, json, strcspn(json, "\n"));
    free(json);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}
