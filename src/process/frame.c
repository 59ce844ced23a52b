/* See frame.h. */
#include "process/frame.h"

#include "base/error.h"

#include <inttypes.h>
#include <string.h>

/* ---- the fields ---- */

typedef enum field_kind { FIELD_TEXT, FIELD_BYTES, FIELD_NUMBER, FIELD_FRACTION, FIELD_WORD, FIELD_HEADERS } field_kind;

static const char *const type_names[] = {
    [FRAME_HELLO] = "hello",       [FRAME_WELCOME] = "welcome",
    [FRAME_TASK] = "task",         [FRAME_CANCEL] = "cancel",
    [FRAME_SHUTDOWN] = "shutdown", [FRAME_HEARTBEAT] = "heartbeat",
    [FRAME_RESULT] = "result",     [FRAME_ERROR] = "error",
    [FRAME_LOG] = "log",           NULL,
};
static const char *const failure_names[] = {[FAILURE_RETRY] = "retry",
                                            [FAILURE_PERMANENT] = "permanent",
                                            [FAILURE_REVOKE] = "revoke",
                                            [FAILURE_SNOOZE] = "snooze",
                                            NULL};

typedef struct field_row {
    const char *key;
    field_kind kind;
    size_t offset;
    unsigned types; /* bits of the frames that have it */
    bool is_needed; /* in those */
    const char *const *words;
} field_row;

#define IN(type) (1u << FRAME_##type)
#define ALL (~0u)
#define AT(field) offsetof(frame, field)

static const field_row fields[] = {
    {"type", FIELD_WORD, AT(type), ALL, true, type_names},
    {"version", FIELD_NUMBER, AT(version), IN(HELLO) | IN(WELCOME), true, NULL},
    {"name", FIELD_TEXT, AT(name), IN(HELLO) | IN(WELCOME) | IN(ERROR), false, NULL},
    {"capacity", FIELD_NUMBER, AT(capacity), IN(HELLO), false, NULL},
    {"call", FIELD_NUMBER, AT(call), IN(TASK) | IN(CANCEL) | IN(RESULT) | IN(ERROR), true, NULL},
    {"call", FIELD_NUMBER, AT(call), IN(HEARTBEAT) | IN(LOG), false, NULL},
    {"id", FIELD_TEXT, AT(id), IN(TASK), true, NULL},
    {"task_type", FIELD_TEXT, AT(task_type), IN(TASK), true, NULL},
    {"queue", FIELD_TEXT, AT(queue), IN(TASK), true, NULL},
    {"payload", FIELD_BYTES, AT(payload), IN(TASK), true, NULL},
    {"retried", FIELD_NUMBER, AT(retried), IN(TASK), true, NULL},
    {"max_retry", FIELD_NUMBER, AT(max_retry), IN(TASK), true, NULL},
    {"deadline_ms", FIELD_NUMBER, AT(deadline_ms), IN(TASK), true, NULL},
    {"headers", FIELD_HEADERS, AT(headers), IN(TASK), false, NULL},
    {"result", FIELD_BYTES, AT(result), IN(RESULT), false, NULL},
    {"failure", FIELD_WORD, AT(failure), IN(ERROR), false, failure_names},
    {"retry_in_ms", FIELD_NUMBER, AT(retry_in_ms), IN(ERROR), false, NULL},
    {"progress", FIELD_FRACTION, AT(progress), IN(HEARTBEAT), false, NULL},
    {"level", FIELD_TEXT, AT(level), IN(LOG), false, NULL},
    {"text", FIELD_TEXT, AT(text), IN(ERROR) | IN(LOG), true, NULL},
    {"text", FIELD_TEXT, AT(text), IN(CANCEL) | IN(HEARTBEAT), false, NULL},
};

enum { FIELD_COUNT = sizeof fields / sizeof *fields };

const char *frame_type_name(int type)
{
    return type_names[type];
}

static const void *frame_place_of(const frame *f, const field_row *row)
{
    return (const char *)f + row->offset;
}

/* ---- writing ---- */

static bool is_present(const frame *f, const field_row *row)
{
    if (!(row->types & 1u << f->type))
        return false;
    switch (row->kind) {
    case FIELD_TEXT:
    case FIELD_BYTES:
        return row->is_needed || ((const bytes *)frame_place_of(f, row))->data;
    case FIELD_NUMBER:
        return row->is_needed || *(const int64_t *)frame_place_of(f, row);
    case FIELD_FRACTION:
        return *(const double *)frame_place_of(f, row) >= 0;
    case FIELD_HEADERS:
        return f->header_count > 0;
    case FIELD_WORD:
        return true;
    }
    return false;
}

static int write_buf(void *arg, const char *data, size_t length)
{
    buf_append(arg, data, length);
    return 0;
}

static void pack_text(msgpack_packer *packer, bytes text)
{
    msgpack_pack_str_with_body(packer, text.data ? text.data : "", text.length);
}

static void pack_field(msgpack_packer *packer, const frame *f, const field_row *row)
{
    const void *place = frame_place_of(f, row);
    pack_text(packer, bytes_of(row->key));
    switch (row->kind) {
    case FIELD_TEXT:
        pack_text(packer, *(const bytes *)place);
        break;
    case FIELD_BYTES: {
        bytes data = *(const bytes *)place;
        msgpack_pack_bin_with_body(packer, data.data ? data.data : "", data.length);
        break;
    }
    case FIELD_NUMBER:
        msgpack_pack_int64(packer, *(const int64_t *)place);
        break;
    case FIELD_FRACTION:
        msgpack_pack_double(packer, *(const double *)place);
        break;
    case FIELD_WORD:
        pack_text(packer, bytes_of(row->words[*(const int *)place]));
        break;
    case FIELD_HEADERS:
        msgpack_pack_map(packer, f->header_count);
        for (size_t i = 0; i < f->header_count; i++) {
            pack_text(packer, f->headers[i].key);
            pack_text(packer, f->headers[i].value);
        }
        break;
    }
}

void frame_append(const frame *f, buf *out)
{
    msgpack_packer packer;
    size_t start = out->length, count = 0;
    buf_append(out, "\0\0\0\0", FRAME_HEADER);
    msgpack_packer_init(&packer, out, write_buf);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        count += is_present(f, &fields[i]);
    msgpack_pack_map(&packer, count);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (is_present(f, &fields[i]))
            pack_field(&packer, f, &fields[i]);
    if (buf_failed(out))
        return;
    size_t length = out->length - start - FRAME_HEADER;
    for (int i = 0; i < FRAME_HEADER; i++)
        out->data[start + (size_t)i] = (char)(length >> (24 - 8 * i));
}

/* ---- reading ---- */

uint64_t frame_length(const char *data, size_t length)
{
    uint64_t body = 0;
    if (length < FRAME_HEADER)
        return 0;
    for (int i = 0; i < FRAME_HEADER; i++)
        body = body << 8 | (unsigned char)data[i];
    return body + FRAME_HEADER;
}

/* Bytes of a length or value behind the first byte, for 0xc4 to 0xdf, and whether that many elements follow. */
static const struct {
    unsigned char width;
    bool has_body;
    unsigned char elements; /* per count */
} formats[] = {
    {1, true, 0},  {2, true, 0},  {4, true, 0},                                 /* bin */
    {2, true, 0},  {3, true, 0},  {5, true, 0},                                 /* ext; with its type */
    {4, false, 0}, {8, false, 0},                                               /* float */
    {1, false, 0}, {2, false, 0}, {4, false, 0}, {8, false, 0},                 /* uint */
    {1, false, 0}, {2, false, 0}, {4, false, 0}, {8, false, 0},                 /* int */
    {2, false, 0}, {3, false, 0}, {5, false, 0}, {9, false, 0}, {17, false, 0}, /* fixext */
    {1, true, 0},  {2, true, 0},  {4, true, 0},                                 /* str */
    {2, false, 1}, {4, false, 1},                                               /* array */
    {2, false, 2}, {4, false, 2},                                               /* map */
};

/*
 * msgpack-c takes memory for as many elements as a header says before it has seen them. So the headers are looked at
 * first: none may have more elements than there are bytes left, all of them together included.
 */
static bool is_plausible(const unsigned char *data, size_t length)
{
    size_t elements = 1;
    for (size_t at = 0; at < length && elements; elements--) {
        unsigned char first = data[at++];
        size_t body = 0, more = 0;
        if ((first & 0xe0) == 0xa0) {
            body = first & 0x1f; /* a short text */
        } else if ((first & 0xf0) == 0x80) {
            more = 2 * (size_t)(first & 0x0f);
        } else if ((first & 0xf0) == 0x90) {
            more = first & 0x0f;
        } else if (first >= 0xc4 && first <= 0xdf) {
            size_t width = formats[first - 0xc4].width, count = 0;
            if (width > length - at)
                return false;
            for (size_t i = 0; i < width && width <= 5; i++)
                count = count << 8 | data[at + i];
            if (formats[first - 0xc4].has_body)
                body = first >= 0xc7 && first <= 0xc9 ? count >> 8 : count; /* of ext: without the type */
            more = count * formats[first - 0xc4].elements;
            at += width;
        }
        if (body > length - at || more > length - at)
            return false;
        at += body;
        elements += more;
    }
    return true;
}

static bool is_text(const msgpack_object *object, const char *text)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           memcmp(object->via.str.ptr, text, object->via.str.size) == 0;
}

static bool frame_read_bytes(const msgpack_object *object, bool as_text, bytes *value)
{
    if (object->type == MSGPACK_OBJECT_STR)
        *value = (bytes){object->via.str.ptr, object->via.str.size};
    else if (object->type == MSGPACK_OBJECT_BIN && !as_text)
        *value = (bytes){object->via.bin.ptr, object->via.bin.size};
    else
        return false;
    return true;
}

static bool frame_read_number(const msgpack_object *object, int64_t *value)
{
    if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *value = object->via.i64;
    else if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        *value = (int64_t)object->via.u64;
    else
        return false;
    return true;
}

static bool frame_read_fraction(const msgpack_object *object, double *value)
{
    int64_t whole;
    if (object->type == MSGPACK_OBJECT_FLOAT32 || object->type == MSGPACK_OBJECT_FLOAT64)
        *value = object->via.f64;
    else if (frame_read_number(object, &whole))
        *value = (double)whole;
    else
        return false;
    return *value >= 0 && *value <= 1;
}

static bool frame_read_word(const msgpack_object *object, const char *const *words, int *which)
{
    for (*which = 0; words[*which]; ++*which)
        if (is_text(object, words[*which]))
            return true;
    return false;
}

static bool frame_read_headers(const msgpack_object *object, frame *f, msgpack_zone *zone)
{
    if (object->type != MSGPACK_OBJECT_MAP || object->via.map.size > FRAME_MAX_HEADERS)
        return false;
    frame_pair *pairs = msgpack_zone_malloc(zone, (object->via.map.size + 1) * sizeof *pairs);
    if (!pairs)
        return false;
    for (uint32_t i = 0; i < object->via.map.size; i++)
        if (!frame_read_bytes(&object->via.map.ptr[i].key, true, &pairs[i].key) ||
            !frame_read_bytes(&object->via.map.ptr[i].val, true, &pairs[i].value))
            return false;
    f->headers = pairs;
    f->header_count = object->via.map.size;
    return true;
}

static bool frame_read_field(const msgpack_object *object, const field_row *row, frame *f, msgpack_zone *zone)
{
    void *place = (char *)f + row->offset;
    switch (row->kind) {
    case FIELD_TEXT:
        return frame_read_bytes(object, true, place);
    case FIELD_BYTES:
        return object->type == MSGPACK_OBJECT_NIL || frame_read_bytes(object, false, place);
    case FIELD_NUMBER:
        return frame_read_number(object, place);
    case FIELD_FRACTION:
        return object->type == MSGPACK_OBJECT_NIL || frame_read_fraction(object, place);
    case FIELD_WORD:
        return frame_read_word(object, row->words, place);
    case FIELD_HEADERS:
        return frame_read_headers(object, f, zone);
    }
    return false;
}

static const msgpack_object *find_key(const msgpack_object_map *map, const char *key)
{
    for (uint32_t i = 0; i < map->size; i++)
        if (is_text(&map->ptr[i].key, key))
            return &map->ptr[i].val;
    return NULL;
}

static int read_map(frame *f, const msgpack_object_map *map, msgpack_zone *zone, asynq_error *error)
{
    const msgpack_object *type = find_key(map, "type");
    if (!type || !frame_read_word(type, type_names, &f->type))
        return error_set(error, ASYNQ_E_MALFORMED, "a frame has no \"type\" that is known");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const field_row *row = &fields[i];
        const msgpack_object *value = row->types & 1u << f->type ? find_key(map, row->key) : NULL;
        if (value && !frame_read_field(value, row, f, zone))
            return error_set(error, ASYNQ_E_MALFORMED, "\"%s\" of a frame \"%s\" has a wrong value", row->key,
                             type_names[f->type]);
        if (!value && row->is_needed && row->types & 1u << f->type)
            return error_set(error, ASYNQ_E_MALFORMED, "a frame \"%s\" has no \"%s\"", type_names[f->type], row->key);
    }
    return ASYNQ_OK;
}

int frame_decode(frame *f, const char *data, size_t length, msgpack_zone *zone, asynq_error *error)
{
    msgpack_object object;
    size_t used = 0;
    *f = (frame){.progress = -1};
    if (!is_plausible((const unsigned char *)data, length))
        return error_set(error, ASYNQ_E_MALFORMED, "a frame of %zu bytes claims to have more in it", length);
    msgpack_unpack_return result = msgpack_unpack(data, length, &used, zone, &object);
    if (result == MSGPACK_UNPACK_NOMEM_ERROR)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (result != MSGPACK_UNPACK_SUCCESS || used != length || object.type != MSGPACK_OBJECT_MAP)
        return error_set(error, ASYNQ_E_MALFORMED, "a frame of %zu bytes is no map of MessagePack", length);
    return read_map(f, &object.via.map, zone, error);
}

/* ---- from a stream ---- */

enum { ZONE_BYTES = 1024 /* more is added as needed */ };

static int take_one(const char *data, size_t length, bool (*take)(void *arg, const frame *f), void *arg, bool *goes_on,
                    asynq_error *error)
{
    frame f;
    msgpack_zone zone;
    if (!msgpack_zone_init(&zone, ZONE_BYTES))
        return error_set(error, ASYNQ_E_NO_MEMORY, "out of memory for a frame");
    int status = frame_decode(&f, data + FRAME_HEADER, length - FRAME_HEADER, &zone, error);
    *goes_on = !status && take(arg, &f);
    msgpack_zone_destroy(&zone);
    return status;
}

int frame_take_all(buf *in, bool (*take)(void *arg, const frame *f), void *arg, asynq_error *error)
{
    size_t at = 0;
    bool goes_on = true;
    int status = ASYNQ_OK;
    while (goes_on && !status) {
        size_t left = in->length - at;
        uint64_t length = frame_length(in->data + at, left);
        if (length > FRAME_MAX)
            status = error_set(error, ASYNQ_E_MALFORMED, "it sent a frame of %" PRIu64 " bytes; the maximum is %d",
                               length, FRAME_MAX);
        else if (!length || length > left)
            break;
        else
            status = take_one(in->data + at, (size_t)length, take, arg, &goes_on, error);
        at += status ? 0 : (size_t)length;
    }
    if (at) {
        memmove(in->data, in->data + at, in->length - at);
        in->length -= at;
    }
    return status;
}
