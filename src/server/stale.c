/*
 * Tasks that servers in Go have lost. They have no session, but they renew their leases of 30 s each 5 s, and record
 * what they run. So a lease that will end soon, and is the same some seconds later, is of a server that is gone, if no
 * server that is alive says that it runs the task: clocks may differ, and a lease look old that is not. Then the lease
 * is ended, and recovery takes the task; otherwise it does so half a minute later.
 */
#include "server/stale.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "server/recoverer.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

enum {
    STALE_UNCHANGED_MS = 5500, /* longer than between two heartbeats */
    STALE_RUNNING_MAX = 1000000
};

typedef struct stale_lease {
    UT_hash_handle hh; /* by id */
    int64_t since_ms;  /* steady clock: it has not changed */
    bool has_ended;
    unsigned look; /* the last one that found it */
    char *score_text;
    char id[];
} stale_lease;

static void stale_drop(served_queue *queue, stale_lease *lease)
{
    HASH_DEL(queue->stale.leases, lease);
    mem_free(lease->score_text);
    mem_free(lease);
}

/* NULL: out of memory, then the next look finds it again. */
static stale_lease *stale_add(served_queue *queue, bytes id, bytes score)
{
    stale_lease *lease = mem_calloc(1, sizeof *lease + id.length + 1);
    if (!lease)
        return NULL;
    memcpy(lease->id, id.data, id.length);
    lease->since_ms = loop_steady_ms(queue->server->loop);
    lease->score_text = mem_dup(score.data, score.length);
    HASH_ADD_STR(queue->stale.leases, id, lease);
    if (HASH_HAS(lease) && lease->score_text)
        return lease;
    if (HASH_HAS(lease))
        HASH_DEL(queue->stale.leases, lease);
    mem_free(lease->score_text);
    mem_free(lease);
    return NULL;
}

static void stale_see(served_queue *queue, bytes id, bytes score, int64_t redis_s)
{
    stale_lease *lease;
    if (!id.data || !score.data || memchr(id.data, 0, id.length))
        return; /* recovered later */
    HASH_FIND(hh, queue->stale.leases, id.data, id.length, lease);
    if (lease && !bytes_equal(bytes_of(lease->score_text), score)) {
        stale_drop(queue, lease);
        lease = NULL;
    }
    lease = lease ? lease : stale_add(queue, id, score);
    if (!lease)
        return;
    bool is_unchanged = loop_steady_ms(queue->server->loop) - lease->since_ms >= STALE_UNCHANGED_MS;
    lease->look = queue->stale.looks;
    lease->has_ended = is_unchanged && strtod(lease->score_text, NULL) < (double)redis_s;
    queue->stale.ended_count += lease->has_ended;
}

/* ---- what live servers run ---- */

static void stale_ended(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    (void)reply;
    if (status)
        queue_complain(queue, "end leases of a server that is gone", error);
    else
        duty_run(queue, DUTY_RECOVER);
    queue_let_go(queue);
}

static void stale_end_queue(served_queue *queue)
{
    lease_seen ended[BROKER_CHUNK_TASKS];
    size_t count = 0;
    stale_lease *lease, *next;
    HASH_ITER(hh, queue->stale.leases, lease, next)
        if (lease->has_ended && count < BROKER_CHUNK_TASKS && !name_set_find(&queue->server->stale.running, lease->id))
            ended[count++] = (lease_seen){bytes_of(lease->id), bytes_of(lease->score_text)};
    int64_t long_ago = floor_div(loop_now_ns(queue->server->loop), NS_PER_SECOND) - 2 * BROKER_RECOVERY_ALLOWANCE_S;
    if (count && !queue_is_leaving(queue) && broker_has_queue(queue->broker, &queue->keys) &&
        !broker_end_leases(queue->broker, &queue->keys, long_ago, ended, count, stale_ended, queue))
        queue_hold(queue);
    queue->stale.ended_count = 0;
}

static void stale_reply_came(asynq_server *server)
{
    if (--server->stale.replies_due)
        return;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_IN_UPKEEP, queue, next)
    if (queue->stale.ended_count && !server->stale.has_failed)
        stale_end_queue(queue);
    name_set_clear(&server->stale.running);
}

static void stale_add_running(asynq_server *server, const redis_value *reply)
{
    name_set *running = &server->stale.running;
    for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
        const char *id = reply->elements[i].text.data;
        bool is_kept = id && name_set_count(running) < STALE_RUNNING_MAX && name_set_add(running, id);
        server->stale.has_failed |= !is_kept;
    }
    server->stale.has_failed |= reply->type != REDIS_ARRAY;
}

static void stale_record_read(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    (void)error;
    if (status)
        server->stale.has_failed = true;
    else
        stale_add_running(server, reply);
    stale_reply_came(server);
}

static void stale_read_record(asynq_server *server, bytes record)
{
    bytes list = global_key_name(&server->space, GLOBAL_KEY_WORKERS);
    bool is_record = record.data && record.length > list.length && memcmp(record.data, list.data, list.length) == 0;
    if (is_record && broker_list_running(&server->broker, record, stale_record_read, server) == 0)
        server->stale.replies_due++;
    else
        server->stale.has_failed |= is_record;
}

static void stale_records_listed(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    (void)error;
    server->stale.has_failed = status || reply->type != REDIS_ARRAY;
    for (size_t i = 0; !server->stale.has_failed && i < reply->count; i++)
        stale_read_record(server, reply->elements[i].text);
    stale_reply_came(server);
}

/* ---- the duty ---- */

static int stale_send(served_queue *queue, broker_cb replied, void *arg)
{
    return broker_list_stale(queue->broker, &queue->keys, loop_now_ns(queue->server->loop), replied, arg);
}

static bool stale_replied(served_queue *queue, const redis_value *reply)
{
    asynq_server *server = queue->server;
    queue_stale *own = &queue->stale;
    own->looks++;
    own->ended_count = 0;
    for (size_t i = 1; reply->type == REDIS_ARRAY && i + 1 < reply->count; i += 2)
        stale_see(queue, reply->elements[i].text, reply->elements[i + 1].text,
                  redis_value_integer(redis_value_at(reply, 0)));
    stale_lease *lease, *next;
    HASH_ITER(hh, own->leases, lease, next)
        if (lease->look != own->looks)
            stale_drop(queue, lease);
    if (own->ended_count && !server->stale.replies_due &&
        !broker_list_records(&server->broker, stale_records_listed, server))
        server->stale.replies_due = 1;
    return false;
}

const duty duty_stale = {.what = "look for leases that nobody renews", .send = stale_send, .replied = stale_replied};

void stale_queue_stop(served_queue *queue)
{
    stale_lease *lease, *next;
    HASH_ITER(hh, queue->stale.leases, lease, next)
        stale_drop(queue, lease);
}

void stale_stop(asynq_server *server)
{
    name_set_clear(&server->stale.running);
}
