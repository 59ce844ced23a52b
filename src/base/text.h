/* Tests and forms of text that the protocol prescribes: UTF-8, blank names, Go's quoted form. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

#include <stdint.h>

/* Well-formed UTF-8 as Go and Unicode define it: no surrogates, no overlong forms, at most U+10FFFF. */
bool text_is_utf8(const void *bytes, size_t length);
/* How many bytes from the beginning are. */
size_t text_utf8_prefix(const void *bytes, size_t length);

/* Decodes one character. Returns its length in bytes, or 0 if the bytes are not well-formed. */
size_t text_decode(const void *text, size_t left, uint32_t *character);

/* Empty, or nothing but Unicode white space (the set of Go's unicode.IsSpace). */
bool text_is_blank(const char *text, size_t length);

/* Whether a text has a control character of ASCII. */
bool text_has_control(const char *text);

/* Appends the text in Go's %q form: double quotes, with escapes for what is not printable. */
void text_append_quoted(buf *out, const char *text, size_t length);

/* Appends a character by its name or number: \n, \x1b, \u202e, \U000e0041; and a byte that is no UTF-8. */
void text_append_escape(buf *out, uint32_t character);
void text_append_byte_escape(buf *out, char byte);

/* Length of `text` in bytes, cut to at most `limit` without splitting a character. */
size_t text_cut(const char *text, size_t length, size_t limit);

/* Reads a whole number from 0 on. False: the text is none, or too large. */
bool text_read_number(const char *text, int64_t *number);

/* Calls `each` for the lines of a text, without those that are empty; the last one needs no line end. */
void text_each_line(const char *text, size_t length, void (*each)(void *arg, const char *line, size_t length),
                    void *arg);

/* True if the word is one of `words`, which are separated by spaces; NULL has none. */
bool text_has_word(const char *words, const char *word, size_t length);

/* Whether a text is as the pattern says, in which '*' stands for any bytes, and nothing else for something else. */
bool text_matches(const char *pattern, const char *text);

/* Replaces every byte that is not part of well-formed UTF-8 with '?', in place. */
void text_make_utf8(char *text, size_t length);

#endif
