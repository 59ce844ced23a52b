/*
 * Deciding how many tasks to take from which queue, and taking them.
 *
 * Never more than there are free slots: prefetching breaks priority, pause and fairness. A round of leases has one
 * script per queue, all in one write; slots that become free meanwhile make the next round. A second round is under way
 * beside the first only where there are slots and tasks for a whole chunk, so that Redis has something to do while we
 * begin what the other brought; everywhere else a round waits for the one before, and is larger for it.
 */
#include "server/server.h"

#include "base/clock.h"
#include "base/error.h"
#include "server/attempt.h"
#include "server/message_read.h"
#include "server/read_back.h"
#include "server/settle.h"

#include <utlist.h>

enum {
    FETCH_MAX_MESSAGE = 4096,          /* larger ones are read apart */
    FETCH_CHUNK_APART_BYTES = 1 << 20, /* in one round of them */
    FETCH_LOOK_CALLS = 8,              /* in a row that look ahead in vain; then they come more slowly */
    FETCH_LOOK_REST_MS = 5,
    FETCH_START_MS = 1000,                          /* for all nodes of a cluster to be there */
    FETCH_DRAWS = 6,                                /* in one round, about */
    FETCH_AHEAD_SLOTS = BROKER_CHUNK_TASKS / 2,     /* a smaller lease costs Redis more per task */
    FETCH_AHEAD_BACKLOG = 4 * BROKER_CHUNK_TASKS,   /* outcomes come first */
    FETCH_LARGEST_BACKLOG = 16 * BROKER_CHUNK_TASKS /* beyond the slots: what a crash now would make run again */
};

static uint64_t random_next(asynq_server *server)
{
    uint64_t x = server->random; /* xorshift; only fairness hangs on it */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return server->random = x;
}

int64_t server_random_below(asynq_server *server, int64_t limit)
{
    return limit > 0 ? (int64_t)(random_next(server) % (uint64_t)limit) : 0;
}

static bool has_large_messages(const served_queue *queue)
{
    return queue->fetch.mean_message_size > FETCH_MAX_MESSAGE;
}

/* So many tasks that a script answers with about BROKER_CHUNK_BYTES, or that so much is read apart. */
static size_t chunk_limit(const served_queue *queue)
{
    size_t bytes_at_once = has_large_messages(queue) ? FETCH_CHUNK_APART_BYTES : BROKER_CHUNK_BYTES;
    size_t by_size = bytes_at_once / (queue->fetch.mean_message_size + 1);
    return by_size < 1 ? 1 : by_size < BROKER_CHUNK_TASKS ? by_size : BROKER_CHUNK_TASKS;
}

bool fetch_has_leases_in_flight(const asynq_server *server)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        if (server->fetch.in_flight[i])
            return true;
    return false;
}

static bool has_call_but(const served_queue *queue, const lease_call *known)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        if (queue->fetch.calls[i].is_in_flight && &queue->fetch.calls[i] != known)
            return true;
    return false;
}

bool fetch_is_under_way(const served_queue *queue)
{
    return has_call_but(queue, NULL);
}

bool fetch_is_unknown(const served_queue *queue)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        if (queue->fetch.calls[i].is_unknown)
            return true;
    return false;
}

/* A second call, beside the one that is under way, never comes in vain. */
static bool has_whole_chunk(const served_queue *queue)
{
    return queue->fetch.backlog >= BROKER_CHUNK_TASKS && !has_large_messages(queue);
}

static bool can_take(const served_queue *queue)
{
    return queue->fetch.may_have_tasks && !fetch_is_unknown(queue) && broker_has_queue(queue->broker, &queue->keys) &&
           queue->fetch.planned < chunk_limit(queue) && (!fetch_is_under_way(queue) || has_whole_chunk(queue));
}

/* ---- who is in the draw ---- */

static fetch_place fetch_place_of(const served_queue *queue)
{
    if (queue_is_leaving(queue) || !queue->broker->nodes || (!queue->fetch.may_have_tasks && !fetch_is_unknown(queue)))
        return FETCH_NOTHING;
    if (!broker_has_queue(queue->broker, &queue->keys))
        return FETCH_AWAY;
    return can_take(queue) ? FETCH_READY : FETCH_HELD;
}

static void fetch_place_set(served_queue *queue, fetch_place place)
{
    fetch_place before = queue->fetch.place;
    if (place == before)
        return;
    queue->band->ready_count += (size_t)(place == FETCH_READY) - (size_t)(before == FETCH_READY);
    queue->band->held_count += (size_t)(place == FETCH_HELD) - (size_t)(before == FETCH_HELD);
    queue_list_set(queue, QUEUES_READY, place == FETCH_READY);
    queue_list_set(queue, QUEUES_AWAY, place == FETCH_AWAY);
    queue->fetch.place = place;
}

void fetch_reconsider(served_queue *queue)
{
    queue_list_set(queue, QUEUES_UNKNOWN, fetch_is_unknown(queue));
    fetch_place_set(queue, fetch_place_of(queue));
}

void fetch_withdraw(served_queue *queue)
{
    fetch_place_set(queue, FETCH_NOTHING);
}

void fetch_may(served_queue *queue, bool may_have_tasks)
{
    queue->fetch.may_have_tasks = may_have_tasks;
    fetch_reconsider(queue);
}

/* Its node may have gone without a word. */
static bool band_has_ready(queue_band *band)
{
    while (band->ready && !can_take(band->ready))
        fetch_reconsider(band->ready);
    return band->ready;
}

static queue_band *draw_band_by_share(asynq_server *server)
{
    queue_band *band;
    int64_t sum = 0;
    DL_FOREACH(server->bands, band)
        sum += band_has_ready(band) ? band_share(band) : 0;
    int64_t left = server_random_below(server, sum);
    DL_FOREACH(server->bands, band)
        if ((left -= band_share(band)) < 0)
            return band;
    return NULL;
}

/* One whose node of the cluster is away stops no other. */
static queue_band *first_band(asynq_server *server)
{
    queue_band *band;
    DL_FOREACH(server->bands, band) {
        if (band_has_ready(band))
            return band;
        if (band->held_count)
            return NULL;
    }
    return NULL;
}

/* NULL: none can take tasks now. */
static served_queue *draw_queue(asynq_server *server)
{
    queue_band *band = server->options.strict_priority ? first_band(server) : draw_band_by_share(server);
    served_queue *queue = band ? band->ready : NULL;
    if (queue)
        band_rotate(band);
    return queue;
}

static void plan(served_queue *queue, size_t count)
{
    server_fetch *fetch = &queue->server->fetch;
    if (!queue->fetch.planned)
        LL_APPEND2(fetch->planned, queue, fetch.planned_next);
    queue->fetch.planned += count;
    fetch_reconsider(queue);
}

/*
 * Each draw gives a queue several slots, so that with many queues there are fewer leases, and each of them costs Redis
 * less per task. Over the rounds a queue gets its share all the same.
 */
static void plan_round(asynq_server *server)
{
    size_t per_draw = (size_t)server->slots / FETCH_DRAWS + 1, given;
    for (size_t slots = (size_t)server->slots_free; slots > 0; slots -= given) {
        served_queue *queue = draw_queue(server);
        if (!queue)
            break;
        size_t room = chunk_limit(queue) - queue->fetch.planned; /* above 0, or it were not drawn */
        given = per_draw < slots ? per_draw : slots;
        given = given < room ? given : room;
        plan(queue, given);
    }
}

/* Before the tasks begin: their handlers may take a while, and Redis can work meanwhile. */
static void fetch_ahead(asynq_server *server)
{
    if (server->slots_free < FETCH_AHEAD_SLOTS || settle_backlog(server) > FETCH_AHEAD_BACKLOG)
        return;
    fetch_turn(server);
    redis_nodes_flush(server->broker.nodes);
}

static void fetch_count(lease_call *call, int change)
{
    server_fetch *fetch = &call->queue->server->fetch;
    call->is_in_flight = change > 0;
    fetch->in_flight[call - call->queue->fetch.calls] += (size_t)change;
    fetch_reconsider(call->queue);
}

void fetch_rest(served_queue *queue)
{
    fetch_may(queue, false);
    loop_timer_set(&queue->watch.rest, error_pause_next_ms(queue->server, &queue->fetch.pause));
}

void fetch_lease_over(lease_call *call)
{
    fetch_count(call, -1);
    if (call->is_unknown)
        fetch_rest(call->queue);
    else
        error_pause_end(&call->queue->fetch.pause);
}

/* What Redis has told us, without what a later call is about to take. */
static void fetch_note_backlog(served_queue *queue, int64_t waiting)
{
    queue->fetch.backlog = waiting;
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        if (queue->fetch.calls[i].is_in_flight)
            queue->fetch.backlog -= (int64_t)queue->fetch.calls[i].asked;
    fetch_reconsider(queue);
}

static void fetch_take_tasks(lease_call *call, const redis_value *reply)
{
    served_queue *queue = call->queue;
    int count = (int)broker_lease_count(reply);
    int64_t waiting = broker_lease_waiting(reply);
    held_lease lease = call->lease;
    if (count && held_lease_has_ended(&lease))
        log_event_repeated(&queue->server->log, &queue->complaint, LOG_LEASE_LATE,
                           "queue \"%s\": after its end; its %d tasks are recovered", queue->name, count);
    for (int i = 0; i < count; i++) {
        size_t size = broker_lease_message_size(reply, (size_t)i);
        queue->fetch.mean_message_size = (7 * queue->fetch.mean_message_size + size) / 8;
    }
    if (message_read_begin(call, reply))
        redis_nodes_flush(queue->broker->nodes);
    else
        fetch_lease_over(call);
    fetch_note_backlog(queue, waiting);
    int here = count - (int)call->messages_awaited;
    queue->server->slots_free -= here; /* attempt_begin takes them one by one */
    queue->server->capacities.unbegun += here;
    if (waiting > 0 && !queue->ahead.is_some) /* else what this one tells comes first */
        fetch_ahead(queue->server);
    queue->server->slots_free += here;
    queue->server->capacities.unbegun -= here;
    queue->server->capacities.has_more_room = true;
    for (int i = 0; i < count; i++) {
        leased_task task = broker_lease_task(reply, (size_t)i);
        if (!task.is_left_out)
            attempt_begin(queue, task, &lease);
    }
    if (waiting == BROKER_QUEUE_PAUSED)
        watch_queue_paused(queue);
    else if (waiting == 0 && !has_call_but(queue, call)) /* else the later one tells more */
        watch_queue_empty(queue, count > 0);
    else if (waiting > 0 && !queue->ahead.is_some)
        queue->watch.fruitless_wakes = 0;
}

/* Some of the tasks were passed over: is there more to look at? */
static void fetch_look_on(const lease_call *call, const redis_value *reply)
{
    served_queue *queue = call->queue;
    bool found_any = broker_lease_count(broker_some_tasks(reply)) > 0;
    bool has_more = ahead_learn(queue, reply, call->asked);
    if (broker_lease_waiting(broker_some_tasks(reply)) <= 0)
        return;
    if (!has_more) {
        watch_queue_exhausted(queue, found_any);
    } else if (queue->ahead.fruitless > FETCH_LOOK_CALLS) {
        fetch_may(queue, false);
        loop_timer_set(&queue->watch.rest, FETCH_LOOK_REST_MS);
    }
}

static bool fetch_is_sound(const served_queue *queue, const redis_value *reply)
{
    return queue->ahead.is_some ? broker_some_is_sound(reply, queue->server->capacities.count)
                                : broker_lease_is_sound(reply);
}

static void fetch_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    lease_call *call = arg;
    served_queue *queue = call->queue;
    asynq_error odd;
    bool is_some = queue->ahead.is_some;
    ahead_release(queue);
    if (!status && !fetch_is_sound(queue, reply)) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than tasks");
        error = &odd;
    }
    queue->server->slots_free += (int)call->asked;
    call->is_unknown = redis_error_is_unsure(status);
    if (status) {
        queue_complain(queue, "take tasks", error);
        fetch_count(call, -1);
        fetch_rest(queue);
        return;
    }
    fetch_take_tasks(call, is_some ? broker_some_tasks(reply) : reply);
    if (is_some)
        fetch_look_on(call, reply);
}

/* From the clocks themselves: in a socket's callback the turn's time is that of before the wait, which may have been a
 * suspension of the process, and the lease would end before it begins. */
static held_lease fetch_new_lease(asynq_server *server)
{
    return (held_lease){
        .score.second = floor_div(clock_now_ns(), NS_PER_SECOND) + BROKER_LEASE_S,
        .score.tag = lease_tag(server->session.record.number, ++server->fetch.lease_calls),
        .ends_at_ms = clock_steady_ms() + BROKER_LEASE_S * MS_PER_SECOND,
    };
}

static void fetch_send(lease_call *call, size_t count)
{
    served_queue *queue = call->queue;
    asynq_server *server = queue->server;
    lease_choice choice;
    ahead_way way = server->capacities.count ? ahead_prepare(queue, &count, &choice) : AHEAD_ALL;
    if (way == AHEAD_NONE) {
        watch_pending(queue);
        return;
    }
    call->lease = fetch_new_lease(server);
    call->asked = count;
    const lease_order order = {
        .max_tasks = count,
        .score = call->lease.score,
        .wake_others = server->parking.is_on,
        .max_message = has_large_messages(queue) ? FETCH_MAX_MESSAGE : 0,
    };
    int status = way == AHEAD_SOME
                     ? broker_lease_some(queue->broker, &queue->keys, &order, &choice, fetch_replied, call)
                     : broker_lease(queue->broker, &queue->keys, &order, fetch_replied, call);
    if (status) { /* out of memory or not connected: the next turn or the next connection tries again */
        ahead_release(queue);
        return;
    }
    fetch_count(call, 1);
    queue->fetch.backlog -= (int64_t)count;
    server->slots_free -= (int)count;
}

/* Who has the first choice where a capacity has only a few places left: by priority, as with slots. */
static served_queue *fetch_first(asynq_server *server)
{
    int64_t sum = 0;
    served_queue *first = server->fetch.planned, *queue;
    if (server->options.strict_priority || !server->capacities.count)
        return first;
    LL_FOREACH2(first, queue, fetch.planned_next)
    sum += queue->band->priority;
    int64_t left = server_random_below(server, sum);
    LL_FOREACH2(first, queue, fetch.planned_next)
    if ((left -= queue->band->priority) < 0)
        return queue;
    return first;
}

/* FETCH_ROUNDS: none may begin now. What has capacities looks ahead, and learns from each answer for the next call. */
static size_t fetch_next_round(const asynq_server *server)
{
    bool may_overlap = !server->capacities.count && server->slots_free >= BROKER_CHUNK_TASKS;
    size_t round = 0;
    if (fetch_has_leases_in_flight(server) && !may_overlap)
        return FETCH_ROUNDS;
    while (round < FETCH_ROUNDS && server->fetch.in_flight[round])
        round++;
    return round;
}

static void fetch_send_planned(served_queue *queue, size_t round)
{
    size_t count = queue->fetch.planned;
    LL_DELETE2(queue->server->fetch.planned, queue, fetch.planned_next);
    queue->fetch.planned = 0;
    fetch_send(&queue->fetch.calls[round], count);
    fetch_reconsider(queue);
}

static void fetch_round(asynq_server *server, size_t round)
{
    plan_round(server);
    served_queue *queue = fetch_first(server);
    for (; queue; queue = server->fetch.planned)
        fetch_send_planned(queue, round);
}

/* The nodes of a cluster come one after the other: with strict priority none of their queues begins before the others.
 */
static bool fetch_awaits_nodes(const asynq_server *server)
{
    int64_t waited_ns = loop_now_ns(server->loop) - server->heartbeat.started_at_ns;
    return server->options.strict_priority && server->lists[QUEUES_AWAY] && waited_ns >= 0 &&
           waited_ns < FETCH_START_MS * NS_PER_MS;
}

void fetch_turn(asynq_server *server)
{
    ahead_wake_for_room(server);
    size_t round = fetch_next_round(server);
    if (round == FETCH_ROUNDS || !server->fetching || server->slots_free <= 0 || !session_is_open(server) ||
        !broker_is_ready(&server->broker) || settle_backlog(server) > FETCH_LARGEST_BACKLOG ||
        fetch_awaits_nodes(server))
        return;
    fetch_round(server, round);
}

/* ---- from outside ---- */

int fetch_queue_start(served_queue *queue)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        queue->fetch.calls[i].queue = queue;
    return ASYNQ_OK;
}

void fetch_ready(asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_UNKNOWN, queue, next)
    read_back(queue);
    QUEUES_FOREACH_SAFE(server, QUEUES_AWAY, queue, next)
    fetch_reconsider(queue);
}

void fetch_rested(served_queue *queue)
{
    fetch_may(queue, true);
    read_back(queue);
}
