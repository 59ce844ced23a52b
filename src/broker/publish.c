/* See publish.h. */
#include "broker/publish.h"

#include "base/error.h"
#include "broker/call.h"

/* The name is registered again this often, because another process may have removed it (quirk Q-09). */
enum { PUBLISH_PERIOD_MS = 5000 };

enum { SCAN_QUEUES = 256 /* names in a page, about */ };

static void publish_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)reply;
    queue_publication *publication = arg;
    asynq_error own = {0};
    publication->in_flight = false;
    publication->done_at_ms = status ? 0 : publication->sent_at_ms;
    publication->is_known |= !status;
    if (status)
        error_set(&own, status, "the queue's name cannot be added to %s, where others find it: %.300s",
                  global_key_name(publication->space, GLOBAL_KEY_QUEUES).data, error->text);
    publication->told(publication->arg, status, status ? &own : NULL);
}

int broker_publish_queue(const broker *b, bytes queue, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "SADD");
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_QUEUES));
    redis_args_add(args, queue);
    return broker_call(b, args, cb, arg);
}

int broker_scan_queues(const broker *b, bytes cursor, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "SSCAN");
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_QUEUES));
    redis_args_add(args, cursor);
    redis_args_add_text(args, "COUNT");
    redis_args_add_integer(args, SCAN_QUEUES);
    return broker_call(b, args, cb, arg);
}

int queue_publish(queue_publication *publication, const broker *b, bytes queue, int64_t now_ms)
{
    if (publication->in_flight)
        return QUEUE_PUBLISHING;
    if (publication->done_at_ms && now_ms - publication->done_at_ms < PUBLISH_PERIOD_MS)
        return QUEUE_PUBLISHED;
    int status = broker_publish_queue(b, queue, publish_replied, publication);
    if (status == ASYNQ_E_UNAVAILABLE && publication->is_known)
        return QUEUE_PUBLISHED; /* of a cluster the node with that set is away; the name is there, most likely */
    if (status)
        return status;
    publication->space = b->space;
    publication->in_flight = true;
    publication->sent_at_ms = now_ms;
    return QUEUE_PUBLISHING;
}

void queue_publish_anew(queue_publication *publication)
{
    publication->done_at_ms = 0;
    publication->is_known = false;
}
