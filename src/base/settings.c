/* See settings.h. */
#include "base/settings.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 16 << 20, MOST_KEYS = 128, MOST_COMPLAINTS = 100, MOST_DEPTH = 16 };

struct settings {
    char *path;
    buf text; /* the nodes point into it */
    arena memory;
    struct fy_parser *parser;
    struct fy_diag *diagnosis;
    struct fy_document *document;
    settings_stored_cb stored;
    void *stored_arg;
    const char *keys[MOST_DEPTH]; /* where we are */
    size_t depth;
    buf complaints;
    size_t complaint_count;
};

/* ---- complaints ---- */

/* A mapping is where its first key is. */
int settings_line(settings_node *node)
{
    void *iterator = NULL;
    struct fy_node_pair *pair;
    switch (node ? fy_node_get_type(node) : FYNT_SCALAR) {
    case FYNT_SEQUENCE:
        return settings_line(fy_node_sequence_get_by_index(node, 0));
    case FYNT_MAPPING:
        pair = fy_node_mapping_iterate(node, &iterator);
        return pair ? settings_line(fy_node_pair_key(pair)) : 0;
    default: {
        struct fy_token *token = node ? fy_node_get_scalar_token(node) : NULL;
        const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
        return mark ? mark->line + 1 : 0;
    }
    }
}

void settings_enter(settings *file, const char *key)
{
    if (file->depth < MOST_DEPTH)
        file->keys[file->depth] = key;
    file->depth++;
}

void settings_leave(settings *file)
{
    file->depth--;
}

void settings_append_place(const settings *file, settings_node *node, buf *out)
{
    int line = settings_line(node);
    buf_append_text(out, file->path);
    if (line)
        buf_append_format(out, ":%d", line);
    buf_append_text(out, ": ");
    for (size_t i = 0; i < file->depth && i < MOST_DEPTH; i++)
        buf_append_format(out, "%s%s", i && *file->keys[i] != '[' ? "." : "", file->keys[i]);
    if (file->depth)
        buf_append_text(out, ": ");
}

const char *settings_place(settings *file, settings_node *node)
{
    buf text;
    buf_init(&text, 0);
    settings_append_place(file, node, &text);
    const char *place = buf_failed(&text) ? NULL : arena_dup(&file->memory, text.data, text.length);
    buf_clear(&text);
    return place;
}

int settings_complain(settings *file, settings_node *node, asynq_error *error, const char *format, ...)
{
    buf text;
    va_list args;
    buf_init(&text, 0);
    settings_append_place(file, node, &text);
    va_start(args, format);
    buf_append_formatv(&text, format, args);
    va_end(args);
    const char *line = text.data ? text.data : asynq_status_text(ASYNQ_E_NO_MEMORY);
    if (file->complaint_count++ == 0)
        error_set(error, ASYNQ_E_INVALID, "%s", line);
    if (file->complaint_count <= MOST_COMPLAINTS)
        buf_append_format(&file->complaints, "%s\n", line);
    buf_clear(&text);
    return ASYNQ_E_INVALID;
}

const char *settings_complaints(const settings *file)
{
    return file->complaints.data;
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

/* A control character that a text file does not have; the length if there is none. */
static size_t find_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
            return i;
    return length;
}

/* libfyaml takes a byte that is no text for the end of the file when it stands in a comment, or between two entries. */
static int check_bytes(const settings *file, asynq_error *error)
{
    const char *text = file->text.data;
    size_t length = file->text.length, line = 1, begin = 0;
    size_t end = text_utf8_prefix(text, length), control = find_control(text, end);
    if (control == length)
        return ASYNQ_OK;
    for (size_t i = 0; i < control; i++)
        if (text[i] == '\n') {
            line++;
            begin = i + 1;
        }
    return error_set(error, ASYNQ_E_INVALID, "%s:%zu: byte %zu of the line is 0x%02x, which is not %s", file->path,
                     line, control - begin + 1, (unsigned char)text[control],
                     control == end ? "UTF-8; the file must be text in UTF-8" : "a character of a text");
}

/* The first thing that libfyaml found wrong; without one, there is nothing in the file but comments. */
static int complain_of_syntax(settings *file, asynq_error *error)
{
    void *iterator = NULL;
    struct fy_diag_error *found = fy_diag_errors_iterate(file->diagnosis, &iterator);
    return found ? error_set(error, ASYNQ_E_INVALID, "%s:%d: %s", file->path, found->line, found->msg) : ASYNQ_OK;
}

static void say_nothing(struct fy_diag *diagnosis, void *arg, const char *text, size_t length)
{
    (void)diagnosis, (void)arg, (void)text, (void)length;
}

static int parse(settings *file, asynq_error *error)
{
    struct fy_diag_cfg quiet;
    int status = check_bytes(file, error);
    if (status)
        return status;
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
        return complain_of_syntax(file, error);
    settings_complain(file, fy_document_root(second), error, "a second document begins; there can be one only");
    fy_parse_document_destroy(file->parser, second);
    return ASYNQ_E_INVALID;
}

static settings *settings_new(const char *path)
{
    settings *file = mem_calloc(1, sizeof *file);
    if (!file)
        return NULL;
    buf_init(&file->text, MOST_BYTES);
    buf_init(&file->complaints, 0);
    arena_init(&file->memory, 0);
    file->path = mem_strdup(path);
    if (file->path)
        return file;
    settings_free(file);
    return NULL;
}

int settings_open(settings **made, const char *path, struct stat *state, asynq_error *error)
{
    settings *file = settings_new(path);
    *made = NULL;
    if (!file)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = read_bytes(file, state, error);
    if (!status)
        status = parse(file, error);
    if (status)
        settings_free(file);
    else
        *made = file;
    return status;
}

int settings_open_text(settings **made, const char *place, const char *text, asynq_error *error)
{
    settings *file = settings_new(place);
    *made = NULL;
    if (!file)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    buf_append_text(&file->text, text);
    int status =
        buf_failed(&file->text) ? error_set(error, ASYNQ_E_INVALID, "%s: is too long", place) : parse(file, error);
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
    buf_clear(&file->complaints);
    arena_clear(&file->memory);
    mem_free(file->path);
    mem_free(file);
}

settings_node *settings_root(const settings *file)
{
    return file->document ? fy_document_root(file->document) : NULL;
}

arena *settings_memory(settings *file)
{
    return &file->memory;
}

void settings_on_stored(settings *file, settings_stored_cb stored, void *arg)
{
    file->stored = stored;
    file->stored_arg = arg;
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

static int read_list_node(settings *file, const setting *row, settings_node *node, void *target, asynq_error *error)
{
    setting_list list = {0};
    size_t capacity = 0;
    void *iterator = NULL;
    settings_node *item;
    while ((item = fy_node_sequence_iterate(node, &iterator))) {
        const char *text = settings_text(item, NULL);
        if (!text)
            return settings_complain(file, item, error, "%s[%zu]: is no plain value", row->name, list.count);
        list.items = arena_grow(&file->memory, (void *)list.items, list.count, &capacity, sizeof *list.items);
        if (!list.items)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        list.items[list.count++] = text;
    }
    memcpy((char *)target + row->offset, &list, sizeof list);
    return ASYNQ_OK;
}

static int read_pairs_node(settings *file, const setting *row, settings_node *node, void *target, asynq_error *error)
{
    setting_pairs pairs = {0};
    setting_pair pair;
    size_t capacity = 0;
    void *iterator = NULL;
    for (;;) {
        int status = settings_next_text(file, node, &iterator, &pair.name, &pair.value, error);
        if (status)
            return status;
        if (!pair.name)
            break;
        pairs.items = arena_grow(&file->memory, pairs.items, pairs.count, &capacity, sizeof *pairs.items);
        if (!pairs.items)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        pairs.items[pairs.count++] = pair;
    }
    memcpy((char *)target + row->offset, &pairs, sizeof pairs);
    return ASYNQ_OK;
}

/* `is_file`: the value is the path of a file that has it. */
static int read_scalar(settings *file, const setting *row, bool is_file, settings_node *node, void *target,
                       asynq_error *error)
{
    size_t length = 0;
    const char *text = settings_text(node, &length);
    if (!text)
        return settings_complain(file, node, error, "%s: is no plain value", row->name);
    if (strlen(text) != length)
        return settings_complain(file, node, error, "%s: has a NUL byte", row->name);
    buf problem;
    buf_init(&problem, 0);
    int status = ASYNQ_OK;
    if (!(is_file ? setting_read_secret : setting_read)(row, text, target, &file->memory, &problem))
        status = problem.data ? settings_complain(file, node, error, "%s: %s", row->name, problem.data)
                              : error_set_code(error, ASYNQ_E_NO_MEMORY);
    buf_clear(&problem);
    return status;
}

static int read_group(settings *file, const setting *row, settings_node *node, void *target, asynq_error *error)
{
    settings_enter(file, row->name);
    int status = settings_read_mapping(file, node, row->group, (char *)target + row->offset, error);
    settings_leave(file);
    return status;
}

static int store(settings *file, const setting *row, bool is_file, settings_node *node, void *target,
                 asynq_error *error)
{
    if (row->kind == SETTING_OTHER)
        return row->read(file, node, target, error);
    if (row->kind == SETTING_GROUP)
        return read_group(file, row, node, target, error);
    if (row->kind == SETTING_LIST && fy_node_is_sequence(node))
        return read_list_node(file, row, node, target, error);
    if (row->kind == SETTING_PAIRS && fy_node_is_mapping(node))
        return read_pairs_node(file, row, node, target, error);
    return read_scalar(file, row, is_file, node, target, error);
}

/* ---- mappings and lists ---- */

static int complain_of_key(settings *file, settings_node *key, const setting *table, const char *name,
                           asynq_error *error)
{
    const char *nearest = setting_nearest(table, name);
    return nearest ? settings_complain(file, key, error, "there is no key \"%s\"; did you mean \"%s\"?", name, nearest)
                   : settings_complain(file, key, error, "there is no key \"%s\" here", name);
}

static int complain_of_second(settings *file, settings_node *key, const setting *row, asynq_error *error)
{
    if (row->alias)
        return settings_complain(file, key, error, "%s and %s are the same", row->name, row->alias);
    return settings_complain(file, key, error, "%s and %s_file are both given", row->name, row->name);
}

static int read_pair(settings *file, struct fy_node_pair *pair, const setting *table, bool *is_given, void *target,
                     asynq_error *error)
{
    settings_node *key = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
    const char *name = settings_text(key, NULL);
    const setting *row = name ? setting_find(table, name) : NULL;
    const setting *secret = name && !row ? setting_find_secret(table, name) : NULL;
    if (!row && !secret)
        return complain_of_key(file, key, table, name ? name : "", error);
    row = row ? row : secret;
    if (is_given[row - table])
        return complain_of_second(file, key, row, error);
    is_given[row - table] = true;
    int status = store(file, row, secret != NULL, value, target, error);
    if (!status && file->stored)
        file->stored(file->stored_arg, (char *)target + row->offset, settings_line(key));
    return status;
}

int settings_read_mapping(settings *file, settings_node *node, const setting *table, void *target, asynq_error *error)
{
    bool is_given[MOST_KEYS] = {false};
    void *iterator = NULL;
    struct fy_node_pair *pair;
    int worst = ASYNQ_OK;
    if (!fy_node_is_mapping(node))
        return settings_complain(file, node, error, "keys with values are wanted here");
    while ((pair = fy_node_mapping_iterate(node, &iterator))) {
        int status = read_pair(file, pair, table, is_given, target, error);
        worst = status ? status : worst;
    }
    for (const setting *row = table; row->name; row++)
        if (row->is_needed && !is_given[row - table])
            worst = settings_complain(file, node, error, "%s is missing", row->name);
    return worst;
}

int settings_read_list(settings *file, settings_node *node,
                       int (*each)(settings *file, settings_node *item, void *arg, asynq_error *error), void *arg,
                       asynq_error *error)
{
    void *iterator = NULL;
    settings_node *item;
    int worst = ASYNQ_OK;
    if (!fy_node_is_sequence(node))
        return settings_complain(file, node, error, "a list is wanted here");
    for (size_t i = 0; (item = fy_node_sequence_iterate(node, &iterator)); i++) {
        char place[24];
        snprintf(place, sizeof place, "[%zu]", i);
        settings_enter(file, place);
        int status = each(file, item, arg, error);
        settings_leave(file);
        worst = status ? status : worst;
    }
    return worst;
}

static int next_pair(settings *file, settings_node *mapping, void **iterator, struct fy_node_pair **pair,
                     const char **key, asynq_error *error)
{
    *key = NULL;
    if (!fy_node_is_mapping(mapping))
        return settings_complain(file, mapping, error, "keys with values are wanted here");
    *pair = fy_node_mapping_iterate(mapping, iterator);
    if (!*pair)
        return ASYNQ_OK;
    *key = settings_text(fy_node_pair_key(*pair), NULL);
    return *key ? ASYNQ_OK : settings_complain(file, fy_node_pair_key(*pair), error, "a key is no plain text");
}

int settings_next_pair(settings *file, settings_node *mapping, void **iterator, const char **key, settings_node **value,
                       asynq_error *error)
{
    struct fy_node_pair *pair = NULL;
    int status = next_pair(file, mapping, iterator, &pair, key, error);
    *value = *key ? fy_node_pair_value(pair) : NULL;
    return status;
}

int settings_next_text(settings *file, settings_node *mapping, void **iterator, const char **key, const char **value,
                       asynq_error *error)
{
    struct fy_node_pair *pair = NULL;
    int status = next_pair(file, mapping, iterator, &pair, key, error);
    *value = *key ? settings_text(fy_node_pair_value(pair), NULL) : NULL;
    if (status || !*key || *value)
        return status;
    return settings_complain(file, fy_node_pair_key(pair), error, "%s: is no plain text", *key);
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
