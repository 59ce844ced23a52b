/* See record.h. */
#include "wire/record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

/*
 * What a record of a few short fields needs beside its bytes, which are there twice: from the decoder, and with a NUL
 * byte behind. One block that fits, as a server has an arena for each task that runs.
 */
enum { RECORD_FIRST_BLOCK = 384, RECORD_FIRST_BLOCK_MAX = 64 * 1024 };

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
    /* Honest records need a few times their size, those of short headers twenty times; one of two-byte fields, forty.
     */
    arena_init(a, 32 * length + ((size_t)1 << 20));
    a->first_block = length < RECORD_FIRST_BLOCK_MAX / 2 ? RECORD_FIRST_BLOCK + 2 * length : RECORD_FIRST_BLOCK_MAX;
}

/* Field numbers outside protobuf's range, which protobuf-c takes but could not write again. */
static bool has_impossible_field(const ProtobufCMessage *record)
{
    for (unsigned i = 0; i < record->n_unknown_fields; i++)
        if (record->unknown_fields[i].tag == 0 || record->unknown_fields[i].tag >= 1u << 29)
            return true;
    return false;
}

/* ---- how many fields ---- */

/* Moves `at` behind a varint. False: it does not end. */
static bool varint_read(bytes *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; at->length && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*at->data;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        *at = (bytes){at->data + 1, at->length - 1};
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Moves `at` behind a field, whose content is returned if it is a text or a record. False: it is malformed. */
static bool field_read(bytes *at, uint32_t *number, bytes *content)
{
    uint64_t tag, length = 0;
    *content = (bytes){0};
    if (!varint_read(at, &tag))
        return false;
    *number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return varint_read(at, &length);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        length = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        length = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (varint_read(at, &length))
            break;
        return false;
    default:
        return false;
    }
    if (length > at->length)
        return false;
    *content = (bytes){at->data, (size_t)length};
    *at = (bytes){at->data + length, at->length - (size_t)length};
    return true;
}

/* Counts until there are too many, or something is malformed, which the decoder is left to find. */
static size_t count_fields(const ProtobufCMessageDescriptor *type, bytes from)
{
    size_t count = 0;
    bytes content;
    uint32_t number;
    while (from.length && count <= RECORD_FIELDS_MAX && field_read(&from, &number, &content)) {
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, number);
        count++;
        if (content.length && field && field->type == PROTOBUF_C_TYPE_MESSAGE)
            count += count_fields(field->descriptor, content);
    }
    return count;
}

/* ---- decoding ---- */

int record_failure(const arena *into, asynq_error *error)
{
    if (into->lacks_memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return error_set(error, ASYNQ_E_MALFORMED, "a record that would fill %zu bytes of memory", into->limit);
}

void *record_decode(const ProtobufCMessageDescriptor *type, bytes from, arena *into, asynq_error *error)
{
    if (count_fields(type, from) > RECORD_FIELDS_MAX) {
        error_set(error, ASYNQ_E_MALFORMED, "%zu bytes with more than %d fields, which is no %s", from.length,
                  RECORD_FIELDS_MAX, type->short_name);
        return NULL;
    }
    ProtobufCAllocator allocator = {record_arena_alloc, record_arena_free, into};
    ProtobufCMessage *record = protobuf_c_message_unpack(type, &allocator, from.length, (const uint8_t *)from.data);
    if (record && has_impossible_field(record))
        record = NULL;
    if (!record && into->lacks_memory)
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    else if (!record)
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
