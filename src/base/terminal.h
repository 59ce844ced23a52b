/*
 * The one way of text to people's screens. Ids, queues, errors and output come from Redis, files and handlers, and
 * anybody may have written them: what could steer a terminal, turn the direction of text, or cannot be seen is written
 * by its number, and so is what is no UTF-8. A backslash is doubled, so that nothing in a text looks like an escape.
 *
 *     \n \t \x1b          controls           \u202e \U000e0041  what cannot be seen, or is no letter or sign
 *     \x9b                a byte             \\                 a backslash
 *
 * tools/check-printing finds other ways.
 */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>

/*
 * Asks the locale what the terminal takes: in one without UTF-8 all but ASCII is written by its number, for its bytes
 * would be other characters there, controls among them. Who says nothing about a locale has UTF-8. For a program, at
 * its beginning; what has not called it has UTF-8, too.
 */
void terminal_use_locale(void);

/* Whether the terminal has the character, as far as is known. */
bool terminal_has(uint32_t character);

/* Whether nothing in the text has to be escaped. */
bool terminal_is_clean(const char *text);

/* Appends the text as it is shown. */
void terminal_append(buf *out, const char *text, size_t length);

/* The same between double quotes, with those in it escaped: a text in YAML, if it is UTF-8. */
void terminal_append_quoted(buf *out, const char *text, size_t length);

/* The same for a document in JSON, which stays the same document. */
void terminal_append_json(buf *out, const char *json, size_t length);

/* Writes a line in one piece: what the format makes, escaped, behind `begin`, which is ours. False: it is not written.
 */
bool terminal_line(FILE *out, const char *begin, const char *format, ...) ASYNQ_PRINTF(3, 4);
bool terminal_linev(FILE *out, const char *begin, const char *format, va_list args) ASYNQ_PRINTF(3, 0);

/* Columns that a text takes that has been escaped. After terminal_use_locale(). */
int terminal_width(const char *text, size_t length);

/* Length in bytes of the longest beginning of it that takes no more columns. */
size_t terminal_fit(const char *text, int width);

#endif
