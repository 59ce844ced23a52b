/* See json_index.h. */
#include "base/json_index.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json_text.h"

#include <utlist.h>

/* Of an object or a list with more members nothing is remembered: they could take more memory than the text. */
enum { LEVEL_MAX_MEMBERS = 65536 };

typedef struct json_member {
    bytes key, value;
} json_member;

/* An object or a list on the way to a value. */
typedef struct json_level {
    const char *at; /* where it begins */
    json_member *members;
    size_t count;
    bool is_object, is_complete;
    struct json_level *next;
} json_level;

/* False: there are too many, or no memory. */
static bool json_index_read_members(json_level *level, bytes text)
{
    buf members;
    json_member one;
    bool has_more = true;
    json_cursor cursor = json_text_enter(text);
    buf_init(&members, LEVEL_MAX_MEMBERS * sizeof one);
    level->is_object = cursor.is_object;
    while (!buf_failed(&members) && (has_more = json_text_next(&cursor, &one.key, &one.value)))
        buf_append(&members, &one, sizeof one);
    level->count = members.length / sizeof one;
    level->members = (json_member *)(void *)buf_take(&members);
    return !has_more;
}

static json_level *json_index_level_of(json_index *index, bytes text)
{
    json_level *level;
    LL_SEARCH_SCALAR(index->levels, level, at, text.data);
    if (level || !(level = mem_calloc(1, sizeof *level)))
        return level;
    level->at = text.data;
    level->is_complete = json_index_read_members(level, text);
    LL_PREPEND(index->levels, level);
    return level;
}

static bool json_index_find_member(const json_level *level, bytes step, bytes *value)
{
    size_t number = level->is_object ? level->count : json_text_item(step);
    if (!level->is_object && number < level->count) {
        *value = level->members[number].value;
        return true;
    }
    for (size_t i = level->is_object ? level->count : 0; i-- > 0;) /* of equal names the last counts */
        if (json_text_is_key(level->members[i].key, step)) {
            *value = level->members[i].value;
            return true;
        }
    return false;
}

static bool find_step(json_index *index, bytes text, bytes step, bytes *value)
{
    if (!text.length || (*text.data != '{' && *text.data != '['))
        return false;
    const json_level *level = json_index_level_of(index, text);
    return level && level->is_complete ? json_index_find_member(level, step, value)
                                       : json_text_find_step(text, step, value);
}

bool json_index_find(json_index *index, bytes text, bytes path, bytes *value)
{
    bytes here = json_text_trim(text);
    while (path.length) {
        const char *dot = memchr(path.data, '.', path.length);
        size_t length = dot ? (size_t)(dot - path.data) : path.length, used = length + (dot != NULL);
        if (!find_step(index, here, (bytes){path.data, length}, &here))
            return false;
        path = (bytes){path.data + used, path.length - used};
    }
    *value = here;
    return true;
}

void json_index_clear(json_index *index)
{
    for (json_level *level; (level = index->levels);) {
        LL_DELETE(index->levels, level);
        mem_free(level->members);
        mem_free(level);
    }
}
