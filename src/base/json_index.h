/*
 * Values in a JSON text, for those who look for several: what an object or a list has is found once, and remembered.
 * Of a text of megabytes each look would take milliseconds. Zeros are an empty one.
 */
#ifndef BASE_JSON_INDEX_H
#define BASE_JSON_INDEX_H

#include "base/bytes.h"

typedef struct json_index {
    struct json_level *levels;
} json_index;

/*
 * "user.names.0": members by name, of equal ones the last, items by number. `text` is valid, the same in all calls, and
 * stays as it is. False: it is not there. Without memory it is only slower.
 */
bool json_index_find(json_index *index, bytes text, bytes path, bytes *value);
void json_index_clear(json_index *index);

#endif
