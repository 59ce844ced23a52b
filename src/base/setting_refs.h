/*
 * Values of settings that stand somewhere else:
 *
 *   ${NAME}         a variable of the environment, also inside of a text; $${ is the two characters
 *   {file: PATH}    the text in a file, without a line end at its end
 *
 * How each was written is remembered, so that secrets are shown as that, and in no complaint.
 */
#ifndef BASE_SETTING_REFS_H
#define BASE_SETTING_REFS_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct setting_ref {
    const void *value;   /* a text, or the place of another value; known by its address */
    const char *written; /* "Bearer ${TOKEN}", or the path */
    bool is_file, is_place;
    struct setting_ref *next;
} setting_ref;

/* Zeroed at the beginning; all lives in the memory that the calls get. */
typedef struct setting_refs {
    setting_ref *items;
} setting_refs;

/* Returns `text` if there is nothing in it to be replaced. NULL: `problem` has the end of a sentence, or no memory. */
const char *setting_refs_expand(setting_refs *refs, const char *text, arena *memory, buf *problem);
/* Only "$${" is replaced: for texts in which "${" has a meaning of its own. NULL: no memory. */
const char *setting_refs_unescape(const char *text, arena *memory);
const char *setting_refs_read(setting_refs *refs, const char *path, arena *memory, buf *problem);

/* The value at `to`, which is no text, was made of `from`. */
void setting_refs_copy(setting_refs *refs, const char *from, const void *to, arena *memory);
/* NULL: it is as it was written. */
const setting_ref *setting_refs_find(const setting_refs *refs, const void *value);
/* Appends a text in which what came from elsewhere is as it was written. */
void setting_refs_mask(const setting_refs *refs, const char *text, buf *out);

/* Appends the text without its references. */
void setting_refs_strip(const char *written, buf *out);

#endif
