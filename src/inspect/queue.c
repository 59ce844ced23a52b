/* Queues: what is in them, pausing, deleting. */
#include "inspect/inspect.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"

#include <stdlib.h>

static int queue_compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int asynq_inspector_queues(asynq_inspector *inspector, asynq_name_list *queues, asynq_error *error)
{
    *queues = (asynq_name_list){0};
    const bytes words[] = {bytes_of("SMEMBERS"), global_key_name(&inspector->space, GLOBAL_KEY_QUEUES)};
    const redis_value *reply;
    int status = inspect_command(inspector, INSPECT_READ, words, 2, &reply, error);
    if (status)
        return status;
    asynq_memory *memory = inspect_memory_new();
    const char **names = memory ? arena_alloc(&memory->arena, (reply->count + 1) * sizeof *names) : NULL;
    size_t count = 0;
    bool has_all = names != NULL;
    for (size_t i = 0; has_all && i < reply->count; i++) {
        bytes name = reply->elements[i].text;
        if (!broker_can_keep(&inspector->broker, name))
            continue; /* Go's client has entered it, and could not enqueue then */
        names[count] = arena_dup(&memory->arena, name.data, name.length);
        has_all = names[count++] != NULL;
    }
    if (!has_all) {
        inspect_memory_free(memory);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    qsort(names, count, sizeof *names, queue_compare_names);
    *queues = (asynq_name_list){names, count, memory};
    return ASYNQ_OK;
}

/* ---- groups ---- */

/* Calls `visit` with name and size of each group, in parts. */
static int each_group(asynq_inspector *inspector, const queue_keys *keys,
                      bool (*visit)(void *arg, bytes name, int64_t size), void *arg, asynq_error *error)
{
    char cursor[24] = "0";
    do {
        inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
        while (inspect_again(&call))
            call.sent = broker_group_sizes(&inspector->broker, keys, bytes_of(cursor), inspect_replied, inspector);
        if (call.status)
            return call.status;
        for (size_t i = 1; i + 1 < call.reply->count; i += 2)
            if (!visit(arg, call.reply->elements[i].text, call.reply->elements[i + 1].integer))
                return error_set_code(error, ASYNQ_E_NO_MEMORY);
        bytes next = redis_value_at(call.reply, 0)->text;
        if (next.length >= sizeof cursor)
            return error_set(error, ASYNQ_E_MALFORMED, "Redis gave a cursor that is no number");
        memcpy(cursor, next.data, next.length + 1);
    } while (strcmp(cursor, "0") != 0);
    return ASYNQ_OK;
}

typedef struct group_collector {
    asynq_memory *memory;
    asynq_group_info *groups;
    size_t count, capacity;
} group_collector;

static bool collect_group(void *arg, bytes name, int64_t size)
{
    group_collector *collector = arg;
    arena *into = &collector->memory->arena;
    asynq_group_info *groups =
        arena_grow(into, collector->groups, collector->count, &collector->capacity, sizeof *groups);
    const char *copy = arena_dup(into, name.data, name.length);
    if (!groups || !copy)
        return false;
    collector->groups = groups;
    groups[collector->count++] = (asynq_group_info){copy, size};
    return true;
}

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const asynq_group_info *)a)->name, ((const asynq_group_info *)b)->name);
}

/* Redis may give a member of a set twice while it walks over it. */
static size_t drop_repeated_groups(asynq_group_info *groups, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(groups[kept - 1].name, groups[i].name) != 0)
            groups[kept++] = groups[i];
    return kept;
}

static int list_groups(asynq_inspector *inspector, const queue_keys *keys, asynq_group_list *list, asynq_error *error)
{
    group_collector collector = {.memory = inspect_memory_new()};
    if (!collector.memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = each_group(inspector, keys, collect_group, &collector, error);
    if (status) {
        inspect_memory_free(collector.memory);
        return status;
    }
    if (collector.count)
        qsort(collector.groups, collector.count, sizeof *collector.groups, compare_groups);
    size_t count = drop_repeated_groups(collector.groups, collector.count);
    *list = (asynq_group_list){collector.groups, count, collector.memory};
    return ASYNQ_OK;
}

int asynq_inspector_groups(asynq_inspector *inspector, const char *queue, asynq_group_list *groups, asynq_error *error)
{
    queue_keys keys;
    *groups = (asynq_group_list){0};
    int status = inspect_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    status = list_groups(inspector, &keys, groups, error);
    queue_keys_clear(&keys);
    return status;
}

static int count_aggregating(asynq_inspector *inspector, const queue_keys *keys, int64_t *count, asynq_error *error)
{
    asynq_group_list groups;
    *count = 0;
    int status = list_groups(inspector, keys, &groups, error);
    if (status)
        return status;
    for (size_t i = 0; i < groups.count; i++)
        *count += groups.groups[i].size;
    inspect_memory_free(groups.memory);
    return ASYNQ_OK;
}

/* ---- what a queue holds ---- */

static asynq_queue_info info_of(const queue_counts *counts, int64_t now_ns)
{
    asynq_queue_info info = {
        .at_ms = floor_div(now_ns, NS_PER_MS),
        .pending = counts->pending,
        .active = counts->active,
        .scheduled = counts->scheduled,
        .retry = counts->retry,
        .archived = counts->archived,
        .completed = counts->completed,
        .groups = counts->groups,
        .processed = counts->processed,
        .failed = counts->failed,
        .processed_total = counts->processed_total,
        .failed_total = counts->failed_total,
        .paused = counts->paused,
        .in_aggregation = counts->in_aggregation,
    };
    if (counts->next_pending_since_ns)
        info.latency_ms = clamp(saturating_sub(now_ns, counts->next_pending_since_ns) / NS_PER_MS, 0, INT64_MAX);
    return info;
}

static int queue_read_queue(asynq_inspector *inspector, const queue_keys *keys, asynq_queue_info *info,
                            asynq_error *error)
{
    int64_t now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_queue_info(&inspector->broker, keys, now_ns, inspect_replied, inspector);
    if (call.status)
        return call.status;
    queue_counts counts = broker_queue_counts(call.reply);
    *info = info_of(&counts, now_ns);
    int status = counts.groups ? count_aggregating(inspector, keys, &info->aggregating, error) : ASYNQ_OK;
    if (status)
        return status;
    info->size = info->pending + info->active + info->scheduled + info->retry + info->archived + info->completed +
                 info->aggregating + info->in_aggregation;
    call = inspect_begin(inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_queue_memory(&inspector->broker, keys, info->aggregating, inspect_replied, inspector);
    if (!call.status)
        info->memory_bytes = redis_value_integer(call.reply);
    return call.status;
}

int asynq_inspector_queue(asynq_inspector *inspector, const char *queue, asynq_queue_info *info, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    status = queue_read_queue(inspector, &keys, info, error);
    queue_keys_clear(&keys);
    return status;
}

/* ---- history ---- */

enum { HISTORY_CHUNK_DAYS = 100 };

static int read_days(asynq_inspector *inspector, const queue_keys *keys, asynq_day *days, size_t count, int64_t from_ns,
                     asynq_error *error)
{
    bytes words[1 + 2 * HISTORY_CHUNK_DAYS] = {bytes_of("MGET")};
    buf names[2 * HISTORY_CHUNK_DAYS];
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        int64_t at_ns = from_ns - (int64_t)i * 24 * 3600 * NS_PER_SECOND;
        clock_utc_date(at_ns, days[i].date);
        const queue_key counters[] = {QUEUE_KEY_PROCESSED, QUEUE_KEY_FAILED};
        for (size_t k = 0; k < 2; k++) {
            buf *name = &names[2 * i + k];
            buf_init(name, 0);
            key_append_daily(name, keys->key[counters[k]], at_ns);
            failed |= buf_failed(name);
            words[1 + 2 * i + k] = (bytes){name->data, name->length};
        }
    }
    const redis_value *reply;
    int status = failed ? error_set_code(error, ASYNQ_E_NO_MEMORY)
                        : inspect_command(inspector, INSPECT_READ, words, 1 + 2 * count, &reply, error);
    for (size_t i = 0; i < 2 * count; i++)
        buf_clear(&names[i]);
    for (size_t i = 0; !status && i < count; i++) {
        days[i].processed = redis_value_integer(redis_value_at(reply, 2 * i));
        days[i].failed = redis_value_integer(redis_value_at(reply, 2 * i + 1));
    }
    return status;
}

int asynq_inspector_history(asynq_inspector *inspector, const char *queue, asynq_day *days, size_t count,
                            asynq_error *error)
{
    queue_keys keys;
    if (count < 1)
        return error_set(error, ASYNQ_E_INVALID, "the number of days must be positive");
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    int64_t now_ns = clock_now_ns();
    for (size_t at = 0; at < count && !status; at += HISTORY_CHUNK_DAYS) {
        size_t part = count - at < HISTORY_CHUNK_DAYS ? count - at : HISTORY_CHUNK_DAYS;
        int64_t from_ns = now_ns - (int64_t)at * 24 * 3600 * NS_PER_SECOND;
        status = read_days(inspector, &keys, days + at, part, from_ns, error);
    }
    queue_keys_clear(&keys);
    return status;
}

/* ---- pausing ---- */

int asynq_inspector_pause(asynq_inspector *inspector, const char *queue, asynq_error *error)
{
    queue_keys keys;
    char now[24];
    int status = inspect_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    snprintf(now, sizeof now, "%lld", (long long)floor_div(clock_now_ns(), NS_PER_SECOND));
    const bytes words[] = {bytes_of("SET"), keys.key[QUEUE_KEY_PAUSED], bytes_of(now), bytes_of("NX")};
    const redis_value *reply;
    status = inspect_command(inspector, INSPECT_CHANGE, words, 4, &reply, error);
    queue_keys_clear(&keys);
    if (!status && reply->type == REDIS_NIL)
        return error_set(error, ASYNQ_E_ALREADY, "queue \"%.200s\" is already paused", queue);
    return status;
}

int asynq_inspector_unpause(asynq_inspector *inspector, const char *queue, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    const bytes words[] = {bytes_of("DEL"), keys.key[QUEUE_KEY_PAUSED]};
    const redis_value *reply;
    status = inspect_command(inspector, INSPECT_CHANGE, words, 2, &reply, error);
    queue_keys_clear(&keys);
    if (!status && redis_value_integer(reply) == 0)
        return error_set(error, ASYNQ_E_ALREADY, "queue \"%.200s\" is not paused", queue);
    return status;
}
