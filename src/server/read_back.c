/* See read_back.h. */
#include "server/read_back.h"

#include "server/attempt.h"
#include "server/server.h"

static void read_back_pause(served_queue *queue)
{
    loop_timer_set(&queue->watch.rest, error_pause_next_ms(queue->server, &queue->fetch.pause));
}

/* A lease may be lost for good only when Redis has said what it took; every error is tried again until it is too late.
 */
static void read_back_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    lease_call *call = arg;
    served_queue *queue = call->queue;
    call->is_in_flight = false;
    fetch_reconsider(queue);
    if (status) {
        queue_complain(queue, "read a lease back whose reply was lost", error);
        read_back_pause(queue);
        return;
    }
    error_pause_end(&queue->fetch.pause);
    call->is_unknown = false;
    fetch_reconsider(queue);
    size_t count = broker_read_back_count(reply);
    for (size_t i = 0; i < count; i++)
        attempt_begin(queue, broker_read_back_task(reply, i), &call->lease);
    log_event_repeated(&queue->server->log, &queue->complaint, LOG_LEASE_FOUND,
                       "queue \"%s\": its reply was lost; its %zu tasks run now", queue->name, count);
}

static void read_back_call(lease_call *call)
{
    served_queue *queue = call->queue;
    if (!call->is_unknown || call->is_in_flight || !broker_has_queue(queue->broker, &queue->keys))
        return; /* the next connection, or the end of the pause, tries again */
    call->is_in_flight = broker_read_back(queue->broker, &queue->keys, call->lease.score, read_back_replied, call) == 0;
    if (!call->is_in_flight)
        read_back_pause(queue);
    fetch_reconsider(queue);
}

void read_back(served_queue *queue)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++)
        read_back_call(&queue->fetch.calls[i]);
}

void read_back_no_more(served_queue *queue, int64_t before_ms)
{
    for (size_t i = 0; i < FETCH_ROUNDS; i++) {
        lease_call *call = &queue->fetch.calls[i];
        if (!call->is_in_flight && call->lease.ends_at_ms < before_ms)
            call->is_unknown = false;
    }
    fetch_reconsider(queue);
}
