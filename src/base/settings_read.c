/* Values of nodes, by tables; see settings.h. */
#include "base/settings_own.h"

#include "base/error.h"

#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEYS = 128 };

const char *settings_text(settings_node *node, size_t *length)
{
    size_t own;
    if (!fy_node_is_scalar(node) || fy_node_is_alias(node))
        return NULL;
    const char *text = fy_node_get_scalar(node, length ? length : &own);
    return text ? fy_node_get_scalar0(node) : "";
}

void settings_take_refs(settings *file)
{
    file->takes_refs = true;
}

const setting_refs *settings_refs(const settings *file)
{
    return &file->refs;
}

/* The path in {file: PATH}; NULL: it is something else. */
static const char *file_in(settings_node *node)
{
    struct fy_node_pair *pair = fy_node_is_mapping(node) && fy_node_mapping_item_count(node) == 1
                                    ? fy_node_mapping_get_by_index(node, 0)
                                    : NULL;
    const char *key = pair ? settings_text(fy_node_pair_key(pair), NULL) : NULL;
    return key && strcmp(key, "file") == 0 ? settings_text(fy_node_pair_value(pair), NULL) : NULL;
}

const char *settings_value(settings *file, settings_node *node, const char *key, size_t *length, asynq_error *error)
{
    const char *text = settings_text(node, length), *path = file->takes_refs ? file_in(node) : NULL;
    buf problem;
    if (!file->takes_refs || (!path && (!text || strlen(text) != *length)))
        return text;
    buf_init(&problem, 0);
    text = path ? setting_refs_read(&file->refs, path, &file->memory, &problem)
                : setting_refs_expand(&file->refs, text, &file->memory, &problem);
    if (!text)
        settings_complain(file, node, error, "%s: %s", key,
                          problem.data ? problem.data : asynq_status_text(ASYNQ_E_NO_MEMORY));
    *length = text ? strlen(text) : 0;
    buf_clear(&problem);
    return text;
}

/* NULL after a complaint, which stands at another node if the value has no line of its own. */
static const char *needed_value(settings *file, settings_node *node, settings_node *where, const char *key,
                                size_t *length, asynq_error *error)
{
    size_t before = file->complaint_count;
    const char *text = settings_value(file, node, key, length, error);
    if (!text && file->complaint_count == before)
        settings_complain(file, where, error, "%s: is no plain value", key);
    return text;
}

/* A word that is code for a shell, which knows "${NAME}" itself. NULL: it is none, or stands elsewhere, or no memory.
 */
static const char *code_value(settings *file, const setting *row, const setting_list *before, settings_node *node,
                              size_t *length)
{
    const char *text = file->takes_refs && row->is_code && row->is_code(before) ? settings_text(node, length) : NULL;
    if (!text || strlen(text) != *length)
        return NULL;
    text = setting_refs_unescape(text, &file->memory);
    *length = text ? strlen(text) : 0;
    return text;
}

static int read_list_node(settings *file, const setting *row, settings_node *node, void *target, asynq_error *error)
{
    setting_list list = {0};
    size_t capacity = 0;
    void *iterator = NULL;
    settings_node *item;
    while ((item = fy_node_sequence_iterate(node, &iterator))) {
        char place[64];
        size_t length = 0;
        snprintf(place, sizeof place, "%s[%zu]", row->name, list.count);
        const char *text = code_value(file, row, &list, item, &length);
        if (!text)
            text = needed_value(file, item, item, place, &length, error);
        if (!text)
            return ASYNQ_E_INVALID;
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
        settings_enter(file, row->name);
        int status = settings_next_text(file, node, &iterator, &pair.name, &pair.value, error);
        settings_leave(file);
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
    const char *text =
        row->is_literal ? settings_text(node, &length) : needed_value(file, node, node, row->name, &length, error);
    if (!text && row->is_literal)
        return settings_complain(file, node, error, "%s: is no plain value", row->name);
    if (!text)
        return ASYNQ_E_INVALID;
    if (strlen(text) != length)
        return settings_complain(file, node, error, "%s: has a NUL byte", row->name);
    buf problem;
    buf_init(&problem, 0);
    int status = ASYNQ_OK;
    if (!(is_file ? setting_read_secret : setting_read)(row, text, target, &file->memory, &problem))
        status = problem.data ? settings_complain(file, node, error, "%s: %s", row->name, problem.data)
                              : error_set_code(error, ASYNQ_E_NO_MEMORY);
    else if (row->kind != SETTING_TEXT)
        setting_refs_copy(&file->refs, text, (char *)target + row->offset, &file->memory);
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

static int settings_read_store(settings *file, const setting *row, bool is_file, settings_node *node, void *target,
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
    int status = settings_read_store(file, row, secret != NULL, value, target, error);
    if (!status && file->stored && row->kind != SETTING_GROUP) /* whose place is that of its first row */
        file->stored(file->stored_arg, (char *)target + row->offset, settings_line(key));
    return status;
}

int settings_read_mapping(settings *file, settings_node *node, const setting *table, void *target, asynq_error *error)
{
    bool is_given[MAX_KEYS] = {false};
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
    size_t length = 0;
    *value = NULL;
    if (status || !*key)
        return status;
    *value = needed_value(file, fy_node_pair_value(pair), fy_node_pair_key(pair), *key, &length, error);
    return *value ? ASYNQ_OK : ASYNQ_E_INVALID;
}
