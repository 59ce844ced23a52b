/* Entries of schedulers and what they have enqueued, as their records say. */
#include "inspect/record.h"

#include "base/error.h"
#include "wire/scheduler_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct schedule_reader {
    asynq_memory *memory;
    asynq_schedule_info *schedules;
    size_t count, capacity;
} schedule_reader;

static const char *const *copy_options(arena *into, const scheduler_entry *record, bool *failed)
{
    const char **options = arena_alloc(into, (record->option_count + 1) * sizeof *options);
    *failed |= !options;
    for (size_t i = 0; options && i < record->option_count; i++)
        options[i] = inspect_copy(into, record->options[i], failed);
    return options;
}

static int take_entry(schedule_reader *reader, bytes encoded, asynq_error *error)
{
    arena *into = &reader->memory->arena, scratch;
    scheduler_entry record;
    record_arena_init(&scratch, encoded.length);
    int status = scheduler_entry_decode(&record, encoded, &scratch, NULL);
    if (status) {
        arena_clear(&scratch);
        return inspect_left_out(status, error);
    }
    bool failed = false;
    asynq_schedule_info info = {
        .id = inspect_copy(into, record.id, &failed),
        .spec = inspect_copy(into, record.spec, &failed),
        .task_type = inspect_copy(into, record.task_type, &failed),
        .payload = inspect_copy(into, record.task_payload, &failed),
        .payload_length = record.task_payload.length,
        .options = copy_options(into, &record, &failed),
        .option_count = record.option_count,
        .next_at_ms = inspect_ms_of(record.next_enqueue_time),
        .previous_at_ms = inspect_ms_of(record.prev_enqueue_time),
    };
    arena_clear(&scratch);
    asynq_schedule_info *schedules =
        arena_grow(into, reader->schedules, reader->count, &reader->capacity, sizeof *schedules);
    if (failed || !schedules)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    reader->schedules = schedules;
    schedules[reader->count++] = info;
    return ASYNQ_OK;
}

static int take_entries(void *arg, const redis_value *reply, asynq_error *error)
{
    int status = ASYNQ_OK;
    for (size_t i = 0; i < reply->count && !status; i++)
        status = take_entry(arg, reply->elements[i].text, error);
    return status;
}

static int compare_schedules(const void *a, const void *b)
{
    const asynq_schedule_info *x = a, *y = b;
    if (x->next_at_ms != y->next_at_ms)
        return x->next_at_ms < y->next_at_ms ? -1 : 1;
    return strcmp(x->id, y->id);
}

int asynq_inspector_schedules(asynq_inspector *inspector, asynq_schedule_list *schedules, asynq_error *error)
{
    static const char *const range[] = {"LRANGE", NULL, "0", "-1"};
    *schedules = (asynq_schedule_list){0};
    schedule_reader reader = {.memory = inspect_memory_new()};
    if (!reader.memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = inspect_each_record(inspector, GLOBAL_KEY_SCHEDULERS, range, 4, take_entries, &reader, error);
    if (status) {
        inspect_memory_free(reader.memory);
        return status;
    }
    if (reader.count)
        qsort(reader.schedules, reader.count, sizeof *reader.schedules, compare_schedules);
    *schedules = (asynq_schedule_list){reader.schedules, reader.count, reader.memory};
    return ASYNQ_OK;
}

/* ---- events ---- */

enum { EVENTS_DEFAULT_SIZE = 30, EVENTS_MAX = 1000 /* kept per entry */ };

static int read_events(asynq_inspector *inspector, bytes key, int64_t first, int64_t size,
                       asynq_schedule_event_list *list, asynq_error *error)
{
    char from[24], to[24];
    snprintf(from, sizeof from, "%" PRId64, first);
    snprintf(to, sizeof to, "%" PRId64, first + size - 1);
    const bytes words[] = {bytes_of("ZREVRANGE"), key, bytes_of(from), bytes_of(to)};
    const redis_value *reply;
    int status = inspect_command(inspector, INSPECT_READ, words, 4, &reply, error);
    if (status)
        return status;
    asynq_memory *memory = inspect_memory_new();
    asynq_schedule_event *events = memory ? arena_alloc(&memory->arena, (reply->count + 1) * sizeof *events) : NULL;
    bool failed = !events;
    size_t count = 0;
    for (size_t i = 0; i < reply->count && !failed; i++) {
        bytes encoded = reply->elements[i].text;
        arena scratch;
        scheduler_event record;
        record_arena_init(&scratch, encoded.length);
        status = scheduler_event_decode(&record, encoded, &scratch, NULL);
        failed = status == ASYNQ_E_NO_MEMORY;
        if (!status)
            events[count++] = (asynq_schedule_event){inspect_copy(&memory->arena, record.task_id, &failed),
                                                     inspect_ms_of(record.enqueue_time)};
        arena_clear(&scratch);
    }
    if (failed) {
        inspect_memory_free(memory);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    *list = (asynq_schedule_event_list){events, count, memory};
    return ASYNQ_OK;
}

int asynq_inspector_schedule_events(asynq_inspector *inspector, const char *entry_id, const asynq_page *page,
                                    asynq_schedule_event_list *events, asynq_error *error)
{
    *events = (asynq_schedule_event_list){0};
    int64_t size = page && page->size ? page->size : EVENTS_DEFAULT_SIZE;
    int64_t number = page && page->number ? page->number : 1;
    if (size < 0 || size > EVENTS_MAX || number < 0 || number > EVENTS_MAX)
        return error_set(error, ASYNQ_E_INVALID, "a page has 1 to %d events, and its number is from 1 to %d",
                         EVENTS_MAX, EVENTS_MAX);
    buf key;
    buf_init(&key, 0);
    bytes prefix = global_key_name(&inspector->space, GLOBAL_KEY_SCHEDULER_HISTORY);
    buf_append(&key, prefix.data, prefix.length);
    buf_append_text(&key, entry_id);
    int status = buf_failed(&key)
                     ? error_set_code(error, ASYNQ_E_NO_MEMORY)
                     : read_events(inspector, (bytes){key.data, key.length}, size * (number - 1), size, events, error);
    buf_clear(&key);
    return status;
}
