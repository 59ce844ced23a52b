/*
 * What the record modules of this folder share: the protobuf-c library behind one decode and one encode call.
 *
 * Decoded records live in an arena whose limit grows with the input, and a record has at most RECORD_FIELDS_MAX fields:
 * hostile bytes give an error and never a large allocation, nor more work than reading them once. Unknown fields of a
 * decoded record are kept and written again.
 */
#ifndef WIRE_RECORD_H
#define WIRE_RECORD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "wire/records.pb-c.h"

#include <stdint.h>

/* Fields of a record that this version does not know, as they came. */
typedef struct record_unknown {
    ProtobufCMessageUnknownField *fields;
    unsigned count;
} record_unknown;

/* Sets the limit that suits a record of `length` bytes. The arena must be empty. */
void record_arena_init(arena *a, size_t length);

/* With those of nested records. Those of Asynq have tens of them; each header is three. */
enum { RECORD_FIELDS_MAX = 100 * 1000 };

/*
 * NULL, with a text in `error`, if the bytes are not such a record or memory ran out: record_failure() says which. The
 * two are never taken for each other, because what is malformed is archived for good.
 */
void *record_decode(const ProtobufCMessageDescriptor *type, bytes from, arena *into, asynq_error *error);

/* Why an allocation for a record failed: ASYNQ_E_NO_MEMORY, or ASYNQ_E_MALFORMED if the limit of `into` is reached. */
int record_failure(const arena *into, asynq_error *error);

/* Appends the canonical bytes. A failed allocation shows in the buffer. */
void record_encode(const ProtobufCMessage *record, buf *out);

/* A point in time as the records write it. Go's zero time stands for "never". */
typedef struct record_time {
    int64_t seconds;
    int32_t nanos;
} record_time;

#define RECORD_TIME_NEVER ((record_time){INT64_C(-62135596800), 0})

record_time record_time_of_ns(int64_t at_ns);
Wire__Timestamp record_time_pack(record_time at);
/* An absent time reads as the Unix epoch, as in Go. */
record_time record_time_unpack(const Wire__Timestamp *at);

/* Field setters and getters: an empty or zero field is not written. */
#define RECORD_SET_BYTES(record, field, value)                                                                         \
    do {                                                                                                               \
        (record).has_##field = (value).length > 0;                                                                     \
        (record).field = (ProtobufCBinaryData){(value).length, (uint8_t *)(uintptr_t)(value).data};                    \
    } while (0)

#define RECORD_SET_NUMBER(record, field, value)                                                                        \
    do {                                                                                                               \
        (record).has_##field = (value) != 0;                                                                           \
        (record).field = (value);                                                                                      \
    } while (0)

static inline bytes record_bytes(ProtobufCBinaryData field)
{
    return (bytes){field.len ? (const char *)field.data : "", field.len};
}

/* Checks a text field. Returns 0, or ASYNQ_E_MALFORMED with the field's name in the text. */
int record_check_text(const char *field, bytes text, asynq_error *error);

#endif
