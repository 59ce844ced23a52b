/* See ahead.h. */
#include "server/ahead.h"

#include "base/alloc.h"
#include "server/server.h"

enum {
    AHEAD_MAX = 32768,        /* so far from the oldest task on */
    AHEAD_LOOK = 256,         /* tasks in one call */
    AHEAD_LOOK_EACH = 4,      /* for a place that is free, as other kinds stand between */
    AHEAD_FORGET_MS = 60000,  /* in case that others have changed the list so that it does not show */
    AHEAD_LREM_STEPS = 200000 /* a task between others is removed by a walk of the list */
};

/* ---- places ---- */

static void ahead_place_set(ahead_place *place, pending_place to)
{
    char *copy = to.passed > 0 ? mem_dup(to.last_id.data, to.last_id.length) : NULL;
    if (to.passed > 0 && !copy)
        to.passed = 0; /* out of memory: from the oldest one on */
    mem_free(place->last_id);
    *place = (ahead_place){to.passed, copy};
}

static pending_place place_get(const ahead_place *place)
{
    return (pending_place){place->passed, place->last_id ? bytes_of(place->last_id) : (bytes){0}};
}

static bool ahead_is_known(const ahead_place *place)
{
    return place->passed >= 0;
}

static void exhausted_set(served_queue *queue, bool is_exhausted)
{
    queue->ahead.is_exhausted = queue_list_set(queue, QUEUES_EXHAUSTED, is_exhausted);
}

void ahead_forget(served_queue *queue)
{
    queue_ahead *own = &queue->ahead;
    ahead_place_set(&own->looked_at, (pending_place){0});
    for (size_t i = 0; i < queue->server->capacities.count; i++)
        ahead_place_set(&own->first[i], (pending_place){.passed = -1});
    exhausted_set(queue, false);
    own->fruitless = 0;
    own->began_at_ms = loop_steady_ms(queue->server->loop);
}

void ahead_wake(served_queue *queue)
{
    exhausted_set(queue, false);
}

/* ---- before a lease ---- */

static bool has_room_for_all(const asynq_server *server, size_t count)
{
    for (size_t i = 0; i < server->capacities.count; i++)
        if ((size_t)capacity_room(server, i) < count)
            return false;
    return true;
}

static void reserve(served_queue *queue, size_t count)
{
    server_capacities *all = &queue->server->capacities;
    for (size_t i = 0; i < all->count; i++) {
        int room = capacity_room(queue->server, i);
        all->rooms[i] = room;
        queue->ahead.is_wanted[i] = room > 0;
        queue->ahead.reserved[i] = (size_t)room < count ? room : (int)count;
        all->items[i].reserved += queue->ahead.reserved[i];
    }
}

void ahead_release(served_queue *queue)
{
    server_capacities *all = &queue->server->capacities;
    for (size_t i = 0; i < all->count; i++) {
        all->has_more_room |= queue->ahead.reserved[i] > 0;
        all->items[i].reserved -= queue->ahead.reserved[i];
        queue->ahead.reserved[i] = 0;
    }
}

/* Of the capacities with room, the one whose tasks begin first. NULL: none of the tasks that we know is for them. */
static const ahead_place *first_with_room(const served_queue *queue)
{
    const ahead_place *best = NULL;
    for (size_t i = 0; i < queue->server->capacities.count; i++) {
        const ahead_place *first = &queue->ahead.first[i];
        if (ahead_is_known(first) && capacity_room(queue->server, i) && (!best || first->passed < best->passed))
            best = first;
    }
    return best;
}

/* Where only tasks with a capacity stand, as many as there is room for. */
static size_t rooms_of_known(const served_queue *queue)
{
    size_t sum = 0;
    for (size_t i = 0; i < queue->server->capacities.count; i++)
        if (ahead_is_known(&queue->ahead.first[i]))
            sum += (size_t)capacity_room(queue->server, i);
    return sum;
}

static size_t ahead_at_most(size_t value, size_t limit)
{
    return value < limit ? value : limit;
}

ahead_way ahead_prepare(served_queue *queue, size_t *count, lease_choice *choice)
{
    asynq_server *server = queue->server;
    queue_ahead *own = &queue->ahead;
    if (loop_steady_ms(server->loop) - own->began_at_ms > AHEAD_FORGET_MS)
        ahead_forget(queue);
    own->is_some = !has_room_for_all(server, *count);
    if (!own->is_some) {
        ahead_forget(queue);
        reserve(queue, *count);
        return AHEAD_ALL;
    }
    own->from = first_with_room(queue);
    if (own->looked_at.passed >= AHEAD_MAX)
        exhausted_set(queue, true);
    if (!own->from && own->is_exhausted)
        return AHEAD_NONE;
    const ahead_place *from = own->from ? own->from : &own->looked_at;
    if (own->from)
        *count = ahead_at_most(*count, rooms_of_known(queue));
    *count = ahead_at_most(*count, 1 + AHEAD_LREM_STEPS / (size_t)(from->passed + 1));
    *choice = (lease_choice){
        .rules = server->capacities.rules,
        .rule_count = server->capacities.rule_count,
        .rooms = server->capacities.rooms,
        .capacity_count = server->capacities.count,
        .max_looked = own->from ? ahead_at_most(AHEAD_LOOK, AHEAD_LOOK_EACH * (*count + 1)) : AHEAD_LOOK,
        .from = place_get(from),
    };
    reserve(queue, *count);
    own->has_taken = true;
    return AHEAD_SOME;
}

/* ---- after it ---- */

static void learn_end(queue_ahead *own, pending_place end, int64_t taken)
{
    int64_t rest = own->looked_at.passed - taken;
    if (!own->from || end.passed >= rest)
        ahead_place_set(&own->looked_at, end);
    else
        own->looked_at.passed = rest;
}

/*
 * The number in a place is too large once others, or we, have taken tasks before it; the script corrects it by the id.
 * So numbers of different ages say nothing about which is first: what counts is where this call began.
 */
static void learn_first(queue_ahead *own, size_t capacity, pending_place first, pending_place end)
{
    ahead_place *known = &own->first[capacity];
    bool is_wanted = own->is_wanted[capacity];
    bool is_behind = known == own->from || known->passed <= end.passed;
    if (first.passed >= 0) {
        if (is_wanted || !ahead_is_known(known) || first.passed < known->passed)
            ahead_place_set(known, first);
    } else if (is_wanted && ahead_is_known(known) && is_behind) { /* all that were met are taken */
        ahead_place_set(known, end.passed < own->looked_at.passed ? end : (pending_place){.passed = -1});
    }
}

/* Everything that is there has been looked at, as far as this answer shows: nobody else has changed the length since.
 */
static bool ahead_is_complete(const queue_ahead *own, int64_t waiting, int64_t taken)
{
    return own->from ? own->is_exhausted && waiting == own->waiting - taken : own->looked_at.passed >= waiting;
}

bool ahead_learn(served_queue *queue, const redis_value *reply, size_t asked)
{
    asynq_server *server = queue->server;
    queue_ahead *own = &queue->ahead;
    const redis_value *tasks = broker_some_tasks(reply);
    int64_t waiting = broker_lease_waiting(tasks);
    size_t taken = broker_lease_count(tasks);
    pending_place end = broker_some_end(reply);
    if (waiting <= 0) {
        ahead_forget(queue);
        return false;
    }
    learn_end(own, end, (int64_t)taken);
    for (size_t i = 0; i < server->capacities.count; i++)
        learn_first(own, i, broker_some_first(reply, i), end);
    own->fruitless = taken ? 0 : own->fruitless + 1;
    exhausted_set(queue, ahead_is_complete(own, waiting, (int64_t)taken) || own->looked_at.passed >= AHEAD_MAX);
    own->waiting = waiting;
    return taken == asked || !own->is_exhausted || first_with_room(queue);
}

void ahead_wake_for_room(asynq_server *server)
{
    if (!server->capacities.has_more_room)
        return;
    server->capacities.has_more_room = false;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_EXHAUSTED, queue, next)
    if (first_with_room(queue))
        fetch_may(queue, true);
}

/* ---- all of them ---- */

int ahead_queue_start(served_queue *queue)
{
    size_t count = queue->server->capacities.count;
    queue_ahead *own = &queue->ahead;
    if (!count)
        return ASYNQ_OK;
    own->first = mem_calloc(count, sizeof *own->first);
    own->reserved = mem_calloc(count, sizeof *own->reserved);
    own->is_wanted = mem_calloc(count, sizeof *own->is_wanted);
    if (!own->first || !own->reserved || !own->is_wanted)
        return ASYNQ_E_NO_MEMORY;
    ahead_forget(queue);
    return ASYNQ_OK;
}

void ahead_queue_stop(served_queue *queue)
{
    queue_ahead *own = &queue->ahead;
    for (size_t i = 0; own->first && i < queue->server->capacities.count; i++)
        mem_free(own->first[i].last_id);
    mem_free(own->looked_at.last_id);
    mem_free(own->first);
    mem_free(own->reserved);
    mem_free(own->is_wanted);
    *own = (queue_ahead){0};
}
