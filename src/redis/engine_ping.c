/* See engine_ping.h. The caller and the loop share a ping; whoever lets go of it last frees it. */
#include "redis/engine_ping.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <errno.h>

struct engine_ping {
    engine_order order;
    engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t done;
    int refs; /* the caller's and the loop's; under the lock, as all that follows */
    bool has_ended;
    asynq_error error;
};

/* Under the lock, which is given up. */
static void ping_unref(engine_ping *ping)
{
    bool is_last = --ping->refs == 0;
    pthread_mutex_unlock(&ping->lock);
    if (!is_last)
        return;
    pthread_cond_destroy(&ping->done);
    pthread_mutex_destroy(&ping->lock);
    mem_free(ping);
}

static void ping_end(engine_ping *ping, const asynq_error *error)
{
    pthread_mutex_lock(&ping->lock);
    ping->has_ended = true;
    ping->error = *error;
    pthread_cond_signal(&ping->done);
    ping_unref(ping);
}

static void ping_replied(void *arg, const redis_result *result)
{
    asynq_error error = {0};
    (void)redis_result_check(result, &error);
    ping_end(arg, &error);
}

static void ping_send(void *arg)
{
    engine_ping *ping = arg;
    asynq_error error;
    if (ping->engine->nodes && !redis_nodes_ping(ping->engine->nodes, ping_replied, ping))
        return;
    error_set(&error, ASYNQ_E_UNAVAILABLE, "there is no connection with Redis");
    ping_end(ping, &error);
}

engine_ping *engine_ping_begin(engine *e)
{
    engine_ping *ping = mem_calloc(1, sizeof *ping);
    if (!ping)
        return NULL;
    ping->engine = e;
    ping->refs = 2;
    ping->order = (engine_order){.run = ping_send, .arg = ping};
    pthread_mutex_init(&ping->lock, NULL);
    thread_cond_init(&ping->done);
    engine_submit(e, &ping->order);
    return ping;
}

int engine_ping_wait(engine_ping *ping, int64_t timeout_ms, asynq_error *error)
{
    struct timespec until = thread_wait_end(timeout_ms);
    pthread_mutex_lock(&ping->lock);
    while (!ping->has_ended && pthread_cond_timedwait(&ping->done, &ping->lock, &until) != ETIMEDOUT)
        continue;
    int status = ping->has_ended ? ping->error.code : ASYNQ_E_TIMEOUT;
    if (status)
        error_set(error, status, "%s", ping->has_ended ? ping->error.text : "Redis did not answer in time");
    ping_unref(ping);
    return status;
}
