/* See task_message.h. */
#include "wire/task_message.h"

#include "base/alloc.h"
#include "base/error.h"

#include <string.h>

static int check_texts(const task_message *message, asynq_error *error)
{
    const struct {
        const char *name;
        bytes text;
    } texts[] = {
        {"type", message->type},
        {"id", message->id},
        {"queue", message->queue},
        {"error_msg", message->error_msg},
        {"unique_key", message->unique_key},
        {"group_key", message->group_key},
    };
    int status = ASYNQ_OK;
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        status = record_check_text(texts[i].name, texts[i].text, error);
    for (size_t i = 0; !status && i < message->header_count; i++) {
        status = record_check_text("header key", message->headers[i].key, error);
        if (!status)
            status = record_check_text("header value", message->headers[i].value, error);
    }
    return status;
}

static int headers_pack(const task_message *message, Wire__TaskRecord *record, arena *scratch)
{
    if (!message->header_count)
        return ASYNQ_OK;
    Wire__Header *entries = arena_alloc(scratch, message->header_count * sizeof *entries);
    Wire__Header **list = arena_alloc(scratch, message->header_count * sizeof *list);
    if (!entries || !list)
        return ASYNQ_E_NO_MEMORY;
    for (size_t i = 0; i < message->header_count; i++) {
        wire__header__init(&entries[i]);
        RECORD_SET_BYTES(entries[i], key, message->headers[i].key);
        RECORD_SET_BYTES(entries[i], value, message->headers[i].value);
        entries[i].has_key = entries[i].has_value = true; /* a map entry always has both */
        list[i] = &entries[i];
    }
    record->headers = list;
    record->n_headers = message->header_count;
    return ASYNQ_OK;
}

int task_message_encode(const task_message *message, buf *out, asynq_error *error)
{
    int status = check_texts(message, error);
    if (status)
        return status;

    Wire__TaskRecord record = WIRE__TASK_RECORD__INIT;
    RECORD_SET_BYTES(record, type, message->type);
    RECORD_SET_BYTES(record, payload, message->payload);
    RECORD_SET_BYTES(record, id, message->id);
    RECORD_SET_BYTES(record, queue, message->queue);
    RECORD_SET_NUMBER(record, retry, message->retry);
    RECORD_SET_NUMBER(record, retried, message->retried);
    RECORD_SET_BYTES(record, error_msg, message->error_msg);
    RECORD_SET_NUMBER(record, timeout, message->timeout);
    RECORD_SET_NUMBER(record, deadline, message->deadline);
    RECORD_SET_BYTES(record, unique_key, message->unique_key);
    RECORD_SET_NUMBER(record, last_failed_at, message->last_failed_at);
    RECORD_SET_NUMBER(record, retention, message->retention);
    RECORD_SET_NUMBER(record, completed_at, message->completed_at);
    RECORD_SET_BYTES(record, group_key, message->group_key);
    record.base.unknown_fields = message->unknown.fields;
    record.base.n_unknown_fields = message->unknown.count;

    arena scratch;
    arena_init(&scratch, 0);
    if (headers_pack(message, &record, &scratch) == ASYNQ_OK)
        record_encode(&record.base, out);
    else
        buf_fail(out);
    arena_clear(&scratch);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

static int header_compare(const void *a, const void *b)
{
    const task_header *left = a, *right = b;
    size_t common = left->key.length < right->key.length ? left->key.length : right->key.length;
    int order = common ? memcmp(left->key.data, right->key.data, common) : 0;
    if (order)
        return order;
    if (left->key.length != right->key.length)
        return left->key.length < right->key.length ? -1 : 1;
    return 0;
}

/* Merges two runs that are sorted, [from, middle) and [middle, end); of equal keys those of the first stay first. */
static void headers_merge(const task_header *headers, size_t from, size_t middle, size_t end, task_header *to)
{
    size_t left = from, right = middle;
    for (size_t at = from; at < end; at++) {
        bool is_left = left < middle && (right == end || header_compare(&headers[left], &headers[right]) <= 0);
        to[at] = headers[is_left ? left++ : right++];
    }
}

static bool headers_are_sorted(const task_header *headers, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (header_compare(&headers[i - 1], &headers[i]) > 0)
            return false;
    return true;
}

/* A merge sort: it is stable, which qsort is not, and nobody can choose headers that make it slow. */
static int headers_sort(task_header *headers, size_t count, arena *scratch, asynq_error *error)
{
    if (headers_are_sorted(headers, count))
        return ASYNQ_OK;
    task_header *other = arena_alloc(scratch, count * sizeof *other);
    if (!other)
        return record_failure(scratch, error);
    task_header *from = headers, *to = other;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t middle = at + run < count ? at + run : count;
            headers_merge(from, at, middle, middle + run < count ? middle + run : count, to);
        }
        task_header *merged = to;
        to = from;
        from = merged;
    }
    if (from != headers)
        memcpy(headers, from, count * sizeof *headers);
    return ASYNQ_OK;
}

int task_headers_normalize(task_header *headers, size_t *count, arena *scratch, asynq_error *error)
{
    int status = headers_sort(headers, *count, scratch, error);
    size_t kept = 0;
    for (size_t i = 0; i < *count && !status; i++) {
        if (i + 1 < *count && bytes_equal(headers[i].key, headers[i + 1].key))
            continue;
        headers[kept++] = headers[i];
    }
    *count = kept;
    return status;
}

static int headers_unpack(task_message *message, const Wire__TaskRecord *record, arena *into, asynq_error *error)
{
    if (!record->n_headers)
        return ASYNQ_OK;
    task_header *headers = arena_alloc(into, record->n_headers * sizeof *headers);
    if (!headers)
        return record_failure(into, error);
    for (size_t i = 0; i < record->n_headers; i++)
        headers[i] = (task_header){record_bytes(record->headers[i]->key), record_bytes(record->headers[i]->value)};
    message->headers = headers;
    message->header_count = record->n_headers;
    return task_headers_normalize(headers, &message->header_count, into, error);
}

int task_message_decode(task_message *message, bytes from, arena *into, asynq_error *error)
{
    Wire__TaskRecord *record = record_decode(&wire__task_record__descriptor, from, into, error);
    if (!record)
        return record_failure(into, NULL);
    *message = (task_message){
        .type = record_bytes(record->type),
        .payload = record_bytes(record->payload),
        .id = record_bytes(record->id),
        .queue = record_bytes(record->queue),
        .retry = record->retry,
        .retried = record->retried,
        .error_msg = record_bytes(record->error_msg),
        .timeout = record->timeout,
        .deadline = record->deadline,
        .unique_key = record_bytes(record->unique_key),
        .last_failed_at = record->last_failed_at,
        .retention = record->retention,
        .completed_at = record->completed_at,
        .group_key = record_bytes(record->group_key),
        .unknown = {record->base.unknown_fields, record->base.n_unknown_fields},
    };
    int status = headers_unpack(message, record, into, error);
    return status ? status : check_texts(message, error);
}
