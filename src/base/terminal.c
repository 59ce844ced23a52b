/* See terminal.h. */
#include "base/terminal.h"

#include "base/printable.h"
#include "base/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* More marks over one character reach into the lines above and below; languages have up to three. */
enum { MAX_MARKS = 4 };

/* What is known of the terminal; changed by terminal_use_locale() alone. */
static bool terminal_is_measured, terminal_is_ascii;

/* ---- what it has ---- */

static bool is_locale_chosen(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

void terminal_use_locale(void)
{
    setlocale(LC_CTYPE, is_locale_chosen() ? "" : "C.UTF-8");
    terminal_is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    terminal_is_measured = true;
}

bool terminal_has(uint32_t c)
{
    if (c < 0x80)
        return true;
    return !terminal_is_ascii && (!terminal_is_measured || wcwidth((wchar_t)c) >= 0);
}

/* Where in a text we are. */
typedef struct terminal_place {
    int marks; /* over the last character; MAX_MARKS: it takes none */
    bool is_quoted;
} terminal_place;

/* Also a vowel of Korean, which stands in the square of the letter before it. */
static bool takes_no_column(uint32_t c)
{
    return is_mark(c) || (terminal_is_measured && wcwidth((wchar_t)c) == 0);
}

static bool is_shown(terminal_place *place, uint32_t c)
{
    bool is_ascii = c < 0x80, is_over = !is_ascii && takes_no_column(c);
    bool is_sign = c == '\\' || (c == '"' && place->is_quoted);
    bool is_fine = is_ascii ? c >= 0x20 && c < 0x7f && !is_sign : is_printable(c) && !is_unseen(c) && terminal_has(c);
    if (!is_fine || (is_over && place->marks >= MAX_MARKS)) {
        place->marks = MAX_MARKS; /* none over an escape */
        return false;
    }
    place->marks = is_over ? place->marks + 1 : 0;
    return true;
}

/* ---- escaping ---- */

static void append_one(buf *out, terminal_place *place, const char *at, size_t length, uint32_t c)
{
    if (!length)
        text_append_byte_escape(out, *at);
    else if (is_shown(place, c))
        buf_append(out, at, length);
    else if (c == '\\' || c == '"')
        buf_append_format(out, "\\%c", (char)c);
    else
        text_append_escape(out, c);
}

static void append_all(buf *out, terminal_place *place, const char *text, size_t length)
{
    for (size_t i = 0, step; i < length; i += step ? step : 1) {
        uint32_t character;
        step = text_decode(text + i, length - i, &character);
        append_one(out, place, text + i, step, character);
    }
}

void terminal_append(buf *out, const char *text, size_t length)
{
    append_all(out, &(terminal_place){.marks = MAX_MARKS}, text, length);
}

void terminal_append_quoted(buf *out, const char *text, size_t length)
{
    buf_append_text(out, "\"");
    append_all(out, &(terminal_place){.is_quoted = true}, text, length);
    buf_append_text(out, "\"");
}

bool terminal_is_clean(const char *text)
{
    terminal_place place = {.marks = MAX_MARKS};
    size_t length = strlen(text);
    for (size_t i = 0, step; i < length; i += step) {
        uint32_t character;
        step = text_decode(text + i, length - i, &character);
        if (!step || !is_shown(&place, character))
            return false;
    }
    return true;
}

/* In UTF-16. */
static void append_unit_escapes(buf *out, uint32_t c)
{
    if (c >= 0x10000) {
        buf_append_format(out, "\\u%04x", 0xd800 + (unsigned)((c - 0x10000) >> 10));
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    buf_append_format(out, "\\u%04x", (unsigned)c);
}

/* A backslash is the document's own, and so are the line ends between its parts. */
void terminal_append_json(buf *out, const char *json, size_t length)
{
    terminal_place place = {.marks = MAX_MARKS};
    for (size_t i = 0, step; i < length; i += step ? step : 1) {
        uint32_t character;
        for (step = 0; i + step < length && (unsigned char)json[i + step] < 0x7f;)
            step++;
        buf_append(out, json + i, step);
        if (step) {
            place.marks = 0;
            continue;
        }
        step = text_decode(json + i, length - i, &character);
        if (step && is_shown(&place, character))
            buf_append(out, json + i, step);
        else
            append_unit_escapes(out, step ? character : 0xfffd);
    }
}

/* ---- lines ---- */

bool terminal_linev(FILE *out, const char *begin, const char *format, va_list args)
{
    buf text, line;
    buf_init(&text, 0);
    buf_init(&line, 0);
    buf_append_formatv(&text, format, args);
    buf_append_text(&line, begin);
    terminal_append(&line, text.data ? text.data : "", text.length);
    if (buf_failed(&text))
        buf_append_text(&line, "out of memory");
    buf_append_text(&line, "\n");
    bool is_written = !buf_failed(&line) && fwrite(line.data, 1, line.length, out) == line.length;
    buf_clear(&text);
    buf_clear(&line);
    return is_written;
}

bool terminal_line(FILE *out, const char *begin, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool is_written = terminal_linev(out, begin, format, args);
    va_end(args);
    return is_written;
}

/* ---- columns ---- */

/* Of the character that begins there, with its length in bytes. */
static int columns_at(const char *text, size_t left, size_t *step)
{
    uint32_t character = 0;
    *step = text_decode(text, left, &character);
    if (!*step || character < 0x80) {
        *step = 1;
        return 1;
    }
    int columns = wcwidth((wchar_t)character);
    return columns >= 0 ? columns : 1;
}

int terminal_width(const char *text, size_t length)
{
    int width = 0;
    for (size_t i = 0, step; i < length; i += step)
        width += columns_at(text + i, length - i, &step);
    return width;
}

size_t terminal_fit(const char *text, int width)
{
    size_t length = strlen(text), i = 0;
    for (size_t step; i < length; i += step) {
        width -= columns_at(text + i, length - i, &step);
        if (width < 0)
            break;
    }
    return i;
}
