/* Names, each once, found by hash. Thread: one at a time. */
#ifndef BASE_NAME_SET_H
#define BASE_NAME_SET_H

#include "base/hash.h"

#include <stdbool.h>

typedef struct name_entry {
    UT_hash_handle hh;
    size_t under_way; /* for the books of the owner; 0 and false at first */
    bool is_made;
    char name[];
} name_entry;

typedef struct name_set {
    name_entry *entries;
} name_set;

/* NULL: it is not there. */
name_entry *name_set_find(const name_set *set, const char *name);
/* Whether it is there, or an entry is a pattern that it matches: see text_matches(). */
bool name_set_matches(const name_set *set, const char *name);
/* The entry, which may be there already. NULL: out of memory. */
name_entry *name_set_add(name_set *set, const char *name);
void name_set_remove(name_set *set, name_entry *entry);
size_t name_set_count(const name_set *set);
void name_set_clear(name_set *set);

#endif
