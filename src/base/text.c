/* See text.h. */
#include "base/text.h"

#include "base/printable.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Of a character beyond ASCII: its length in bytes, or 0 if the bytes are not well-formed (Unicode, table 3-7). */
static inline size_t utf8_length(const unsigned char *at, size_t left)
{
    if (at[0] < 0xe0)
        return at[0] >= 0xc2 && left >= 2 && is_tail(at[1]) ? 2 : 0;
    if (at[0] < 0xf0) {
        unsigned char min = at[0] == 0xe0 ? 0xa0 : 0x80, max = at[0] == 0xed ? 0x9f : 0xbf;
        return left >= 3 && at[1] >= min && at[1] <= max && is_tail(at[2]) ? 3 : 0;
    }
    unsigned char min = at[0] == 0xf0 ? 0x90 : 0x80, max = at[0] == 0xf4 ? 0x8f : 0xbf;
    return at[0] <= 0xf4 && left >= 4 && at[1] >= min && at[1] <= max && is_tail(at[2]) && is_tail(at[3]) ? 4 : 0;
}

size_t text_decode(const void *text, size_t left, uint32_t *character)
{
    const unsigned char *at = text;
    static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t length = at[0] < 0x80 ? 1 : utf8_length(at, left);
    *character = at[0] & first_mask[length];
    for (size_t i = 1; i < length; i++)
        *character = *character << 6 | (at[i] & 0x3f);
    return length;
}

/* How many bytes at the start are plain ASCII, in steps of a word: texts of megabytes come from Redis. */
static size_t ascii_length(const unsigned char *at, size_t length)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= length; i += sizeof word) {
        memcpy(&word, at + i, sizeof word);
        if (word & high_bits)
            break;
    }
    return i;
}

size_t text_utf8_prefix(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length;) {
        if (at[i] < 0x80) {
            size_t run = ascii_length(at + i, length - i);
            i += run ? run : 1;
            continue;
        }
        size_t step = utf8_length(at + i, length - i);
        if (!step)
            return i;
        i += step;
    }
    return length;
}

bool text_is_utf8(const void *bytes, size_t length)
{
    return text_utf8_prefix(bytes, length) == length;
}

static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool text_is_blank(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    for (size_t i = 0; i < length;) {
        uint32_t character;
        size_t step = text_decode(at + i, length - i, &character);
        if (!step || !is_space(character))
            return false;
        i += step;
    }
    return true;
}

bool text_has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

void text_append_escape(buf *out, uint32_t c)
{
    static const char names[] = "abtnvfr"; /* for 7 to 13 */
    if (c >= 7 && c <= 13)
        buf_append_format(out, "\\%c", names[c - 7]);
    else if (c < 0x20 || c == 0x7f)
        buf_append_format(out, "\\x%02x", (unsigned)c);
    else
        buf_append_format(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

void text_append_byte_escape(buf *out, char byte)
{
    buf_append_format(out, "\\x%02x", (unsigned)(unsigned char)byte);
}

void text_append_quoted(buf *out, const char *text, size_t length)
{
    buf_append_text(out, "\"");
    for (size_t i = 0, step; i < length; i += step) {
        uint32_t character;
        step = text_decode(text + i, length - i, &character);
        if (step == 1 && (character == '"' || character == '\\'))
            buf_append_format(out, "\\%c", text[i]);
        else if (step && is_printable(character))
            buf_append(out, text + i, step);
        else if (step)
            text_append_escape(out, character);
        else
            text_append_byte_escape(out, text[i]);
        step += !step;
    }
    buf_append_text(out, "\"");
}

size_t text_cut(const char *text, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    while (limit && ((unsigned char)text[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

void text_each_line(const char *data, size_t length, void (*each)(void *arg, const char *line, size_t length),
                    void *arg)
{
    while (length) {
        const char *end = memchr(data, '\n', length);
        size_t line = end ? (size_t)(end - data) : length;
        if (line)
            each(arg, data, line);
        data += line + (end != NULL);
        length -= line + (end != NULL);
    }
}

bool text_has_word(const char *words, const char *word, size_t length)
{
    for (const char *at = words; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}

/* Only the last star may have to take more, so the time is that of pattern times text. */
bool text_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *taken = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            taken = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++taken;
        } else {
            return false;
        }
    }
    return !pattern[strspn(pattern, "*")];
}

void text_make_utf8(char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        uint32_t character;
        size_t step = text_decode(text + i, length - i, &character);
        if (!step) {
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

bool text_read_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return isdigit((unsigned char)*text) && !*end && !errno;
}
