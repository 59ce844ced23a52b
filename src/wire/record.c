/* See record.h. */
#include "wire/record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

static void *record_arena_alloc(void *a, size_t size)
{
    return arena_alloc(a, size);
}

static void record_arena_free(void *a, void *memory)
{
    (void)a;
    (void)memory; /* the arena is given back as a whole */
}

void record_arena_init(arena *a, size_t length)
{
    /* Honest records need a few times their size; one with a million two-byte fields would need forty times. */
    arena_init(a, 16 * length + ((size_t)1 << 20));
}

/* Field numbers outside protobuf's range, which protobuf-c takes but could not write again. */
static bool has_impossible_field(const ProtobufCMessage *record)
{
    for (unsigned i = 0; i < record->n_unknown_fields; i++)
        if (record->unknown_fields[i].tag == 0 || record->unknown_fields[i].tag >= 1u << 29)
            return true;
    return false;
}

void *record_decode(const ProtobufCMessageDescriptor *type, bytes from, arena *into, asynq_error *error)
{
    ProtobufCAllocator allocator = {record_arena_alloc, record_arena_free, into};
    ProtobufCMessage *record = protobuf_c_message_unpack(type, &allocator, from.length, (const uint8_t *)from.data);
    if (record && has_impossible_field(record))
        record = NULL;
    if (!record)
        error_set(error, ASYNQ_E_MALFORMED, "%zu bytes that are not a %s", from.length, type->short_name);
    return record;
}

void record_encode(const ProtobufCMessage *record, buf *out)
{
    size_t length = protobuf_c_message_get_packed_size(record);
    char *room = buf_reserve(out, length);
    if (!room)
        return;
    out->length += protobuf_c_message_pack(record, (uint8_t *)room);
    out->data[out->length] = '\0';
}

record_time record_time_of_ns(int64_t at_ns)
{
    int64_t seconds = floor_div(at_ns, NS_PER_SECOND);
    return (record_time){seconds, (int32_t)(at_ns - seconds * NS_PER_SECOND)};
}

Wire__Timestamp record_time_pack(record_time at)
{
    Wire__Timestamp packed = WIRE__TIMESTAMP__INIT;
    RECORD_SET_NUMBER(packed, seconds, at.seconds);
    RECORD_SET_NUMBER(packed, nanos, at.nanos);
    return packed;
}

record_time record_time_unpack(const Wire__Timestamp *at)
{
    return at ? (record_time){at->seconds, at->nanos} : (record_time){0, 0};
}

int record_check_text(const char *field, bytes text, asynq_error *error)
{
    if (text_is_utf8(text.data, text.length))
        return ASYNQ_OK;
    return error_set(error, ASYNQ_E_MALFORMED, "string field contains invalid UTF-8: %s", field);
}
