/* Queues as metrics for Prometheus, under the names of asynq's x/metrics (spec 13). */
#include "inspect/inspect.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/exposition.h"
#include "base/text.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

typedef struct metric_value {
    const char *state; /* a label; NULL: none */
    size_t offset;     /* in asynq_queue_info */
} metric_value;

typedef struct metric_family {
    const char *name, *type, *help;
    enum { METRIC_COUNT, METRIC_MILLISECONDS, METRIC_SWITCH } unit; /* of the fields */
    const metric_value *values;                                     /* ends with an offset of 0 */
} metric_family;

#define FIELD(name) offsetof(asynq_queue_info, name)
#define ONE(name)                                                                                                      \
    (const metric_value[])                                                                                             \
    {                                                                                                                  \
        {NULL, FIELD(name)},                                                                                           \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

static const metric_value by_state[] = {
    {"active", FIELD(active)},
    {"pending", FIELD(pending)},
    {"scheduled", FIELD(scheduled)},
    {"retry", FIELD(retry)},
    {"archived", FIELD(archived)},
    {"completed", FIELD(completed)},
    {0},
};

static const metric_family families[] = {
    {"asynq_tasks_enqueued_total", "gauge", "Tasks of a queue in each state.", METRIC_COUNT, by_state},
    {"asynq_queue_size", "gauge", "Tasks of a queue in all states.", METRIC_COUNT, ONE(size)},
    {"asynq_queue_latency_seconds", "gauge", "How long the next task has been pending.", METRIC_MILLISECONDS,
     ONE(latency_ms)},
    {"asynq_queue_memory_usage_approx_bytes", "gauge", "Memory of a queue in Redis, estimated from a few tasks.",
     METRIC_COUNT, ONE(memory_bytes)},
    {"asynq_tasks_processed_total", "counter", "Attempts at tasks of a queue, failed ones among them.", METRIC_COUNT,
     ONE(processed_total)},
    {"asynq_tasks_failed_total", "counter", "Failed attempts at tasks of a queue.", METRIC_COUNT, ONE(failed_total)},
    {"asynq_queue_paused_total", "gauge", "1 for a queue that is paused.", METRIC_SWITCH, ONE(paused)},
};

static void metrics_append_value(buf *out, const metric_family *family, const metric_value *value, const char *queue,
                                 const asynq_queue_info *info)
{
    const void *field = (const char *)info + value->offset;
    buf_append_format(out, "%s{", family->name);
    exposition_append_label(out, "queue", queue);
    if (value->state) {
        buf_append_text(out, ",");
        exposition_append_label(out, "state", value->state);
    }
    if (family->unit == METRIC_SWITCH) {
        buf_append_format(out, "} %d\n", *(const bool *)field);
        return;
    }
    int64_t number;
    memcpy(&number, field, sizeof number);
    if (family->unit == METRIC_MILLISECONDS)
        buf_append_format(out, "} %" PRId64 ".%03" PRId64 "\n", number / 1000, number % 1000);
    else
        buf_append_format(out, "} %" PRId64 "\n", number);
}

typedef struct measured_queue {
    char *name; /* as a label */
    asynq_queue_info info;
} measured_queue;

/* Asks for all queues; those that vanish meanwhile are left out. */
static int metrics_measure(asynq_inspector *inspector, const asynq_name_list *queues, arena *into,
                           measured_queue *measured, size_t *count, asynq_error *error)
{
    *count = 0;
    for (size_t i = 0; i < queues->count; i++) {
        measured_queue *row = &measured[*count];
        int status = asynq_inspector_queue(inspector, queues->names[i], &row->info, error);
        if (status == ASYNQ_E_QUEUE_NOT_FOUND)
            continue;
        if (status)
            return status;
        size_t length = strlen(queues->names[i]);
        row->name = arena_dup(into, queues->names[i], length);
        if (!row->name)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        text_make_utf8(row->name, length);
        ++*count;
    }
    return ASYNQ_OK;
}

static void append_families(buf *out, const measured_queue *queues, size_t count)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const metric_family *family = &families[i];
        exposition_append_family(out, family->name, family->type, family->help);
        for (size_t q = 0; q < count; q++)
            for (const metric_value *value = family->values; value->offset; value++)
                metrics_append_value(out, family, value, queues[q].name, &queues[q].info);
    }
}

int asynq_inspector_metrics(asynq_inspector *inspector, asynq_text *metrics, asynq_error *error)
{
    asynq_name_list queues;
    *metrics = (asynq_text){0};
    int status = asynq_inspector_queues(inspector, &queues, error);
    if (status)
        return status;
    buf text;
    size_t count = 0;
    buf_init(&text, 0);
    asynq_memory *memory = inspect_memory_new();
    measured_queue *measured = memory ? arena_alloc(&memory->arena, (queues.count + 1) * sizeof *measured) : NULL;
    status = measured ? metrics_measure(inspector, &queues, &memory->arena, measured, &count, error)
                      : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status) {
        append_families(&text, measured, count);
        char *copy = buf_failed(&text) ? NULL : arena_dup(&memory->arena, text.data, text.length);
        *metrics = (asynq_text){copy, text.length, memory};
        if (!copy)
            status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (status) {
        inspect_memory_free(memory);
        *metrics = (asynq_text){0};
    }
    buf_clear(&text);
    inspect_memory_free(queues.memory);
    return status;
}
