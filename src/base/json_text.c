/* See json_text.h. */
#include "base/json_text.h"

#include <stdint.h>
#include <string.h>

/* Where a text is read. */
typedef struct json_reader {
    const char *at, *end;
} json_reader;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool skip_char(json_reader *r, char wanted)
{
    skip_space(r);
    if (r->at == r->end || *r->at != wanted)
        return false;
    r->at++;
    return true;
}

/* ---- values without others in them ---- */

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits behind "\u"; below 0: they are none. */
static int32_t read_unit(const char *at, const char *end)
{
    int32_t unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        unit = 16 * unit + digit;
    }
    return unit;
}

static bool skip_escape(json_reader *r)
{
    char c = r->at < r->end ? *r->at++ : '\0';
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    if (read_unit(r->at, r->end) < 0)
        return false;
    r->at += 4;
    return true;
}

static bool skip_string(json_reader *r)
{
    if (!skip_char(r, '"'))
        return false;
    while (r->at < r->end) {
        unsigned char c = (unsigned char)*r->at++;
        if (c == '"')
            return true;
        if (c < ' ' || (c == '\\' && !skip_escape(r)))
            return false;
    }
    return false;
}

static bool skip_digits(json_reader *r)
{
    const char *begin = r->at;
    while (r->at < r->end && is_digit(*r->at))
        r->at++;
    return r->at > begin;
}

static bool skip_number(json_reader *r)
{
    r->at += *r->at == '-';
    bool is_zero = r->at < r->end && *r->at == '0';
    const char *begin = r->at;
    if (!skip_digits(r) || (is_zero && r->at > begin + 1))
        return false;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!skip_digits(r))
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        if (!skip_digits(r))
            return false;
    }
    return true;
}

static bool skip_word(json_reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(r->end - r->at) >= length && memcmp(r->at, words[i], length) == 0) {
            r->at += length;
            return true;
        }
    }
    return false;
}

static bool skip_scalar(json_reader *r)
{
    if (r->at == r->end)
        return false;
    return *r->at == '"' ? skip_string(r) : *r->at == '-' || is_digit(*r->at) ? skip_number(r) : skip_word(r);
}

/* ---- any value ---- */

static bool skip_key(json_reader *r)
{
    return skip_string(r) && skip_char(r, ':');
}

/* Objects and lists that are open are on the stack, not on ours, so that any depth is good. False: malformed. */
static bool skip_nested(json_reader *r, buf *open)
{
    for (;;) {
        skip_space(r);
        char c = r->at < r->end ? *r->at : '\0';
        bool is_over = true;
        if (c == '{' || c == '[') {
            r->at++;
            buf_append(open, &c, 1);
            is_over = skip_char(r, c == '{' ? '}' : ']');
            open->length -= is_over;
            if (!is_over && c == '{' && !skip_key(r))
                return false;
        } else if (!skip_scalar(r)) {
            return false;
        }
        while (is_over && open->length) {
            char kind = open->data[open->length - 1];
            if (skip_char(r, ',')) {
                if (kind == '{' && !skip_key(r))
                    return false;
                break;
            }
            if (!skip_char(r, kind == '{' ? '}' : ']'))
                return false;
            open->length--;
        }
        if (!open->length)
            return !buf_failed(open);
    }
}

static bool skip_value(json_reader *r)
{
    buf open;
    buf_init(&open, 0);
    bool is_good = skip_nested(r, &open);
    buf_clear(&open);
    return is_good;
}

bool json_text_is_valid(bytes text)
{
    json_reader r = {text.data, text.data + text.length};
    if (!text.length || !skip_value(&r))
        return false;
    skip_space(&r);
    return r.at == r.end;
}

bytes json_text_trim(bytes text)
{
    json_reader r = {text.data, text.data + text.length};
    skip_space(&r);
    while (r.end > r.at && strchr(" \t\n\r", r.end[-1]))
        r.end--;
    return (bytes){r.at, (size_t)(r.end - r.at)};
}

/* ---- what is inside ---- */

json_cursor json_text_enter(bytes text)
{
    bool has_inside = text.length > 1 && (*text.data == '{' || *text.data == '[');
    return (json_cursor){text.data + has_inside, text.data + text.length - has_inside, *text.data == '{'};
}

bool json_text_next(json_cursor *cursor, bytes *key, bytes *value)
{
    json_reader r = {cursor->at, cursor->end};
    (void)skip_char(&r, ',');
    skip_space(&r);
    if (r.at == r.end)
        return false;
    *key = (bytes){r.at, 0};
    if (cursor->is_object) {
        if (!skip_string(&r))
            return false;
        key->length = (size_t)(r.at - key->data);
        (void)skip_char(&r, ':');
        skip_space(&r);
    }
    value->data = r.at;
    if (!skip_value(&r))
        return false;
    value->length = (size_t)(r.at - value->data);
    cursor->at = r.at;
    return true;
}

bool json_text_is_key(bytes quoted, bytes name)
{
    if (!memchr(quoted.data, '\\', quoted.length))
        return quoted.length == name.length + 2 && memcmp(quoted.data + 1, name.data, name.length) == 0;
    buf text;
    buf_init(&text, 0);
    bool is_same = json_text_decode(quoted, &text) && text.length == name.length &&
                   memcmp(text.data ? text.data : "", name.data, name.length) == 0;
    buf_clear(&text);
    return is_same;
}

size_t json_text_item(bytes step)
{
    size_t number = 0;
    for (size_t i = 0; i < step.length; i++) {
        if (!is_digit(step.data[i]) || number > SIZE_MAX / 20)
            return SIZE_MAX;
        number = 10 * number + (size_t)(step.data[i] - '0');
    }
    return step.length ? number : SIZE_MAX;
}

bool json_text_find_step(bytes text, bytes step, bytes *found)
{
    bytes key, value;
    bool is_there = false;
    json_cursor cursor = json_text_enter(text);
    size_t wanted = cursor.is_object ? SIZE_MAX : json_text_item(step);
    for (size_t i = 0; (cursor.is_object || !is_there) && json_text_next(&cursor, &key, &value); i++) {
        if (cursor.is_object ? !json_text_is_key(key, step) : i != wanted)
            continue;
        is_there = true;
        *found = value;
    }
    return is_there;
}

/* ---- texts ---- */

static void append_utf8(buf *out, uint32_t c)
{
    char text[4];
    size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; c >>= 6)
        text[i] = (char)(0x80 | (c & 0x3f));
    text[0] = (char)(marks[length] | c);
    buf_append(out, text, length);
}

/* Behind "\u". Returns where it ends; NULL: half of a pair. */
static const char *decode_unit(const char *at, const char *end, buf *out)
{
    uint32_t unit = (uint32_t)read_unit(at, end);
    at += 4;
    if (unit >= 0xd800 && unit < 0xdc00) {
        int32_t low = end - at > 1 && at[0] == '\\' && at[1] == 'u' ? read_unit(at + 2, end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return NULL;
        unit = 0x10000 + ((unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        at += 6;
    } else if (unit >= 0xdc00 && unit < 0xe000) {
        return NULL;
    }
    append_utf8(out, unit);
    return at;
}

bool json_text_decode(bytes quoted, buf *out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = quoted.data + 1, *end = quoted.data + quoted.length - 1;
    while (at && at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        buf_append(out, at, (size_t)((escape ? escape : end) - at));
        if (!escape)
            return true;
        if (escape[1] == 'u') {
            at = decode_unit(escape + 2, end, out);
        } else {
            buf_append(out, meant + (strchr(letters, escape[1]) - letters), 1);
            at = escape + 2;
        }
    }
    return at != NULL;
}
