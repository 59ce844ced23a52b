/* See aggregation.h: reading a set, and putting the new task in its place. */
#include "server/aggregation.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/groups.h"
#include "server/server.h"
#include "wire/record.h"
#include "wire/task_id.h"

#include <inttypes.h>
#include <utlist.h>

/* ---- what the aggregator sees ---- */

const char *asynq_aggregation_queue(const asynq_aggregation *aggregation)
{
    return aggregation->queue_name;
}

const char *asynq_aggregation_group(const asynq_aggregation *aggregation)
{
    return aggregation->group;
}

size_t asynq_aggregation_count(const asynq_aggregation *aggregation)
{
    return aggregation->count;
}

const asynq_task *asynq_aggregation_task(const asynq_aggregation *aggregation, size_t index)
{
    return index < aggregation->count ? &aggregation->tasks[index] : NULL;
}

int asynq_aggregate_into(asynq_aggregation *aggregation, const asynq_task *task, asynq_error *error)
{
    error_clear(error);
    const asynq_task_options same_queue = {.queue = aggregation->queue_name};
    if (aggregation->has_task)
        task_plan_clear(&aggregation->plan);
    int status =
        task_plan_make(&aggregation->plan, aggregation->queue->broker->space, task, &same_queue, clock_now_ns(), error);
    aggregation->has_task = status == ASYNQ_OK;
    return status;
}

/* ---- making ---- */

asynq_aggregation *aggregation_new(served_queue *queue, const char *group)
{
    asynq_aggregation *aggregation = mem_calloc(1, sizeof *aggregation);
    if (!aggregation)
        return NULL;
    char set_id[TASK_ID_RANDOM_SIZE];
    task_id_make_random(set_id);
    arena_init(&aggregation->memory, 0);
    buf_init(&aggregation->set, 0);
    group_append_set_name(&aggregation->set, &queue->keys, bytes_of(group), bytes_of(set_id));
    queue_hold(queue);
    aggregation->queue = queue;
    aggregation->ends_at_ms = loop_steady_ms(queue->server->loop) + BROKER_AGGREGATION_S * MS_PER_SECOND;
    aggregation->queue_name = arena_dup(&aggregation->memory, queue->name, strlen(queue->name));
    aggregation->group = arena_dup(&aggregation->memory, group, strlen(group));
    if (aggregation->queue_name && aggregation->group && !buf_failed(&aggregation->set))
        return aggregation;
    aggregation_free(aggregation);
    return NULL;
}

void aggregation_free(asynq_aggregation *aggregation)
{
    if (aggregation->has_task)
        task_plan_clear(&aggregation->plan);
    buf_clear(&aggregation->set);
    arena_clear(&aggregation->memory);
    queue_let_go(aggregation->queue);
    mem_free(aggregation);
}

static bytes set_of(const asynq_aggregation *aggregation)
{
    return (bytes){aggregation->set.data, aggregation->set.length};
}

static const char no_redis[] = "Redis cannot be reached";

/* It has come to its end. */
static void aggregation_end(asynq_aggregation *aggregation)
{
    groups_ended(aggregation->queue);
    aggregation_free(aggregation);
}

/* The tasks go back to the group when the set's time is over. */
static void aggregation_give_up(asynq_aggregation *aggregation, const char *why)
{
    served_queue *queue = aggregation->queue;
    log_event_repeated(&queue->server->log, &queue->complaint, LOG_GROUP_FAILED,
                       "queue \"%s\", group \"%s\": %s; its %" PRId64 " tasks are tried again in %d s", queue->name,
                       aggregation->group, why, aggregation->size, BROKER_AGGREGATION_S);
    aggregation_end(aggregation);
}

void aggregation_lost(asynq_aggregation *aggregation, const char *why)
{
    asynq_server *server = aggregation->queue->server;
    if (loop_steady_ms(server->loop) < aggregation->ends_at_ms && !server->phase)
        LL_APPEND(server->unfinished, aggregation);
    else
        aggregation_give_up(aggregation, why);
}

static void aggregations_go_on(void *arg)
{
    asynq_server *server = arg;
    if (broker_is_ready(&server->broker)) /* else when it is */
        aggregation_resume_all(server);
}

/* Redis refused a step. The set is ours until its time is over, and so long the step is tried again. */
static void aggregation_refused(asynq_aggregation *aggregation, const asynq_error *error)
{
    asynq_server *server = aggregation->queue->server;
    queue_complain(aggregation->queue, "aggregate tasks", error);
    if (!loop_timer_is_set(&server->unfinished_pause))
        loop_timer_set(&server->unfinished_pause, error_pause_next_ms(server, &server->aggregation_pause));
    aggregation_lost(aggregation, error->text);
}

/* ---- reading ---- */

static void aggregation_read_on(asynq_aggregation *aggregation);

static asynq_header *aggregation_copy_headers(arena *into, const task_message *message)
{
    asynq_header *headers = arena_alloc(into, (message->header_count + 1) * sizeof *headers);
    for (size_t i = 0; headers && i < message->header_count; i++) {
        const task_header *from = &message->headers[i];
        headers[i].key = arena_dup(into, from->key.data, from->key.length);
        headers[i].value = arena_dup(into, from->value.data, from->value.length);
        if (!headers[i].key || !headers[i].value)
            return NULL;
    }
    return headers;
}

static int add_message(asynq_aggregation *aggregation, const task_message *message)
{
    arena *into = &aggregation->memory;
    aggregation->tasks =
        arena_grow(into, aggregation->tasks, aggregation->count, &aggregation->capacity, sizeof(asynq_task));
    if (!aggregation->tasks)
        return ASYNQ_E_NO_MEMORY;
    asynq_task *task = &aggregation->tasks[aggregation->count];
    *task = (asynq_task){
        .type = arena_dup(into, message->type.data, message->type.length),
        .payload = arena_dup(into, message->payload.data, message->payload.length),
        .payload_length = message->payload.length,
        .options = {.headers = aggregation_copy_headers(into, message), .header_count = message->header_count},
    };
    aggregation->count += task->type && task->payload && task->options.headers;
    return task->type && task->payload && task->options.headers ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

/* A task that is missing or cannot be read has no place in what is made of the others; it is told of. */
static int add_task(asynq_aggregation *aggregation, leased_task task)
{
    arena scratch;
    task_message message;
    asynq_error error = {0};
    record_arena_init(&scratch, task.message.length);
    int status = task.message.length ? task_message_decode(&message, task.message, &scratch, &error)
                                     : error_set(&error, ASYNQ_E_MALFORMED, "it has gone");
    if (!status)
        status = add_message(aggregation, &message);
    else if (status == ASYNQ_E_MALFORMED)
        log_event(&aggregation->queue->server->log, LOG_GROUP_TASK_SKIPPED,
                  "queue \"%s\", task %.*s of group \"%s\": %s", aggregation->queue_name, BYTES_ARGS(task.id),
                  aggregation->group, error.text);
    arena_clear(&scratch);
    return status == ASYNQ_E_MALFORMED ? ASYNQ_OK : status;
}

static void aggregation_page_read(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_aggregation *aggregation = arg;
    if (redis_error_is_passing(status)) {
        aggregation_lost(aggregation, no_redis);
        return;
    }
    if (status) {
        aggregation_refused(aggregation, error);
        return;
    }
    error_pause_end(&aggregation->queue->server->aggregation_pause);
    size_t count = broker_set_count(reply);
    aggregation->size = broker_set_size(reply);
    for (size_t i = 0; i < count && !status; i++)
        status = add_task(aggregation, broker_set_task(reply, i));
    aggregation->read += (int64_t)count;
    if (status)
        aggregation_give_up(aggregation, asynq_status_text(status));
    else if (!aggregation->size)
        aggregation_end(aggregation); /* it was not formed, or was taken back */
    else if (count && aggregation->read < aggregation->size)
        aggregation_read_on(aggregation);
    else
        aggregator_run(aggregation->queue->server->aggregator, aggregation);
}

static void aggregation_read_on(asynq_aggregation *aggregation)
{
    served_queue *queue = aggregation->queue;
    int64_t first = aggregation->read;
    int status = broker_read_set(queue->broker, &queue->keys, set_of(aggregation), first,
                                 first + BROKER_CHUNK_TASKS - 1, aggregation_page_read, aggregation);
    if (status == ASYNQ_E_UNAVAILABLE)
        aggregation_lost(aggregation, no_redis);
    else if (status)
        aggregation_give_up(aggregation, asynq_status_text(status));
}

void aggregation_begin(asynq_aggregation *aggregation)
{
    aggregation->step = AGGREGATION_READING;
    aggregation_read_on(aggregation);
}

/* ---- finishing ---- */

static void set_finished(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_aggregation *aggregation = arg;
    int result = status ? 0 : (int)redis_value_integer(reply);
    if (redis_error_is_passing(status)) {
        aggregation->may_be_finished |= status == ASYNQ_E_OUTCOME_UNKNOWN;
        aggregation_lost(aggregation, no_redis);
    } else if (status) {
        aggregation_refused(aggregation, error);
    } else if (result == SET_TAKEN_BACK && !aggregation->may_be_finished) {
        aggregation_give_up(aggregation, "it took too long, and its tasks went back into the group");
    } else if (result != SET_TAKEN_BACK && result != ENQUEUE_CREATED) {
        aggregation_give_up(aggregation, asynq_status_text(broker_enqueue_status(result)));
    } else {
        duty_run(aggregation->queue, DUTY_CLEAR_SETS);
        aggregation_end(aggregation);
    }
}

static void aggregation_finish(asynq_aggregation *aggregation)
{
    served_queue *queue = aggregation->queue;
    aggregation->step = AGGREGATION_FINISHING;
    bool is_dropped = aggregation->outcome == ASYNQ_OUTCOME_REVOKED;
    if (!is_dropped && (aggregation->outcome != ASYNQ_OUTCOME_DONE || !aggregation->has_task)) {
        aggregation_give_up(aggregation, aggregation->outcome == ASYNQ_OUTCOME_DONE ? "the aggregator made no task"
                                                                                    : "the aggregator failed");
        return;
    }
    const enqueue_item *item = is_dropped ? NULL : &aggregation->plan.item;
    int status = broker_finish_set(queue->broker, &queue->keys, set_of(aggregation), item, clock_now_ns(), set_finished,
                                   aggregation);
    if (status == ASYNQ_E_UNAVAILABLE)
        aggregation_lost(aggregation, no_redis);
    else if (status)
        aggregation_give_up(aggregation, asynq_status_text(status));
}

void aggregation_resume_all(asynq_server *server)
{
    asynq_aggregation *list = server->unfinished;
    server->unfinished = NULL;
    while (list) {
        asynq_aggregation *aggregation = list;
        list = aggregation->next;
        aggregation->next = NULL;
        if (aggregation->step == AGGREGATION_FINISHING)
            aggregation_finish(aggregation);
        else
            aggregation_begin(aggregation);
    }
}

static void aggregation_take_returned(void *arg)
{
    asynq_server *server = arg;
    asynq_aggregation *aggregation;
    while ((aggregation = aggregator_take(server->aggregator)))
        aggregation_finish(aggregation);
}

int aggregation_start(asynq_server *server)
{
    server->aggregated.fd = -1;
    loop_timer_init(server->loop, &server->unfinished_pause, aggregations_go_on, server);
    if (!server->options.aggregate)
        return ASYNQ_OK;
    int status = loop_waker_init(server->loop, &server->aggregated, aggregation_take_returned, server);
    if (status)
        return status;
    server->aggregator = aggregator_new(&server->options, &server->aggregated);
    return server->aggregator ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void aggregation_stop(asynq_server *server)
{
    while (server->unfinished) {
        asynq_aggregation *aggregation = server->unfinished;
        server->unfinished = aggregation->next;
        aggregation_free(aggregation);
    }
    aggregator_close(server->aggregator);
    server->aggregator = NULL;
    if (server->aggregated.cb) /* else it was never made */
        loop_waker_clear(&server->aggregated);
}
