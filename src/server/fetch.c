/*
 * Deciding how many tasks to take from which queue, and taking them.
 *
 * Never more than there are free slots: prefetching breaks priority, pause and fairness. One round of leases is under
 * way at a time, one script per queue, all in one write; slots that become free meanwhile make the next round.
 */
#include "server/server.h"

#include "base/clock.h"
#include "base/error.h"
#include "server/attempt.h"
#include "server/message_read.h"
#include "server/settle.h"

enum {
    FETCH_MAX_MESSAGE = 4096,          /* larger ones are read apart */
    FETCH_CHUNK_APART_BYTES = 1 << 20, /* in one round of them */
    FETCH_LOOK_CALLS = 8,              /* in a row that look ahead in vain; then they come more slowly */
    FETCH_LOOK_REST_MS = 5,
    FETCH_DRAWS = 6,                                /* in one round, about */
    FETCH_AHEAD_SLOTS = BROKER_CHUNK_TASKS / 2,     /* a smaller lease costs Redis more per task */
    FETCH_AHEAD_BACKLOG = 2 * BROKER_CHUNK_TASKS,   /* outcomes come first */
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

static bool can_take(const served_queue *queue)
{
    return queue->fetch.may_have_tasks && !queue->fetch.lease_unknown && queue->fetch.planned < chunk_limit(queue);
}

/* A draw in which each queue that can take has a chance in proportion to its priority. NULL: none can. */
static served_queue *draw_queue(asynq_server *server)
{
    int64_t sum = 0;
    for (size_t i = 0; i < server->queue_count; i++)
        if (can_take(server->queues[i]))
            sum += server->queues[i]->priority;
    int64_t left = server_random_below(server, sum);
    for (size_t i = 0; i < server->queue_count; i++)
        if (can_take(server->queues[i]) && (left -= server->queues[i]->priority) < 0)
            return server->queues[i];
    return NULL;
}

/* The queues stand in the order of their priority. */
static served_queue *first_queue(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        if (server->queues[i]->fetch.may_have_tasks || server->queues[i]->fetch.lease_unknown)
            return server->queues[i]->fetch.lease_unknown ? NULL : server->queues[i];
    return NULL;
}

/*
 * Each draw gives a queue several slots, so that with many queues there are fewer leases, and each of them costs Redis
 * less per task. Over the rounds a queue gets its share all the same.
 */
static void plan_weighted(asynq_server *server)
{
    size_t per_draw = (size_t)server->slots_free / FETCH_DRAWS + 1, given;
    for (size_t slots = (size_t)server->slots_free; slots > 0; slots -= given) {
        served_queue *queue = draw_queue(server);
        if (!queue)
            break;
        size_t room = chunk_limit(queue) - queue->fetch.planned; /* above 0, or it were not drawn */
        given = per_draw < slots ? per_draw : slots;
        given = given < room ? given : room;
        queue->fetch.planned += given;
    }
}

static void plan_strict(asynq_server *server)
{
    served_queue *queue = first_queue(server);
    size_t slots = (size_t)server->slots_free;
    if (queue)
        queue->fetch.planned = slots < chunk_limit(queue) ? slots : chunk_limit(queue);
}

/* Before the tasks begin: their handlers may take a while, and Redis can work meanwhile. */
static void fetch_ahead(asynq_server *server)
{
    if (server->fetch.leases_in_flight || server->slots_free < FETCH_AHEAD_SLOTS ||
        settle_backlog(server) > FETCH_AHEAD_BACKLOG)
        return;
    fetch_turn(server);
    redis_conn_flush(server->broker.conn);
}

static void fetch_lease_ends(served_queue *queue)
{
    queue->fetch.lease_in_flight = false;
    queue->server->fetch.leases_in_flight--;
}

/* This queue rests a moment; the others go on. */
static void fetch_rest(served_queue *queue)
{
    queue->fetch.may_have_tasks = false;
    loop_timer_set(&queue->watch.rest, error_pause_next_ms(queue->server, &queue->fetch.pause));
}

void fetch_lease_over(served_queue *queue)
{
    fetch_lease_ends(queue);
    if (queue->fetch.lease_unknown)
        fetch_rest(queue);
    else
        error_pause_end(&queue->fetch.pause);
}

static void fetch_take_tasks(served_queue *queue, const redis_value *reply)
{
    int count = (int)broker_lease_count(reply);
    int64_t waiting = broker_lease_waiting(reply);
    held_lease lease = queue->fetch.lease;
    if (count && held_lease_has_ended(&lease))
        log_repeated(&queue->server->log, &queue->complaint, ASYNQ_LOG_WARN,
                     "queue \"%s\": a lease was answered after its end; its %d tasks go back", queue->name, count);
    for (int i = 0; i < count; i++) {
        size_t size = broker_lease_message_size(reply, (size_t)i);
        queue->fetch.mean_message_size = (7 * queue->fetch.mean_message_size + size) / 8;
    }
    if (message_read_begin(queue, reply))
        redis_conn_flush(queue->broker->conn);
    else
        fetch_lease_over(queue);
    int here = count - (int)queue->fetch.messages_awaited;
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
    else if (waiting == 0)
        watch_queue_empty(queue, count > 0);
    else if (!queue->ahead.is_some)
        queue->watch.fruitless_wakes = 0;
}

/* Some of the tasks were passed over: is there more to look at? */
static void fetch_look_on(served_queue *queue, const redis_value *reply)
{
    bool found_any = broker_lease_count(broker_some_tasks(reply)) > 0;
    bool has_more = ahead_learn(queue, reply, queue->fetch.lease_asked);
    if (broker_lease_waiting(broker_some_tasks(reply)) <= 0)
        return;
    if (!has_more) {
        watch_queue_exhausted(queue, found_any);
    } else if (queue->ahead.fruitless > FETCH_LOOK_CALLS) {
        queue->fetch.may_have_tasks = false;
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
    served_queue *queue = arg;
    asynq_server *server = queue->server;
    asynq_error odd;
    bool is_some = queue->ahead.is_some;
    ahead_release(queue);
    if (!status && !fetch_is_sound(queue, reply)) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than tasks");
        error = &odd;
    }
    server->slots_free += (int)queue->fetch.lease_asked;
    queue->fetch.lease_unknown = redis_error_is_unsure(status);
    if (status) {
        queue_complain(queue, "take tasks", error);
        fetch_lease_ends(queue);
        fetch_rest(queue);
        return;
    }
    fetch_take_tasks(queue, is_some ? broker_some_tasks(reply) : reply);
    if (is_some)
        fetch_look_on(queue, reply);
}

static void fetch_send(served_queue *queue, size_t count)
{
    asynq_server *server = queue->server;
    lease_choice choice;
    ahead_way way = server->capacities.count ? ahead_prepare(queue, &count, &choice) : AHEAD_ALL;
    if (way == AHEAD_NONE) {
        watch_pending(queue);
        return;
    }
    /* From the clocks themselves: in a socket's callback the turn's time is that of before the wait, which may have
     * been a suspension of the process, and the lease would end before it begins. */
    queue->fetch.lease = (held_lease){
        .score.second = floor_div(clock_now_ns(), NS_PER_SECOND) + BROKER_LEASE_S,
        .score.tag = lease_tag(server->fetch.number, ++server->fetch.lease_calls),
        .ends_at_ms = clock_steady_ms() + BROKER_LEASE_S * MS_PER_SECOND,
    };
    queue->fetch.lease_asked = count;
    const lease_order order = {
        .max_tasks = count,
        .score = queue->fetch.lease.score,
        .wake_others = server->parking.is_on,
        .max_message = has_large_messages(queue) ? FETCH_MAX_MESSAGE : 0,
    };
    int status = way == AHEAD_SOME
                     ? broker_lease_some(queue->broker, &queue->keys, &order, &choice, fetch_replied, queue)
                     : broker_lease(queue->broker, &queue->keys, &order, fetch_replied, queue);
    if (status) { /* out of memory or not connected: the next turn or the next connection tries again */
        ahead_release(queue);
        return;
    }
    queue->fetch.lease_in_flight = true;
    server->fetch.leases_in_flight++;
    server->slots_free -= (int)count;
}

/* Who has the first choice where a capacity has only a few places left: by priority, as with slots. */
static size_t fetch_first(asynq_server *server)
{
    int64_t sum = 0;
    if (server->options.strict_priority || !server->capacities.count)
        return 0;
    for (size_t i = 0; i < server->queue_count; i++)
        sum += server->queues[i]->fetch.planned ? server->queues[i]->priority : 0;
    int64_t left = server_random_below(server, sum);
    for (size_t i = 0; i < server->queue_count; i++)
        if (server->queues[i]->fetch.planned && (left -= server->queues[i]->priority) < 0)
            return i;
    return 0;
}

void fetch_turn(asynq_server *server)
{
    ahead_wake_for_room(server);
    if (!server->fetching || !server->fetch.number || server->fetch.leases_in_flight || server->slots_free <= 0 ||
        !broker_is_ready(&server->broker) || settle_backlog(server) > FETCH_LARGEST_BACKLOG)
        return;
    for (size_t i = 0; i < server->queue_count; i++)
        server->queues[i]->fetch.planned = 0;
    if (server->options.strict_priority)
        plan_strict(server);
    else
        plan_weighted(server);
    for (size_t i = 0, first = fetch_first(server); i < server->queue_count; i++) {
        served_queue *queue = server->queues[(first + i) % server->queue_count];
        if (queue->fetch.planned)
            fetch_send(queue, queue->fetch.planned);
    }
}

/* ---- the number of the server ---- */

static void number_taken(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)error;
    asynq_server *server = arg;
    if (redis_error_is_passing(status))
        return; /* the next connection asks again */
    /* Where the key may not be written, chance is good enough: a clash matters only for a stale settle. */
    int64_t number = status ? server_random_below(server, LEASE_SERVER_MOST) : redis_value_integer(reply);
    server->fetch.number = (uint32_t)(number % LEASE_SERVER_MOST) + LEASE_SERVER_MOST; /* never 0; the tag cuts it */
}

/* ---- a lease whose reply was lost ---- */

static void read_back(served_queue *queue);

/* A lease may be lost for good only when Redis has said what it took; every error is tried again until it is too late.
 */
static void read_back_failed(served_queue *queue, const asynq_error *error)
{
    asynq_server *server = queue->server;
    queue_complain(queue, "read a lease back whose reply was lost", error);
    loop_timer_set(&queue->watch.rest, error_pause_next_ms(server, &queue->fetch.pause));
}

static void read_back_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    queue->fetch.lease_in_flight = false;
    if (status) {
        read_back_failed(queue, error);
        return;
    }
    error_pause_end(&queue->fetch.pause);
    queue->fetch.lease_unknown = false;
    size_t count = broker_read_back_count(reply);
    for (size_t i = 0; i < count; i++)
        attempt_begin(queue, broker_read_back_task(reply, i), &queue->fetch.lease);
    log_repeated(&queue->server->log, &queue->complaint, ASYNQ_LOG_INFO,
                 "queue \"%s\": a lease whose reply was lost had taken %zu tasks; they run now", queue->name, count);
}

static void read_back(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (!queue->fetch.lease_unknown || queue->fetch.lease_in_flight || !broker_is_ready(&server->broker))
        return; /* the next connection, or the end of the pause, tries again */
    queue->fetch.lease_in_flight =
        broker_read_back(queue->broker, &queue->keys, queue->fetch.lease.score, read_back_replied, queue) == 0;
    if (!queue->fetch.lease_in_flight)
        loop_timer_set(&queue->watch.rest, error_pause_next_ms(server, &queue->fetch.pause));
}

void fetch_ready(asynq_server *server)
{
    if (!server->fetch.number && broker_take_server_number(&server->broker, number_taken, server))
        redis_conn_reset(server->broker.conn, "out of memory");
    for (size_t i = 0; i < server->queue_count; i++)
        read_back(server->queues[i]);
}

void fetch_rested(served_queue *queue)
{
    queue->fetch.may_have_tasks = true;
    read_back(queue);
}
