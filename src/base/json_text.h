/*
 * Values in a JSON text (RFC 8259), found where they stand. Nothing is decoded and written anew: numbers keep their
 * characters, whatever their size, and what nobody asks for may be of any kind that JSON allows. (jansson makes a tree
 * of C numbers and texts, and refuses what does not fit into it.)
 */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include "base/buf.h"
#include "base/bytes.h"

#include <stdbool.h>

/* True if it is one value, with white space around it. Bytes that are not UTF-8 are taken inside of texts. */
bool json_text_is_valid(bytes text);

/* The value of a valid text without the white space around it. */
bytes json_text_trim(bytes text);

/* What is inside of an object or a list, one after the other. `text` is valid and trimmed. */
typedef struct json_cursor {
    const char *at, *end;
    bool is_object;
} json_cursor;
json_cursor json_text_enter(bytes text);
/* `key`: with its quotes; empty in a list. False: there is no more. */
bool json_text_next(json_cursor *cursor, bytes *key, bytes *value);
/* Whether a key, with its quotes and escapes, is this name. */
bool json_text_is_key(bytes quoted, bytes name);

/*
 * What an object or a list has by this name or number; of equal names the last. `text` is valid and trimmed. False: it
 * is not there.
 */
bool json_text_find_step(bytes text, bytes step, bytes *found);
/* The number that a step is; SIZE_MAX: it is none. */
size_t json_text_item(bytes step);

/* Appends the characters of a text in quotes. False: it has half of a surrogate pair. */
bool json_text_decode(bytes quoted, buf *out);

#endif
