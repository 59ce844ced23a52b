/* See scale_sample.h. */
#include "daemon/scale_sample.h"

#include "base/saturate.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Sums of a thousand of them are far from the end of 64 bits. */
#define MAX_NUMBER INT64_C(1000000000000000)

enum { NUMBERS = 9 };

static json_t *print_queue(const scale_queue *queue)
{
    const int64_t numbers[NUMBERS] = {queue->pending, queue->active,     queue->scheduled,
                                      queue->retry,   queue->archived,   queue->processed,
                                      queue->failed,  queue->latency_ms, queue->is_paused};
    json_t *list = json_array();
    for (size_t i = 0; i < NUMBERS; i++)
        json_array_append_new(list, json_integer(clamp(numbers[i], 0, MAX_NUMBER)));
    return list;
}

char *scale_sample_print(const scale_sample *sample, const setting_pairs *queues)
{
    json_t *all = json_object();
    for (size_t i = 0; i < queues->count; i++)
        json_object_set_new(all, queues->items[i].name, print_queue(&sample->queues[i]));
    json_t *document = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "at", (json_int_t)sample->at_ms, "since",
                                 (json_int_t)sample->since_ms, "instances", (json_int_t)sample->instances, "busiest",
                                 (json_int_t)sample->busiest, "leaving", (json_int_t)sample->leaving, "room",
                                 (json_int_t)sample->room, "queues", all);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text || strlen(text) <= SCALE_MAX_TEXT)
        return text;
    free(text);
    return NULL;
}

static bool scale_sample_read_number(const json_t *value, int64_t *number)
{
    *number = json_integer_value(value);
    return json_is_integer(value) && *number >= 0 && *number <= MAX_NUMBER;
}

static bool scale_sample_read_queue(const json_t *list, scale_queue *queue)
{
    int64_t paused = 0;
    int64_t *const numbers[NUMBERS] = {&queue->pending, &queue->active,     &queue->scheduled,
                                       &queue->retry,   &queue->archived,   &queue->processed,
                                       &queue->failed,  &queue->latency_ms, &paused};
    if (json_array_size(list) != NUMBERS)
        return false;
    for (size_t i = 0; i < NUMBERS; i++)
        if (!scale_sample_read_number(json_array_get(list, i), numbers[i]))
            return false;
    queue->is_paused = paused;
    return true;
}

static const char *read_document(const json_t *document, const setting_pairs *queues, scale_sample *sample)
{
    const json_t *all = json_object_get(document, "queues");
    if (!scale_sample_read_number(json_object_get(document, "at"), &sample->at_ms) ||
        !scale_sample_read_number(json_object_get(document, "since"), &sample->since_ms) ||
        !scale_sample_read_number(json_object_get(document, "instances"), &sample->instances) ||
        !scale_sample_read_number(json_object_get(document, "busiest"), &sample->busiest) ||
        !scale_sample_read_number(json_object_get(document, "leaving"), &sample->leaving) ||
        !scale_sample_read_number(json_object_get(document, "room"), &sample->room))
        return "a number is missing, or cannot be";
    if (sample->since_ms > sample->at_ms)
        return "it is older than the first one";
    for (size_t i = 0; i < queues->count; i++)
        if (!scale_sample_read_queue(json_object_get(all, queues->items[i].name), &sample->queues[i]))
            return "a queue is missing, or has no numbers that can be";
    return NULL;
}

bool scale_sample_read(bytes text, const setting_pairs *queues, arena *memory, scale_sample *sample,
                       const char **problem)
{
    *problem = "it is too long";
    if (text.length > SCALE_MAX_TEXT)
        return false;
    *sample = (scale_sample){.queues = arena_alloc(memory, (queues->count + 1) * sizeof *sample->queues)};
    *problem = NULL;
    if (!sample->queues)
        return false;
    json_t *document = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
    *problem = document ? read_document(document, queues, sample) : "it is no JSON";
    json_decref(document);
    return !*problem;
}
