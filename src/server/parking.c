/*
 * Roles of idle servers. If every idle server of a large fleet were told of every task, each task would cost Redis a
 * lease and a new watch per server. So from a few servers on, a queue has at most two watchers: they are told of new
 * tasks and keep the timers of the queue, and one of them does its upkeep. The others are parked. Whoever takes tasks
 * and leaves some wakes one of them (lua/lease.lua), and so does a watcher that has no free slot any more.
 *
 *   NONE    --queue empty, script--> WATCHER   another watcher is missing
 *   NONE    --queue empty, script--> PARKED
 *   PARKED  --woken-->               NONE      it looks into the queue, and asks again when it is empty
 *   PARKED  --beat-->                WATCHER   a watcher has gone or hangs
 *   any     --no free slot, stop-->  NONE      it leaves; a parked server is woken to take its place
 *   any     --connection lost-->     NONE
 *
 * A server of very many queues takes roles where tasks come often: where it was woken and found that others had been
 * faster. In the others each server watches, which costs nothing until a task comes. After a minute without news a role
 * is left, so that what is idle costs nothing again, and others have their turn; if tasks still come, the next one that
 * it is told of in vain brings it back.
 *
 * Redis drops watchers whose subscriber connection is gone when the next server asks or beats, so at the latest after
 * one beat divided by the number of parked servers; those that hang after BROKER_ROLE_LIFE_S.
 */
#include "server/server.h"

enum {
    PARKING_MAX_QUEUES = 256,              /* a server with more of them has roles where tasks come often only */
    PARKING_MAX_OFTEN = BROKER_BEAT_ROLES, /* in so many queues: each role is kept with each beat */
    PARKING_OFTEN_MS = 60000               /* so long after the last task that we have heard of */
};

/* There is something to keep, to ask for or to leave. */
static void role_note(served_queue *queue)
{
    const queue_parking *own = &queue->parking;
    queue_list_set(queue, QUEUES_WANT_ROLE, own->role_wanted);
    queue_list_set(queue, QUEUES_WITH_ROLE,
                   own->role != ROLE_NONE || own->role_asked || own->role_wanted || own->off_duty);
}

static void leave_duty(served_queue *queue)
{
    queue->parking.off_duty = true;
    role_note(queue);
    forwarder_rest(queue);
}

static void take_duty(served_queue *queue)
{
    if (!queue->parking.off_duty)
        return;
    queue->parking.off_duty = false;
    role_note(queue);
    forwarder_look_at(queue);
}

bool parking_skips_upkeep(const served_queue *queue)
{
    return queue->parking.off_duty || queue->parking.role == ROLE_DEPUTY;
}

static bool is_watching(queue_role role)
{
    return role == ROLE_WATCHER || role == ROLE_DEPUTY;
}

static void role_take(served_queue *queue, queue_role role)
{
    if (queue->parking.woken)
        role = ROLE_NONE;
    queue->parking.woken = false;
    queue->parking.role = role;
    role_note(queue);
    if (role == ROLE_PARKED) {
        leave_duty(queue);
    } else if (is_watching(role)) {
        take_duty(queue);
        watch_pending(queue);
    } else {
        fetch_may(queue, true);
    }
}

void parking_ask(served_queue *queue)
{
    fetch_may(queue, false);
    if (is_watching(queue->parking.role))
        watch_pending(queue);
    else
        queue->parking.role_wanted = true;
    role_note(queue);
}

static void role_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    queue->parking.role_in_flight = false;
    if (!queue->parking.role_asked)
        return; /* it has left meanwhile */
    queue->parking.role_asked = false;
    role_note(queue);
    if (status) {
        queue_complain(queue, "take a role among idle servers", error);
        watch_pending(queue);
    } else {
        role_take(queue, broker_role(reply));
    }
}

void parking_forget(served_queue *queue)
{
    queue->parking.role = ROLE_NONE;
    queue->parking.role_wanted = queue->parking.role_asked = queue->parking.woken = false;
    role_note(queue);
    fetch_may(queue, true);
}

/* If it cannot be sent, the entry ages out. */
static void role_leave(served_queue *queue)
{
    asynq_server *server = queue->server;
    (void)!broker_leave_role(queue->broker, bytes_of(server->process.id), &queue->keys);
}

void parking_leave(served_queue *queue)
{
    if (queue->parking.role == ROLE_NONE && !queue->parking.role_asked && !queue->parking.role_wanted)
        return;
    parking_forget(queue);
    role_leave(queue);
}

/* ---- very many queues ---- */

bool parking_is_for_all(const asynq_server *server)
{
    return server->parking.is_on && !server->parking.has_many;
}

static void often_set(served_queue *queue, bool is_often)
{
    server_parking *all = &queue->server->parking;
    all->often_count += is_often - queue->parking.is_often;
    queue->parking.is_often = queue_list_set(queue, QUEUES_OFTEN, is_often);
}

void parking_heard(served_queue *queue)
{
    queue->parking.heard_at_ms = loop_steady_ms(queue->server->loop);
}

static bool is_quiet(const served_queue *queue)
{
    return loop_steady_ms(queue->server->loop) - queue->parking.heard_at_ms >= PARKING_OFTEN_MS;
}

bool parking_wants(served_queue *queue)
{
    const server_parking *all = &queue->server->parking;
    if (!all->is_on || parking_is_for_all(queue->server))
        return all->is_on;
    if (is_quiet(queue))
        return false; /* it was woken to take the place of one that left */
    if (queue->watch.fruitless_wakes && all->often_count < PARKING_MAX_OFTEN)
        often_set(queue, true);
    return queue->parking.is_often;
}

static void leave_the_quiet(asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_OFTEN, queue, next)
    {
        if (server->parking.has_many && !is_quiet(queue))
            continue;
        often_set(queue, false);
        queue->watch.fruitless_wakes = 0;
        parking_leave(queue);
    }
}

static void leave_all(asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_ROLE, queue, next)
    parking_leave(queue);
}

/* Slots that a lease under way may fill do not count as taken yet. */
static bool can_take_tasks(const asynq_server *server)
{
    return server->fetching && (server->slots_free > 0 || fetch_has_leases_in_flight(server));
}

static void role_ask(served_queue *queue)
{
    asynq_server *server = queue->server;
    queue->parking.role_wanted = false;
    /* If it cannot be sent, the next connection, or the safety poll, looks again. */
    queue->parking.role_asked = queue->parking.role_in_flight =
        broker_take_role(queue->broker, bytes_of(server->process.id), &queue->keys, role_replied, queue) == 0;
    role_note(queue);
}

void parking_turn(asynq_server *server)
{
    if (!can_take_tasks(server))
        leave_all(server);
    if (!server->fetching)
        return;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WANT_ROLE, queue, next)
    if (!queue->parking.role_in_flight && broker_has_queue(queue->broker, &queue->keys))
        role_ask(queue);
}

static void parked_woken(served_queue *queue)
{
    if (queue->parking.role_asked) {
        queue->parking.woken = true;
        return;
    }
    if (queue->parking.role == ROLE_PARKED)
        queue->parking.role = ROLE_NONE;
    role_note(queue);
    fetch_may(queue, true);
    if (!can_take_tasks(queue->server) || queue_is_leaving(queue))
        role_leave(queue); /* pass it on */
}

bool parking_woken(asynq_server *server, const redis_node *by, bytes name)
{
    served_queue *queue = queues_find(server, name);
    if (queue && redis_nodes_at(queue->broker->nodes, queue->keys.slot) == by)
        parked_woken(queue); /* else the same message comes from there */
    return queue;
}

/* ---- with the heartbeat ---- */

static void role_renewed(served_queue *queue, queue_role role)
{
    if (queue->parking.role != ROLE_NONE && queue->parking.role != role)
        role_take(queue, role);
}

static void role_kept(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    queue->parking.renewals--;
    if (status)
        queue_complain(queue, "keep a role among idle servers", error);
    else
        role_renewed(queue, broker_role(reply));
}

/* By a call of its own; if it cannot be sent, the next beat does it. */
static void role_renew(served_queue *queue)
{
    const asynq_server *server = queue->server;
    if (!broker_take_role(queue->broker, bytes_of(server->process.id), &queue->keys, role_kept, queue))
        queue->parking.renewals++;
}

static bool rides_on_beat(const asynq_server *server)
{
    return !server->heartbeat.is_apart && !broker_is_cluster(&server->broker) &&
           server->parking.riding_count < BROKER_BEAT_ROLES;
}

size_t parking_beat(asynq_server *server, const queue_keys *roles[BROKER_BEAT_ROLES])
{
    served_queue *queue, *next;
    leave_the_quiet(server);
    server->parking.riding_count = 0;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_ROLE, queue, next)
    {
        if (queue->parking.role == ROLE_NONE) {
            take_duty(queue); /* it has been busy for a while */
        } else if (rides_on_beat(server)) {
            roles[server->parking.riding_count] = &queue->keys;
            server->parking.riding[server->parking.riding_count++] = queue;
            queue->parking.renewals++;
        } else {
            role_renew(queue);
        }
    }
    return server->parking.riding_count;
}

void parking_kept(asynq_server *server, const queue_role *roles)
{
    for (size_t i = 0; i < server->parking.riding_count; i++) {
        served_queue *queue = server->parking.riding[i];
        queue->parking.renewals--;
        if (roles && roles[i] == ROLE_UNKNOWN)
            role_renew(queue); /* which says what is wrong */
        else if (roles)
            role_renewed(queue, roles[i]);
    }
    server->parking.riding_count = 0;
}

static void parking_switch(asynq_server *server, bool on)
{
    server->parking.is_on = on;
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (parking_is_for_all(server) && subscriber_is_tracking(queue) && !queue->fetch.may_have_tasks &&
            !loop_timer_is_set(&queue->watch.rest))
            queue->parking.role_wanted = true;
        role_note(queue);
    }
    if (on)
        return;
    leave_all(server);
    for (size_t i = 0; i < server->queue_count; i++)
        take_duty(server->queues[i]);
}

void parking_reconsider(asynq_server *server)
{
    int64_t from = server->options.park_threshold;
    bool has_many = server->queue_count > PARKING_MAX_QUEUES;
    bool on =
        from > 0 && subscriber_can_be_woken(server) &&
        server->parking.servers_alive >= (server->parking.is_on ? from - 1 : from); /* not to and fro at the limit */
    if (server->parking.is_on && has_many != server->parking.has_many)
        parking_switch(server, false);
    server->parking.has_many = has_many;
    if (on != server->parking.is_on)
        parking_switch(server, on);
}

void parking_fleet_counted(asynq_server *server, int64_t servers_alive)
{
    server->parking.servers_alive = servers_alive;
    parking_reconsider(server);
}

/* ---- life ---- */

int parking_queue_start(served_queue *queue)
{
    queue->parking.role = ROLE_NONE;
    return ASYNQ_OK;
}

void parking_queue_stop(served_queue *queue)
{
    often_set(queue, false);
}

void parking_stop(asynq_server *server)
{
    buf_clear(&server->parking.wake_channel);
}
