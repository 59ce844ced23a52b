/*
 * When groups are aggregated. Each known group has a time at which it is due if no task joins it; then a script looks,
 * and either forms a set or says when it will be due. The list of groups is watched for new ones. Only where a group
 * can be due by its size, which no clock tells, all are looked at in each period, as Go does.
 */
#include "server/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "server/aggregation.h"

enum {
    GROUPS_PERIOD_MS = 7000,   /* at most, between two looks at the list */
    GROUPS_REST_MS = 100,      /* before the list is read again */
    GROUPS_AGAIN_MS = 1000,    /* after a failure */
    GROUPS_OFF_DUTY_MS = 1000, /* servers that leave the upkeep to others come later */
    AGGREGATIONS_MOST = 8      /* of a server at once */
};

struct known_group {
    UT_hash_handle hh; /* by name */
    int64_t due_ms;    /* wall clock */
    bool seen;         /* when the list was read last */
    bool asked;        /* a script looks at it */
    char name[];
};

static int64_t now_ms(const served_queue *queue)
{
    return loop_now_ns(queue->server->loop) / NS_PER_MS;
}

static bool is_at_work(const asynq_server *server)
{
    return server->options.aggregate && !server->phase && redis_conn_is_ready(server->work);
}

static group_limits limits_of(const asynq_server_options *options)
{
    return (group_limits){
        .grace_s = (options->group_grace_period_ms + MS_PER_SECOND - 1) / MS_PER_SECOND,
        .max_delay_s = (options->group_max_delay_ms + MS_PER_SECOND - 1) / MS_PER_SECOND,
        .max_size = options->group_max_size,
    };
}

static void group_forget(served_queue *queue, known_group *group)
{
    HASH_DEL(queue->groups, group);
    mem_free(group);
}

/* ---- looking at a group ---- */

static void group_looked_at(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_aggregation *aggregation = arg;
    served_queue *queue = aggregation->queue;
    taken_group taken = status ? (taken_group){0} : broker_taken_group(reply);
    known_group *group;
    HASH_FIND_STR(queue->groups, aggregation->group, group);
    if (status)
        queue_complain(queue, "look at a group", error);
    if (group) {
        group->asked = false;
        group->due_ms = status ? now_ms(queue) + GROUPS_AGAIN_MS : taken.due_s * MS_PER_SECOND;
    }
    if (group && !status && !taken.left)
        group_forget(queue, group);
    if (status == ASYNQ_E_OUTCOME_UNKNOWN) {
        aggregation_lost(aggregation);
    } else if (taken.taken) {
        aggregation_begin(aggregation);
    } else {
        groups_ended(queue);
        aggregation_free(aggregation);
    }
}

static bool group_look(served_queue *queue, known_group *group)
{
    asynq_server *server = queue->server;
    group_limits limits = limits_of(&server->options);
    asynq_aggregation *aggregation = aggregation_new(queue, group->name);
    if (!aggregation)
        return false;
    if (broker_take_group(server->work, &queue->keys, bytes_of(group->name),
                          (bytes){aggregation->set.data, aggregation->set.length}, &limits, loop_now_ns(server->loop),
                          group_looked_at, aggregation)) {
        aggregation_free(aggregation);
        return false;
    }
    group->asked = true;
    server->aggregations++;
    return true;
}

/* Looks at what is due, and sets the timer for what comes next. */
static void groups_pump(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (!is_at_work(server))
        return;
    int64_t late_ms = parking_skips_upkeep(queue) ? GROUPS_OFF_DUTY_MS : 0, wait_ms = GROUPS_PERIOD_MS;
    for (known_group *group = queue->groups; group; group = group->hh.next) {
        int64_t own_ms = group->due_ms + late_ms - now_ms(queue);
        if (group->asked)
            continue;
        if (own_ms <= 0 && server->aggregations >= AGGREGATIONS_MOST)
            return; /* the end of one comes back here */
        if (own_ms <= 0 && group_look(queue, group))
            continue;
        own_ms = own_ms <= 0 ? GROUPS_AGAIN_MS : own_ms;
        wait_ms = own_ms < wait_ms ? own_ms : wait_ms;
    }
    loop_timer_set(&queue->group_timer, wait_ms);
}

static void group_timer_fired(void *arg)
{
    groups_pump(arg);
}

void groups_ended(served_queue *queue)
{
    asynq_server *server = queue->server;
    server->aggregations--;
    for (size_t i = 0; i < server->queue_count; i++)
        loop_timer_set(&server->queues[i]->group_timer, 0);
}

/* ---- the list of groups ---- */

static void group_found(served_queue *queue, bytes name)
{
    known_group *group;
    HASH_FIND(hh, queue->groups, name.data, name.length, group);
    if (!group) {
        group = mem_calloc(1, sizeof *group + name.length + 1);
        if (!group)
            return; /* it is found again */
        memcpy(group->name, name.data, name.length);
        HASH_ADD_KEYPTR(hh, queue->groups, group->name, name.length, group);
        if (!HASH_HAS(group)) {
            mem_free(group);
            return;
        }
    }
    group->seen = true;
}

static void list_value(void *arg, const redis_value *value)
{
    served_queue *queue = arg;
    known_group *group, *next;
    if (value->type != REDIS_ARRAY)
        return;
    for (group = queue->groups; group; group = group->hh.next)
        group->seen = false;
    for (size_t i = 0; i < value->count; i++)
        if (!memchr(value->elements[i].text.data, '\0', value->elements[i].text.length))
            group_found(queue, value->elements[i].text);
    HASH_ITER(hh, queue->groups, group, next) {
        if (!group->seen && !group->asked)
            group_forget(queue, group);
    }
    loop_timer_set(&queue->group_timer, 0);
}

static void list_changed(void *arg)
{
    served_queue *queue = arg;
    if (is_at_work(queue->server))
        loop_timer_set(&queue->group_list_timer, GROUPS_REST_MS);
}

static int64_t period_ms(const asynq_server *server)
{
    int64_t grace_ms = server->options.group_grace_period_ms;
    return grace_ms < GROUPS_PERIOD_MS ? grace_ms : GROUPS_PERIOD_MS;
}

static void list_replied(void *arg, const redis_result *result)
{
    if (result->outcome == REDIS_REPLIED && result->reply->type == REDIS_ARRAY)
        list_value(arg, result->reply);
}

static void list_read(served_queue *queue)
{
    redis_args *args = redis_conn_args(queue->server->work);
    redis_args_add_text(args, "SMEMBERS");
    redis_args_add(args, queue->keys.key[QUEUE_KEY_GROUPS]);
    (void)!redis_conn_command(queue->server->work, args, list_replied, queue); /* or in the next period */
}

/* Reads the list and watches it; without notification, in each period. */
static void group_list_fired(void *arg)
{
    served_queue *queue = arg;
    asynq_server *server = queue->server;
    loop_timer_set(&queue->group_list_timer, period_ms(server));
    if (!is_at_work(server))
        return;
    if (server->tracking)
        key_watch_arm(&queue->group_watch, server->work);
    else
        list_read(queue);
    if (!server->options.group_max_size)
        return;
    for (known_group *group = queue->groups; group; group = group->hh.next)
        group->due_ms = 0;
    groups_pump(queue);
}

void groups_init(served_queue *queue)
{
    loop_timer_init(queue->server->loop, &queue->group_timer, group_timer_fired, queue);
    loop_timer_init(queue->server->loop, &queue->group_list_timer, group_list_fired, queue);
    queue->group_watch = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_GROUPS],
        .read = {"SMEMBERS", "KEY"},
        .value = list_value,
        .changed = list_changed,
        .arg = queue,
    };
}

void groups_look(served_queue *queue)
{
    key_watch_lost(&queue->group_watch);
    if (queue->server->options.aggregate)
        loop_timer_set(&queue->group_list_timer, 0);
}

void groups_clear(served_queue *queue)
{
    known_group *group, *next;
    HASH_ITER(hh, queue->groups, group, next) {
        group_forget(queue, group);
    }
}
