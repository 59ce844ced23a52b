/* See scheduler_entry.h. */
#include "wire/scheduler_entry.h"

#include "base/error.h"

static int entry_check_texts(const scheduler_entry *entry, asynq_error *error)
{
    int status = record_check_text("id", entry->id, error);
    if (!status)
        status = record_check_text("spec", entry->spec, error);
    if (!status)
        status = record_check_text("task_type", entry->task_type, error);
    for (size_t i = 0; !status && i < entry->option_count; i++)
        status = record_check_text("enqueue option", entry->options[i], error);
    return status;
}

int scheduler_entry_encode(const scheduler_entry *entry, buf *out, asynq_error *error)
{
    int status = entry_check_texts(entry, error);
    if (status)
        return status;

    Wire__SchedulerEntryRecord record = WIRE__SCHEDULER_ENTRY_RECORD__INIT;
    Wire__Timestamp next = record_time_pack(entry->next_enqueue_time);
    Wire__Timestamp prev = record_time_pack(entry->prev_enqueue_time);
    RECORD_SET_BYTES(record, id, entry->id);
    RECORD_SET_BYTES(record, spec, entry->spec);
    RECORD_SET_BYTES(record, task_type, entry->task_type);
    RECORD_SET_BYTES(record, task_payload, entry->task_payload);
    record.next_enqueue_time = &next;
    record.prev_enqueue_time = &prev;
    record.base.unknown_fields = entry->unknown.fields;
    record.base.n_unknown_fields = entry->unknown.count;

    arena scratch;
    arena_init(&scratch, 0);
    ProtobufCBinaryData *options = arena_alloc(&scratch, (entry->option_count + 1) * sizeof *options);
    if (options) {
        for (size_t i = 0; i < entry->option_count; i++)
            options[i] = (ProtobufCBinaryData){entry->options[i].length, (uint8_t *)(uintptr_t)entry->options[i].data};
        record.enqueue_options = options;
        record.n_enqueue_options = entry->option_count;
        record_encode(&record.base, out);
    } else {
        buf_fail(out);
    }
    arena_clear(&scratch);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

int scheduler_entry_decode(scheduler_entry *entry, bytes from, arena *into, asynq_error *error)
{
    Wire__SchedulerEntryRecord *record = record_decode(&wire__scheduler_entry_record__descriptor, from, into, error);
    if (!record)
        return record_failure(into, NULL);
    bytes *options = arena_alloc(into, (record->n_enqueue_options + 1) * sizeof *options);
    if (!options)
        return record_failure(into, error);
    for (size_t i = 0; i < record->n_enqueue_options; i++)
        options[i] = record_bytes(record->enqueue_options[i]);
    *entry = (scheduler_entry){
        .id = record_bytes(record->id),
        .spec = record_bytes(record->spec),
        .task_type = record_bytes(record->task_type),
        .task_payload = record_bytes(record->task_payload),
        .options = options,
        .option_count = record->n_enqueue_options,
        .next_enqueue_time = record_time_unpack(record->next_enqueue_time),
        .prev_enqueue_time = record_time_unpack(record->prev_enqueue_time),
        .unknown = {record->base.unknown_fields, record->base.n_unknown_fields},
    };
    return entry_check_texts(entry, error);
}

int scheduler_event_encode(const scheduler_event *event, buf *out, asynq_error *error)
{
    int status = record_check_text("task_id", event->task_id, error);
    if (status)
        return status;
    Wire__SchedulerEventRecord record = WIRE__SCHEDULER_EVENT_RECORD__INIT;
    Wire__Timestamp at = record_time_pack(event->enqueue_time);
    RECORD_SET_BYTES(record, task_id, event->task_id);
    record.enqueue_time = &at;
    record.base.unknown_fields = event->unknown.fields;
    record.base.n_unknown_fields = event->unknown.count;
    record_encode(&record.base, out);
    return buf_failed(out) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

int scheduler_event_decode(scheduler_event *event, bytes from, arena *into, asynq_error *error)
{
    Wire__SchedulerEventRecord *record = record_decode(&wire__scheduler_event_record__descriptor, from, into, error);
    if (!record)
        return record_failure(into, NULL);
    *event = (scheduler_event){
        .task_id = record_bytes(record->task_id),
        .enqueue_time = record_time_unpack(record->enqueue_time),
        .unknown = {record->base.unknown_fields, record->base.n_unknown_fields},
    };
    return record_check_text("task_id", event->task_id, error);
}
