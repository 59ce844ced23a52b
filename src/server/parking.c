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
 * Redis drops watchers whose subscriber connection is gone when the next server asks or beats, so at the latest after
 * one beat divided by the number of parked servers; those that hang after BROKER_ROLE_LIFE_S.
 */
#include "server/server.h"

static void leave_duty(served_queue *queue)
{
    queue->parking.off_duty = true;
    forwarder_rest(queue);
}

static void take_duty(served_queue *queue)
{
    if (!queue->parking.off_duty)
        return;
    queue->parking.off_duty = false;
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
    if (role == ROLE_PARKED) {
        leave_duty(queue);
    } else if (is_watching(role)) {
        take_duty(queue);
        watch_pending(queue);
    } else {
        queue->fetch.may_have_tasks = true;
    }
}

void parking_ask(served_queue *queue)
{
    queue->fetch.may_have_tasks = false;
    if (is_watching(queue->parking.role))
        watch_pending(queue);
    else
        queue->parking.role_wanted = true;
}

static void role_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    queue->parking.role_in_flight = false;
    if (!queue->parking.role_asked)
        return; /* it has left meanwhile */
    queue->parking.role_asked = false;
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
    queue->fetch.may_have_tasks = true;
}

/* If it cannot be sent, the entry ages out. */
static void role_leave(served_queue *queue)
{
    asynq_server *server = queue->server;
    (void)!broker_leave_role(queue->broker, bytes_of(server->process.id), &queue->keys);
}

static void leave_all(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (queue->parking.role == ROLE_NONE && !queue->parking.role_asked && !queue->parking.role_wanted)
            continue;
        parking_forget(queue);
        role_leave(queue);
    }
}

/* Slots that a lease under way may fill do not count as taken yet. */
static bool can_take_tasks(const asynq_server *server)
{
    return server->fetching && (server->slots_free > 0 || server->fetch.leases_in_flight);
}

static void role_ask(served_queue *queue)
{
    asynq_server *server = queue->server;
    queue->parking.role_wanted = false;
    /* If it cannot be sent, the next connection, or the safety poll, looks again. */
    queue->parking.role_asked = queue->parking.role_in_flight =
        broker_take_role(queue->broker, bytes_of(server->process.id), &queue->keys, role_replied, queue) == 0;
}

void parking_turn(asynq_server *server)
{
    if (!can_take_tasks(server))
        leave_all(server);
    if (!server->fetching || !broker_is_ready(&server->broker))
        return;
    for (size_t i = 0; i < server->queue_count; i++)
        if (server->queues[i]->parking.role_wanted && !server->queues[i]->parking.role_in_flight)
            role_ask(server->queues[i]);
}

bool parking_woken(asynq_server *server, bytes name)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (!bytes_equal(queue->keys.queue, name))
            continue;
        if (queue->parking.role_asked) {
            queue->parking.woken = true;
            return true;
        }
        if (queue->parking.role == ROLE_PARKED)
            queue->parking.role = ROLE_NONE;
        queue->fetch.may_have_tasks = true;
        if (!can_take_tasks(server))
            role_leave(queue); /* pass it on */
        return true;
    }
    return false;
}

/* ---- with the heartbeat ---- */

static void role_kept(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    if (status)
        queue_complain(queue, "keep a role among idle servers", error);
    else if (queue->parking.role != ROLE_NONE && queue->parking.role != broker_role(reply))
        role_take(queue, broker_role(reply));
}

void parking_beat(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (queue->parking.role == ROLE_NONE)
            take_duty(queue); /* it has been busy for a while */
        else                  /* if it cannot be sent, the next beat does it */
            (void)!broker_take_role(queue->broker, bytes_of(server->process.id), &queue->keys, role_kept, queue);
    }
}

static void parking_switch(asynq_server *server, bool on)
{
    server->parking.is_on = on;
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (on && server->tracking && !queue->fetch.may_have_tasks && !loop_timer_is_set(&queue->watch.rest))
            queue->parking.role_wanted = true;
    }
    if (on)
        return;
    leave_all(server);
    for (size_t i = 0; i < server->queue_count; i++)
        take_duty(server->queues[i]);
}

void parking_fleet_counted(asynq_server *server, int64_t servers_alive)
{
    server->parking.servers_alive = servers_alive;
    int64_t from = server->options.park_from;
    bool on = from > 0 && server->parking.can_be_woken &&
              servers_alive >= (server->parking.is_on ? from - 1 : from); /* not to and fro at the limit */
    if (on != server->parking.is_on)
        parking_switch(server, on);
}

/* ---- life ---- */

int parking_start(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        server->queues[i]->parking.role = ROLE_NONE;
    return ASYNQ_OK;
}

void parking_stop(asynq_server *server)
{
    buf_clear(&server->parking.wake_channel);
}
