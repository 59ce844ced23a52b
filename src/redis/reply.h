/*
 * Replies: hiredis's reader with our own object functions, which put every value of one reply into an arena and
 * refuse more elements or bytes than a reply of ours can have.
 */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include "base/arena.h"
#include "base/bytes.h"

#include <asynq/error.h>
#include <stdint.h>

typedef enum redis_type { REDIS_STRING, REDIS_ARRAY, REDIS_INTEGER, REDIS_NIL, REDIS_STATUS, REDIS_ERROR } redis_type;

typedef struct redis_value {
    redis_type type;
    int64_t integer;
    bytes text; /* of strings, statuses and errors; NUL behind */
    struct redis_value *elements;
    size_t count;
} redis_value;

typedef struct redis_reader redis_reader;

redis_reader *redis_reader_new(void);
void redis_reader_free(redis_reader *reader);

/* Adds received bytes. Returns 0, or ASYNQ_E_NO_MEMORY / ASYNQ_E_MALFORMED when the connection must be given up. */
ASYNQ_MUST_CHECK int redis_reader_feed(redis_reader *reader, const char *data, size_t length);

/*
 * The next whole reply, or NULL in *value if more bytes are needed. It lives until the next call. Returns 0, or an
 * error as above with a text.
 */
ASYNQ_MUST_CHECK int redis_reader_next(redis_reader *reader, const redis_value **value, asynq_error *error);

/* A copy of the whole value. NULL: out of memory, or over the arena's limit. */
const redis_value *redis_value_copy(const redis_value *value, arena *into);

/* Readings that tolerate any type: what does not fit is 0, empty or NULL. */
int64_t redis_value_integer(const redis_value *value); /* integers, and strings that are decimal integers */
double redis_value_double(const redis_value *value);   /* strings that are numbers */
const redis_value *redis_value_at(const redis_value *array, size_t index);
bool redis_value_is_text(const redis_value *value, const char *text);

/* What a subscriber is sent: "message", channel, text; or "sunsubscribe", channel, count, when the channel's slot
 * leaves the node. A task of id "message" may stand first in another reply. */
bool redis_value_is_message(const redis_value *value);

#endif
