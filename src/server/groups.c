/*
 * When groups are aggregated. Each known group has a time at which it is due if no task joins it; then a script looks,
 * and either forms a set or says when it will be due. Which groups there are, and when they are due, is read page by
 * page: when the number of groups changes, and where a group can be due by its size, which no clock tells, in each
 * period. The more groups there are, the longer the list rests between two readings.
 *
 *   list read --> known: due later --its time--> due: waits for its turn --> a script looks --> aggregation.c
 *                   ^                                                          |
 *                   +----------------------------------------------------------+ it is not yet time
 *
 * One server of a queue does that, the one that does the upkeep. As that one may have no aggregator, the others look
 * too, the less often the more of them there are, and leave what is due alone for a second.
 */
#include "server/groups.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "server/aggregation.h"
#include "server/server.h"

#include <utlist.h>

static const char *const list_read_size[] = {"SCARD", "KEY", NULL};

enum {
    GROUPS_PERIOD_MS = 7000,       /* at most, between two looks at the list, but for its rest */
    GROUPS_REST_MS = 100,          /* before the list is read again, */
    GROUPS_REST_PER_THOUSAND = 50, /* and for each 1,000 groups in it: reading them takes about 1.5 ms of Redis */
    GROUPS_REST_MAX_MS = 60000,    /* also of those who leave the upkeep to others */
    GROUPS_AGAIN_MS = 1000,        /* after a failure */
    GROUPS_OFF_DUTY_MS = 1000,     /* servers that leave the upkeep to others come later */
    GROUPS_KNOWN_MAX = 128 * 1024, /* others are found again by the next reading; of those that are due twice as many */
    AGGREGATIONS_MAX = 8           /* of a server at once */
};

struct known_group {
    UT_hash_handle hh;        /* by name */
    known_group *prev, *next; /* in groups_due */
    int64_t due_ms;           /* wall clock */
    unsigned seen;            /* the reading of the list that found it last */
    bool is_due;              /* stands in groups_due */
    bool asked;               /* a script looks at it */
    char name[];
};

static int64_t now_ms(const served_queue *queue)
{
    return loop_now_ns(queue->server->loop) / NS_PER_MS;
}

static bool is_at_work(const served_queue *queue)
{
    const asynq_server *server = queue->server;
    return server->options.aggregate && !server->phase && !queue_is_leaving(queue) &&
           broker_has_queue(queue->broker, &queue->keys);
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
    if (group->is_due)
        DL_DELETE(queue->groups->due, group);
    HASH_DEL(queue->groups->known, group);
    mem_free(group);
}

/* ---- looking at a group ---- */

static void group_set_due(served_queue *queue, known_group *group, int64_t due_ms)
{
    group->due_ms = due_ms;
    if (due_ms < queue->groups->next_ms)
        queue->groups->next_ms = due_ms;
}

/* Looks at what is due, in so many ms. */
static void groups_look_in(served_queue *queue, int64_t wait_ms)
{
    if (!queue->groups->is_resting)
        loop_timer_set(&queue->groups->timer, wait_ms);
}

/* Redis would not do it for the next group either. */
static void groups_rest(served_queue *queue)
{
    if (queue->groups->is_resting)
        return;
    groups_look_in(queue, error_pause_next_ms(queue->server, &queue->groups->pause));
    queue->groups->is_resting = true;
}

/* A set that has not all of its tasks yet gets more of them. False: nothing was sent. */
static bool group_take_more(asynq_aggregation *aggregation);

/* What stays behind of the group is looked at anew. */
static void group_after_look(const asynq_aggregation *aggregation, int status, taken_group taken)
{
    served_queue *queue = aggregation->queue;
    known_group *group;
    HASH_FIND_STR(queue->groups->known, aggregation->group, group);
    if (!group)
        return;
    group->asked = false;
    if (!status && !taken.left)
        group_forget(queue, group);
    else
        group_set_due(queue, group, status ? now_ms(queue) + GROUPS_AGAIN_MS : ms_of_seconds(taken.due_s));
}

static void group_looked_at(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_aggregation *aggregation = arg;
    served_queue *queue = aggregation->queue;
    taken_group taken = status ? (taken_group){0} : broker_taken_group(reply);
    if (status) {
        queue_complain(queue, "look at a group", error);
        groups_rest(queue);
    } else {
        error_pause_end(&queue->groups->pause);
    }
    if (taken.wants_more && group_take_more(aggregation))
        return;
    group_after_look(aggregation, status, taken);
    if (status == ASYNQ_E_OUTCOME_UNKNOWN) {
        aggregation_lost(aggregation, "Redis cannot be reached");
    } else if (taken.taken) {
        aggregation_begin(aggregation);
    } else {
        groups_ended(queue);
        aggregation_free(aggregation);
    }
}

static bool group_take_more(asynq_aggregation *aggregation)
{
    served_queue *queue = aggregation->queue;
    asynq_server *server = queue->server;
    group_limits limits = limits_of(&server->options);
    return broker_take_group(queue->broker, &queue->keys, bytes_of(aggregation->group),
                             (bytes){aggregation->set.data, aggregation->set.length}, &limits,
                             loop_now_ns(server->loop), group_looked_at, aggregation) == 0;
}

static bool group_look(served_queue *queue, known_group *group)
{
    asynq_aggregation *aggregation = aggregation_new(queue, group->name);
    if (!aggregation)
        return false;
    if (!group_take_more(aggregation)) {
        aggregation_free(aggregation);
        return false;
    }
    group->asked = true;
    queue->server->aggregations++;
    return true;
}

/* Puts what is due by now into the line, and finds out when the next one is. */
static void groups_collect(served_queue *queue)
{
    int64_t late_ms = parking_skips_upkeep(queue) ? GROUPS_OFF_DUTY_MS : 0, now = now_ms(queue);
    queue->groups->next_ms = now + GROUPS_PERIOD_MS;
    for (known_group *group = queue->groups->known; group; group = group->hh.next) {
        if (group->asked || group->is_due)
            continue;
        if (group->due_ms + late_ms > now) {
            group_set_due(queue, group, group->due_ms);
            continue;
        }
        group->is_due = true;
        DL_APPEND(queue->groups->due, group);
    }
}

/* Looks at what is due, and sets the timer for what comes next. */
static void groups_pump(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (!is_at_work(queue) || queue->groups->is_resting)
        return;
    if (now_ms(queue) >= queue->groups->next_ms)
        groups_collect(queue);
    while (queue->groups->due && server->aggregations < AGGREGATIONS_MAX) {
        known_group *group = queue->groups->due;
        DL_DELETE(queue->groups->due, group);
        group->is_due = false;
        if (!group_look(queue, group))
            group_set_due(queue, group, now_ms(queue) + GROUPS_AGAIN_MS);
    }
    int64_t wait_ms = queue->groups->next_ms - now_ms(queue);
    if (parking_skips_upkeep(queue) && wait_ms < GROUPS_OFF_DUTY_MS)
        wait_ms = GROUPS_OFF_DUTY_MS;
    groups_look_in(queue, wait_ms > 0 ? wait_ms : 0);
}

static void group_timer_fired(void *arg)
{
    served_queue *queue = arg;
    queue->groups->is_resting = false;
    groups_pump(queue);
}

void groups_ended(served_queue *queue)
{
    asynq_server *server = queue->server;
    server->aggregations--;
    for (size_t i = 0; i < server->queue_count; i++)
        if (server->queues[i]->groups->due)
            groups_look_in(server->queues[i], 0);
}

/* ---- the list of groups ---- */

static known_group *group_add(served_queue *queue, bytes name, int64_t due_ms)
{
    bool is_due = due_ms <= now_ms(queue);
    if (HASH_COUNT(queue->groups->known) >= (is_due ? 2 * GROUPS_KNOWN_MAX : GROUPS_KNOWN_MAX))
        return NULL;
    known_group *group = mem_calloc(1, sizeof *group + name.length + 1);
    if (!group)
        return NULL; /* it is found again */
    memcpy(group->name, name.data, name.length);
    HASH_ADD_KEYPTR(hh, queue->groups->known, group->name, name.length, group);
    if (HASH_HAS(group))
        return group;
    mem_free(group);
    return NULL;
}

static void group_found(served_queue *queue, bytes name, int64_t due_ms)
{
    known_group *group;
    if (memchr(name.data, '\0', name.length))
        return;
    HASH_FIND(hh, queue->groups->known, name.data, name.length, group);
    if (!group)
        group = group_add(queue, name, due_ms);
    if (!group)
        return;
    group->seen = queue->groups->reading;
    if (!group->asked && !group->is_due)
        group_set_due(queue, group, due_ms);
}

static void list_page_read(void *arg, int status, const asynq_error *error, const redis_value *reply);

static void list_read_page(served_queue *queue, bytes cursor)
{
    asynq_server *server = queue->server;
    group_limits limits = limits_of(&server->options);
    queue->groups->listing = is_at_work(queue) && broker_look_groups(queue->broker, &queue->keys, cursor, &limits,
                                                                     list_page_read, queue) == 0;
}

/* What the whole list does not have any more is forgotten. */
static void list_read_whole(served_queue *queue)
{
    known_group *group, *next;
    HASH_ITER(hh, queue->groups->known, group, next) {
        if (group->seen != queue->groups->reading && !group->asked)
            group_forget(queue, group);
    }
}

static void list_page_read(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    asynq_error odd;
    queue->groups->listing = false;
    if (!status && !broker_look_is_sound(reply)) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than groups");
        error = &odd;
    }
    if (status) {
        queue_complain(queue, "read the list of groups", error);
        key_watch_lost(&queue->groups->watch); /* or nothing would read it again before it changes */
        loop_timer_set(&queue->groups->list_timer, error_pause_next_ms(queue->server, &queue->groups->list_pause));
        return;
    }
    size_t count = broker_looked_groups(reply);
    for (size_t i = 0; i < count; i++) {
        due_group found = broker_looked_group(reply, i);
        group_found(queue, found.name, ms_of_seconds(found.due_s));
    }
    queue->groups->listed += (int64_t)count;
    error_pause_end(&queue->groups->list_pause);
    groups_look_in(queue, 0);
    if (broker_group_cursor_ends(reply))
        list_read_whole(queue);
    else
        list_read_page(queue, broker_group_cursor(reply));
}

static void list_read(served_queue *queue)
{
    if (queue->groups->listing)
        return;
    queue->groups->reading++;
    queue->groups->listed = 0;
    list_read_page(queue, bytes_of("0"));
}

/* The longer the list, the longer its rest; those who leave the upkeep to others share one reading. */
static int64_t list_rest_ms(const served_queue *queue, int64_t min_ms)
{
    int64_t rest_ms = min_ms + queue->groups->listed * GROUPS_REST_PER_THOUSAND / 1000;
    if (parking_skips_upkeep(queue) && queue->server->parking.servers_alive > 1)
        rest_ms *= queue->server->parking.servers_alive;
    return rest_ms < GROUPS_REST_MAX_MS ? rest_ms : GROUPS_REST_MAX_MS;
}

static void list_size(void *arg, const redis_value *value)
{
    if (redis_value_integer(value) > 0)
        list_read(arg);
}

static void list_changed(void *arg)
{
    served_queue *queue = arg;
    if (is_at_work(queue))
        loop_timer_set(&queue->groups->list_timer, list_rest_ms(queue, GROUPS_REST_MS));
}

static int64_t period_ms(const asynq_server *server)
{
    int64_t grace_ms = server->options.group_grace_period_ms;
    return grace_ms < GROUPS_PERIOD_MS ? grace_ms : GROUPS_PERIOD_MS;
}

/* Watches the list, and reads it when it is not empty; where nothing tells, in each period. */
static void group_list_fired(void *arg)
{
    served_queue *queue = arg;
    asynq_server *server = queue->server;
    bool is_watched = queue->groups->watch.state == WATCH_ARMED;
    if (is_watched && !queue->groups->known && !parking_skips_upkeep(queue) && subscriber_is_tracking(queue))
        return; /* it is told when there is one */
    loop_timer_set(&queue->groups->list_timer, list_rest_ms(queue, period_ms(server)));
    if (!is_at_work(queue))
        return;
    if (!subscriber_is_tracking(queue) || parking_skips_upkeep(queue) || (is_watched && queue->groups->listed))
        list_read(queue);
    else
        watch_arm(queue, &queue->groups->watch);
}

static void groups_init(served_queue *queue)
{
    loop_timer_init(queue->server->loop, &queue->groups->timer, group_timer_fired, queue);
    loop_timer_init(queue->server->loop, &queue->groups->list_timer, group_list_fired, queue);
    queue->groups->watch = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_GROUPS],
        .read = list_read_size,
        .value = list_size,
        .changed = list_changed,
        .arg = queue,
    };
}

void groups_look(served_queue *queue)
{
    if (!queue->groups)
        return;
    key_watch_lost(&queue->groups->watch);
    loop_timer_set(&queue->groups->list_timer, 0);
}

bool groups_are_busy(const served_queue *queue)
{
    return queue->groups && queue->groups->listing;
}

static void groups_clear(served_queue *queue)
{
    known_group *group, *next;
    HASH_ITER(hh, queue->groups->known, group, next) {
        group_forget(queue, group);
    }
}

void groups_leave(served_queue *queue)
{
    if (!queue->groups)
        return;
    loop_timer_cancel(&queue->groups->timer);
    loop_timer_cancel(&queue->groups->list_timer);
}

int groups_queue_start(served_queue *queue)
{
    if (!queue->server->options.aggregate)
        return ASYNQ_OK;
    queue->groups = mem_calloc(1, sizeof *queue->groups);
    if (!queue->groups)
        return ASYNQ_E_NO_MEMORY;
    groups_init(queue);
    return ASYNQ_OK;
}

void groups_queue_stop(served_queue *queue)
{
    groups_leave(queue);
    if (queue->groups)
        groups_clear(queue);
    mem_free(queue->groups);
    queue->groups = NULL;
}
