/* See message_read.h. */
#include "server/message_read.h"

#include "base/alloc.h"
#include "base/error.h"
#include "server/attempt.h"
#include "server/server.h"

#include <string.h>

typedef struct awaited_message {
    lease_call *call;
    int64_t pending_since;
    size_t id_length;
    char id[];
} awaited_message;

static void message_read_failed(lease_call *call, const asynq_error *error)
{
    call->is_unknown = true;
    queue_complain(call->queue, "read the messages of tasks that were taken", error);
}

/* The last one: the lease is over. */
static void message_read_end(awaited_message *awaited)
{
    lease_call *call = awaited->call;
    mem_free(awaited);
    if (--call->messages_awaited == 0)
        fetch_lease_over(call);
}

static void message_read_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    awaited_message *awaited = arg;
    served_queue *queue = awaited->call->queue;
    asynq_error odd;
    queue->server->slots_free++; /* attempt_begin takes it */
    capacities_begin_one(queue->server);
    if (!status && reply->type != REDIS_STRING && reply->type != REDIS_NIL) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than a message");
        error = &odd;
    }
    if (status)
        message_read_failed(awaited->call, error);
    else
        attempt_begin(queue,
                      (leased_task){.id = {awaited->id, awaited->id_length},
                                    .message = reply->type == REDIS_STRING ? reply->text : (bytes){0},
                                    .pending_since = awaited->pending_since},
                      &awaited->call->lease);
    message_read_end(awaited);
}

static bool message_read_send(lease_call *call, leased_task task)
{
    served_queue *queue = call->queue;
    awaited_message *awaited = mem_alloc(sizeof *awaited + task.id.length);
    if (!awaited)
        return false;
    *awaited = (awaited_message){call, task.pending_since, task.id.length};
    memcpy(awaited->id, task.id.data, task.id.length);
    if (!broker_read_message(queue->broker, &queue->keys, task.id, message_read_replied, awaited))
        return true;
    mem_free(awaited);
    return false;
}

size_t message_read_begin(lease_call *call, const redis_value *lease_reply)
{
    asynq_server *server = call->queue->server;
    size_t count = broker_lease_count(lease_reply), sent = 0;
    for (size_t i = 0; i < count; i++) {
        leased_task task = broker_lease_task(lease_reply, i);
        if (!task.is_left_out || !task.id.data)
            continue;
        if (message_read_send(call, task))
            sent++;
        else
            call->is_unknown = true; /* out of memory, or the connection goes: the lease is read back */
    }
    call->messages_awaited = sent;
    server->slots_free -= (int)sent;
    server->capacities.unbegun += (int)sent;
    return sent;
}
