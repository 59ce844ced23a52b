/*
 * Nodes as JSON, see settings.h. What a plain scalar stands for is said by YAML 1.2's core schema: Null and ~ are null,
 * True is true, 0x1f is 31. Numbers that JSON can have keep their characters.
 */
#include "base/settings.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH_MAX = 256 };

static void settings_json_append_text(buf *out, const char *text, size_t length)
{
    buf_append_text(out, "\"");
    for (size_t i = 0; i < length; i++)
        if (text[i] == '"' || text[i] == '\\')
            buf_append_format(out, "\\%c", text[i]);
        else if ((unsigned char)text[i] < ' ')
            buf_append_format(out, "\\u%04x", (unsigned char)text[i]);
        else
            buf_append(out, &text[i], 1);
    buf_append_text(out, "\"");
}

/* ---- what plain scalars stand for ---- */

static const struct {
    const char *written, *json;
} words[] = {
    {"", "null"},     {"~", "null"},    {"null", "null"},   {"Null", "null"},   {"NULL", "null"},   {"true", "true"},
    {"True", "true"}, {"TRUE", "true"}, {"false", "false"}, {"False", "false"}, {"FALSE", "false"},
};

static const char *const no_numbers[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};

static const char *find_word(const char *text)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].written, text) == 0)
            return words[i].json;
    return NULL;
}

static bool is_no_number(const char *text)
{
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++)
        if (strcmp(no_numbers[i], text + strspn(text, *text == '.' ? "" : "+-")) == 0)
            return true;
    return false;
}

/* "0x1f", "0o17". False: it is none. */
static bool append_based(buf *out, const char *text)
{
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 0;
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    if (!base || !text[2] || text[2 + strspn(text + 2, digits)])
        return false;
    errno = 0;
    uint64_t number = strtoull(text + 2, NULL, base);
    if (!errno)
        buf_append_format(out, "%" PRIu64, number);
    return !errno;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool append_decimal(buf *out, const char *text)
{
    const char *at = text + (*text == '+' || *text == '-');
    size_t whole = strspn(at, "0123456789"), zeros = strspn(at, "0");
    const char *rest = at + whole;
    size_t part = *rest == '.' ? strspn(rest + 1, "0123456789") : 0;
    const char *end = rest + (*rest == '.') + part, *exponent = end;
    if (!whole && !part)
        return false;
    if (*end == 'e' || *end == 'E') {
        end += 1 + (end[1] == '+' || end[1] == '-');
        size_t digits = strspn(end, "0123456789");
        end += digits;
        if (!digits)
            return false;
    }
    if (*end)
        return false;
    zeros -= zeros == whole && zeros;
    buf_append_text(out, *text == '-' ? "-" : "");
    buf_append_text(out, whole ? "" : "0");
    buf_append(out, at + zeros, whole - zeros);
    if (part)
        buf_append(out, rest, part + 1);
    buf_append_text(out, exponent);
    return true;
}

static int append_scalar(settings *file, settings_node *node, buf *out, asynq_error *error)
{
    size_t length = 0;
    const char *text = settings_text(node, &length);
    enum fy_node_style style = fy_node_get_style(node);
    bool is_plain = style == FYNS_PLAIN || !fy_node_get_scalar_token(node);
    if (!text || !is_plain) {
        settings_json_append_text(out, text ? text : "", length);
        return ASYNQ_OK;
    }
    const char *word = find_word(text);
    if (is_no_number(text))
        return settings_complain(file, node, error, "%s is no number that JSON has; in quotes it is a text", text);
    if (word)
        buf_append_text(out, word);
    else if (!append_based(out, text) && !append_decimal(out, text))
        settings_json_append_text(out, text, length);
    return ASYNQ_OK;
}

/* ---- what is in others ---- */

static int append_node(settings *file, settings_node *node, int depth, buf *out, asynq_error *error);

static int append_mapping(settings *file, settings_node *node, int depth, buf *out, asynq_error *error)
{
    void *iterator = NULL;
    struct fy_node_pair *pair;
    for (size_t i = 0; (pair = fy_node_mapping_iterate(node, &iterator)); i++) {
        size_t length = 0;
        const char *key = settings_text(fy_node_pair_key(pair), &length);
        if (!key)
            return settings_complain(file, node, error, "a key is no plain text");
        buf_append_text(out, i ? ", " : "");
        settings_json_append_text(out, key, length);
        buf_append_text(out, ": ");
        int status = append_node(file, fy_node_pair_value(pair), depth + 1, out, error);
        if (status)
            return status;
    }
    return ASYNQ_OK;
}

static int append_sequence(settings *file, settings_node *node, int depth, buf *out, asynq_error *error)
{
    void *iterator = NULL;
    settings_node *item;
    int status = ASYNQ_OK;
    for (size_t i = 0; !status && (item = fy_node_sequence_iterate(node, &iterator)); i++) {
        buf_append_text(out, i ? ", " : "");
        status = append_node(file, item, depth + 1, out, error);
    }
    return status;
}

static int append_node(settings *file, settings_node *node, int depth, buf *out, asynq_error *error)
{
    if (depth > JSON_DEPTH_MAX)
        return settings_complain(file, node, error, "is nested deeper than %d levels", JSON_DEPTH_MAX);
    bool is_mapping = node && fy_node_is_mapping(node), is_sequence = node && fy_node_is_sequence(node);
    if (!node) {
        buf_append_text(out, "null");
        return ASYNQ_OK;
    }
    if (!is_mapping && !is_sequence)
        return append_scalar(file, node, out, error);
    buf_append_text(out, is_mapping ? "{" : "[");
    int status = (is_mapping ? append_mapping : append_sequence)(file, node, depth, out, error);
    buf_append_text(out, is_mapping ? "}" : "]");
    return status;
}

int settings_append_json(settings *file, settings_node *node, buf *out, asynq_error *error)
{
    int status = append_node(file, node, 0, out, error);
    return status || !buf_failed(out) ? status : error_set_code(error, ASYNQ_E_NO_MEMORY);
}
