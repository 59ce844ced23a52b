/* See setting.h. */
#include "base/setting.h"

#include "base/nearest.h"
#include "base/quantity.h"
#include "base/setting_refs.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 128, MAX_PATH = 128 };

/* ---- reading ---- */

static const char *const switch_words[] = {"false", "true", "no", "yes", "off", "on", "0", "1", NULL};

static bool setting_read_word(const char *text, const char *const *words, int *which)
{
    for (*which = 0; words[*which]; ++*which)
        if (strcmp(words[*which], text) == 0)
            return true;
    return false;
}

/* YAML's true, True and TRUE, and whatever else is meant by such a word. */
static bool read_switch(const char *text, int *which)
{
    for (*which = 0; switch_words[*which]; ++*which)
        if (strcasecmp(switch_words[*which], text) == 0)
            return true;
    return false;
}

static bool setting_refuse(buf *problem, const char *text, const char *what)
{
    buf_append_format(problem, "\"%s\" is not %s", text, what);
    return false;
}

static bool refuse_choice(const setting *row, const char *text, buf *problem)
{
    buf_append_format(problem, "\"%s\" is none of ", text);
    for (size_t i = 0; row->choices[i]; i++)
        buf_append_format(problem, "%s%s", i ? ", " : "", row->choices[i]);
    return false;
}

static void setting_append_number(const setting *row, int64_t number, buf *out)
{
    if (row->kind == SETTING_DURATION)
        duration_append(out, number);
    else if (row->kind == SETTING_SIZE)
        size_append(out, number);
    else
        buf_append_format(out, "%" PRId64, number);
}

static bool setting_read_number(const setting *row, const char *text, void *place, buf *problem)
{
    int64_t number;
    if (row->kind == SETTING_NUMBER && !text_read_number(text, &number))
        return setting_refuse(problem, text, "a whole number from 0 on");
    if (row->kind == SETTING_DURATION && !duration_read(text, &number))
        return setting_refuse(problem, text, DURATION_FORM);
    if (row->kind == SETTING_SIZE && !size_read(text, &number))
        return setting_refuse(problem, text, SIZE_FORM);
    bool is_low = number < row->min, is_high = row->max && number > row->max;
    if (is_low || is_high) {
        buf_append_format(problem, "\"%s\" is too %s; it can be ", text, is_low ? "little" : "much");
        setting_append_number(row, row->min, problem);
        buf_append_text(problem, row->max ? " to " : " or more");
        if (row->max)
            setting_append_number(row, row->max, problem);
        return false;
    }
    number = number ? number : row->zero;
    memcpy(place, &number, sizeof number);
    return true;
}

/* The next item of "a, b", without the spaces around it. False: there is none. */
static bool next_item(const char **at, const char **item, size_t *length)
{
    *at += strspn(*at, ", ");
    *item = *at;
    *length = strcspn(*at, ",");
    *at += *length;
    while (*length && (*item)[*length - 1] == ' ')
        --*length;
    return *length > 0;
}

static bool read_list(const char *text, setting_list *list, arena *memory)
{
    const char *item;
    size_t length, capacity = 0;
    *list = (setting_list){0};
    while (next_item(&text, &item, &length)) {
        list->items = arena_grow(memory, (void *)list->items, list->count, &capacity, sizeof *list->items);
        if (!list->items || !(list->items[list->count++] = arena_dup(memory, item, length)))
            return false;
    }
    return true;
}

static bool read_pairs(const char *text, setting_pairs *pairs, arena *memory, buf *problem)
{
    const char *item;
    size_t length, capacity = 0;
    *pairs = (setting_pairs){0};
    while (next_item(&text, &item, &length)) {
        const char *equals = memchr(item, '=', length);
        if (!equals || equals == item) {
            buf_append_format(problem, "\"%.*s\" is not NAME=VALUE", (int)length, item);
            return false;
        }
        pairs->items = arena_grow(memory, pairs->items, pairs->count, &capacity, sizeof *pairs->items);
        if (!pairs->items)
            return false;
        setting_pair *pair = &pairs->items[pairs->count++];
        pair->name = arena_dup(memory, item, (size_t)(equals - item));
        pair->value = arena_dup(memory, equals + 1, length - (size_t)(equals - item) - 1);
        if (!pair->name || !pair->value)
            return false;
    }
    return true;
}

bool setting_read(const setting *row, const char *text, void *target, arena *memory, buf *problem)
{
    void *place = (char *)target + row->offset;
    int which;
    switch (row->kind) {
    case SETTING_TEXT:
        memcpy(place, &text, sizeof text);
        return true;
    case SETTING_SWITCH:
        if (!read_switch(text, &which))
            return setting_refuse(problem, text, "true or false");
        *(bool *)place = which & 1;
        return true;
    case SETTING_CHOICE:
        return setting_read_word(text, row->choices, &which) ? (memcpy(place, &which, sizeof which), true)
                                                             : refuse_choice(row, text, problem);
    case SETTING_LIST: {
        setting_list list;
        bool is_read = read_list(text, &list, memory);
        return is_read && memcpy(place, &list, sizeof list);
    }
    case SETTING_PAIRS: {
        setting_pairs pairs;
        bool is_read = read_pairs(text, &pairs, memory, problem);
        return is_read && memcpy(place, &pairs, sizeof pairs);
    }
    case SETTING_GROUP:
    case SETTING_OTHER:
        buf_append_text(problem, "is more than a text"); /* options.h reads it as YAML */
        return false;
    default:
        return setting_read_number(row, text, place, problem);
    }
}

bool setting_read_secret(const setting *row, const char *path, void *target, arena *memory, buf *problem)
{
    setting_refs none = {0}; /* its origin is shown instead */
    const char *text = setting_refs_read(&none, path, memory, problem);
    return text && setting_read(row, text, target, memory, problem);
}

void setting_preset(const setting *table, void *target, arena *memory)
{
    buf problem;
    buf_init(&problem, 0);
    for (const setting *row = table; row->name; row++)
        if (row->kind == SETTING_GROUP)
            setting_preset(row->group, (char *)target + row->offset, memory);
        else if (row->preset)
            (void)setting_read(row, row->preset, target, memory, &problem);
    buf_clear(&problem);
}

/* ---- writing ---- */

/* "host=h password=*** dbname=d", "?password=***&b=c" */
static void append_without_parameter(const char *text, size_t length, buf *out)
{
    static const char key[] = "password=";
    const char *end = text + length;
    const char *at = length ? memmem(text, length, key, strlen(key)) : NULL;
    if (!at) {
        buf_append(out, text, length);
        return;
    }
    at += strlen(key);
    buf_append(out, text, (size_t)(at - text));
    buf_append_text(out, "***");
    const char *stops = at < end && *at == '\'' ? "'" : " &";
    at += at < end && *at == '\'';
    while (at < end && !strchr(stops, *at))
        at += *at == '\\' && at + 1 < end ? 2 : 1;
    append_without_parameter(at, (size_t)(end - at), out);
}

/* "redis://user:***@host" */
static void append_without_password(const char *text, buf *out)
{
    const char *start = strstr(text, "://");
    start = start ? start + 3 : text;
    const char *at = strrchr(start, '@');
    const char *colon = at && start > text ? memchr(start, ':', (size_t)(at - start)) : NULL;
    if (!colon) {
        append_without_parameter(text, strlen(text), out);
        return;
    }
    buf_append(out, text, (size_t)(colon + 1 - text));
    buf_append_text(out, "***");
    append_without_parameter(at, strlen(at), out);
}

void setting_append_masked(const char *uri, buf *out)
{
    append_without_password(uri, out);
}

static void setting_append_text(const setting *row, const char *text, buf *out)
{
    if (!text || !*text)
        return;
    if (row->is_secret)
        buf_append_text(out, "***");
    else if (row->has_password)
        append_without_password(text, out);
    else
        buf_append_text(out, text);
}

void setting_append(const setting *row, const void *target, buf *out)
{
    const void *place = (const char *)target + row->offset;
    switch (row->kind) {
    case SETTING_TEXT:
        setting_append_text(row, *(const char *const *)place, out);
        break;
    case SETTING_SWITCH:
        buf_append_text(out, switch_words[*(const bool *)place]);
        break;
    case SETTING_CHOICE:
        buf_append_text(out, row->choices[*(const int *)place]);
        break;
    case SETTING_LIST: {
        const setting_list *list = place;
        for (size_t i = 0; i < list->count; i++)
            buf_append_format(out, "%s%s", i ? "," : "", list->items[i]);
        break;
    }
    case SETTING_PAIRS: {
        const setting_pairs *pairs = place;
        for (size_t i = 0; i < pairs->count; i++)
            buf_append_format(out, "%s%s=%s", i ? "," : "", pairs->items[i].name, pairs->items[i].value);
        break;
    }
    case SETTING_GROUP:
    case SETTING_OTHER:
        break;
    default: {
        int64_t number = *(const int64_t *)place;
        setting_append_number(row, row->zero && number == row->zero ? 0 : number, out);
    }
    }
}

void setting_append_form(const setting *row, buf *out)
{
    static const char *const forms[] = {
        [SETTING_TEXT] = "TEXT",           [SETTING_NUMBER] = "NUMBER",      [SETTING_DURATION] = "DURATION",
        [SETTING_SIZE] = "SIZE",           [SETTING_SWITCH] = "true|false",  [SETTING_LIST] = "[TEXT, ...]",
        [SETTING_PAIRS] = "{NAME: VALUE}", [SETTING_GROUP] = "{KEY: VALUE}", [SETTING_OTHER] = "VALUE",
    };
    if (row->value || row->kind != SETTING_CHOICE) {
        buf_append_text(out, row->value ? row->value : forms[row->kind]);
        return;
    }
    for (size_t i = 0; row->choices[i]; i++)
        buf_append_format(out, "%s%s", i ? "|" : "", row->choices[i]);
}

bool setting_is_same(const setting *row, const void *a, const void *b)
{
    setting shown = *row; /* passwords count */
    shown.is_secret = shown.has_password = shown.hides_values = false;
    buf left, right;
    buf_init(&left, 0);
    buf_init(&right, 0);
    setting_append(&shown, a, &left);
    setting_append(&shown, b, &right);
    bool is_same = left.length == right.length && (!left.length || memcmp(left.data, right.data, left.length) == 0);
    buf_clear(&left);
    buf_clear(&right);
    return is_same;
}

bool setting_table_is_same(const setting *table, const void *a, const void *b)
{
    for (; table->name; table++) {
        bool is_same =
            table->kind == SETTING_GROUP
                ? setting_table_is_same(table->group, (const char *)a + table->offset, (const char *)b + table->offset)
                : table->kind != SETTING_OTHER && setting_is_same(table, a, b);
        if (!is_same)
            return false;
    }
    return true;
}

void setting_copy(const setting *row, void *to, const void *from)
{
    static const size_t sizes[] = {
        [SETTING_TEXT] = sizeof(const char *), [SETTING_NUMBER] = sizeof(int64_t),
        [SETTING_DURATION] = sizeof(int64_t),  [SETTING_SIZE] = sizeof(int64_t),
        [SETTING_SWITCH] = sizeof(bool),       [SETTING_CHOICE] = sizeof(int),
        [SETTING_LIST] = sizeof(setting_list), [SETTING_PAIRS] = sizeof(setting_pairs),
    };
    memcpy((char *)to + row->offset, (const char *)from + row->offset, sizes[row->kind]);
}

/* ---- tables ---- */

const setting *setting_find(const setting *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0 || (table->alias && strcmp(table->alias, name) == 0))
            return table;
    return NULL;
}

const setting *setting_find_secret(const setting *table, const char *name)
{
    size_t length = strlen(name), end = strlen("_file");
    if (length <= end || strcmp(name + length - end, "_file") != 0)
        return NULL;
    for (; table->name; table++)
        if (table->is_secret && strlen(table->name) == length - end && strncmp(table->name, name, length - end) == 0)
            return table;
    return NULL;
}

const char *setting_nearest(const setting *table, const char *name)
{
    const char *names[MAX_NAMES];
    size_t count = 0;
    for (; table->name && count < MAX_NAMES; table++)
        names[count++] = table->name;
    return nearest_word(name, names, count);
}

static void walk(const setting *table, const char *path, void *target, setting_each each, void *arg)
{
    char own[MAX_PATH];
    for (const setting *row = table; row->name; row++) {
        snprintf(own, sizeof own, "%s%s%s", path, *path ? "." : "", row->name);
        if (row->kind == SETTING_GROUP)
            walk(row->group, own, target ? (char *)target + row->offset : NULL, each, arg);
        else
            each(row, own, target, arg);
    }
}

void setting_walk(const setting *table, void *target, setting_each each, void *arg)
{
    walk(table, "", target, each, arg);
}
