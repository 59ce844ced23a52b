/* See settings.h. */
#include "base/settings_own.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 16 << 20, MAX_COMPLAINTS = 100, MAX_NESTING = 512 };

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
    if (file->depth < SETTINGS_DEPTH_MAX)
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
    for (size_t i = 0; i < file->depth && i < SETTINGS_DEPTH_MAX; i++)
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
    buf raw;
    buf_init(&raw, 0);
    buf_append_formatv(&raw, format, args);
    va_end(args);
    setting_refs_mask(&file->refs, raw.data ? raw.data : "", &text);
    buf_clear(&raw);
    const char *line = text.data ? text.data : asynq_status_text(ASYNQ_E_NO_MEMORY);
    if (file->complaint_count++ == 0)
        error_set(error, ASYNQ_E_INVALID, "%s", line);
    if (file->complaint_count <= MAX_COMPLAINTS)
        buf_append_format(&file->complaints, "%s\n", line);
    buf_clear(&text);
    return ASYNQ_E_INVALID;
}

const char *settings_complaints(const settings *file)
{
    return file->complaints.data;
}

/* ---- reading the file ---- */

static int settings_read_bytes(settings *file, struct stat *state, asynq_error *error)
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
        return error_set(error, ASYNQ_E_INVALID, "%s: more than %d MB", file->path, MAX_BYTES >> 20);
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

static int check_node(settings *file, settings_node *node, int depth, asynq_error *error);

static int check_pair(settings *file, struct fy_node_pair *pair, int depth, asynq_error *error)
{
    settings_node *key = fy_node_pair_key(pair);
    const char *name = settings_text(key, NULL);
    if (name && strcmp(name, "<<") == 0)
        return settings_complain(file, key, error, "merge keys (<<) are not taken; write the keys here again");
    int status = check_node(file, key, depth + 1, error);
    return status ? status : check_node(file, fy_node_pair_value(pair), depth + 1, error);
}

/* Aliases could stand anywhere, and make much of little. */
static int check_node(settings *file, settings_node *node, int depth, asynq_error *error)
{
    void *iterator = NULL;
    settings_node *item;
    struct fy_node_pair *pair;
    int status = ASYNQ_OK;
    if (!node)
        return ASYNQ_OK;
    if (depth > MAX_NESTING)
        return settings_complain(file, NULL, error, "is nested deeper than %d levels", MAX_NESTING);
    if (fy_node_is_alias(node))
        return settings_complain(file, node, error, "aliases (*name) are not taken; write the value here again");
    while (!status && fy_node_is_sequence(node) && (item = fy_node_sequence_iterate(node, &iterator)))
        status = check_node(file, item, depth + 1, error);
    while (!status && fy_node_is_mapping(node) && (pair = fy_node_mapping_iterate(node, &iterator)))
        status = check_pair(file, pair, depth, error);
    return status;
}

static int settings_parse(settings *file, asynq_error *error)
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
    int status_of_nodes = check_node(file, settings_root(file), 0, error);
    if (status_of_nodes)
        return status_of_nodes;
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
    buf_init(&file->text, MAX_BYTES);
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
    int status = settings_read_bytes(file, state, error);
    if (!status)
        status = settings_parse(file, error);
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
    int status = buf_failed(&file->text) ? error_set(error, ASYNQ_E_INVALID, "%s: is too long", place)
                                         : settings_parse(file, error);
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
