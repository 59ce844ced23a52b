/* See name_set.h. */
#include "base/name_set.h"

#include "base/text.h"

#include <string.h>

name_entry *name_set_find(const name_set *set, const char *name)
{
    name_entry *entry = NULL;
    HASH_FIND_STR(set->entries, name, entry);
    return entry;
}

bool name_set_matches(const name_set *set, const char *name)
{
    if (name_set_find(set, name))
        return true;
    for (const name_entry *entry = set->entries; entry; entry = entry->hh.next)
        if (text_matches(entry->name, name))
            return true;
    return false;
}

name_entry *name_set_add(name_set *set, const char *name)
{
    name_entry *entry = name_set_find(set, name);
    size_t length = strlen(name);
    if (entry || !(entry = mem_calloc(1, sizeof *entry + length + 1)))
        return entry;
    memcpy(entry->name, name, length + 1);
    HASH_ADD_KEYPTR(hh, set->entries, entry->name, length, entry);
    if (HASH_HAS(entry))
        return entry;
    mem_free(entry);
    return NULL;
}

void name_set_remove(name_set *set, name_entry *entry)
{
    HASH_DEL(set->entries, entry);
    mem_free(entry);
}

size_t name_set_count(const name_set *set)
{
    return HASH_COUNT(set->entries);
}

void name_set_clear(name_set *set)
{
    name_entry *entry, *next;
    HASH_ITER(hh, set->entries, entry, next)
        name_set_remove(set, entry);
}
