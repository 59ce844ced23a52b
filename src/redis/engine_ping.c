/* See engine_ping.h. The caller and the loop share a ping; whoever lets go of it last frees it. */
#include "redis/engine_ping.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "redis/answer.h"

#include <errno.h>
#include <unistd.h>

enum { PING_PAUSE_MS = 20, PING_MAX_MS = 24 * 3600 * 1000 };

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
static void engine_ping_unref(engine_ping *ping)
{
    bool is_last = --ping->refs == 0;
    pthread_mutex_unlock(&ping->lock);
    if (!is_last)
        return;
    pthread_cond_destroy(&ping->done);
    pthread_mutex_destroy(&ping->lock);
    mem_free(ping);
}

static void engine_ping_end(engine_ping *ping, const asynq_error *error)
{
    pthread_mutex_lock(&ping->lock);
    ping->has_ended = true;
    ping->error = *error;
    pthread_cond_signal(&ping->done);
    engine_ping_unref(ping);
}

static void engine_ping_replied(void *arg, const redis_result *result)
{
    asynq_error error = {0};
    (void)redis_result_check(result, &error);
    engine_ping_end(arg, &error);
}

static void ping_send(void *arg)
{
    engine_ping *ping = arg;
    asynq_error error;
    if (ping->engine->nodes && !redis_nodes_ping(ping->engine->nodes, engine_ping_replied, ping))
        return;
    error_set(&error, ASYNQ_E_UNAVAILABLE, "there is no connection with Redis");
    engine_ping_end(ping, &error);
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
    engine_ping_unref(ping);
    return status;
}

/* ---- until there is an answer ---- */

/* NULL with `error` filled: it does not run, or out of memory. */
static engine_ping *engine_ping_of(const engine_ping_owner *owner, asynq_error *error)
{
    engine_ping *ping = NULL;
    pthread_mutex_lock(owner->lock); /* until then it runs */
    if (!owner->check_runs(owner->arg, error) && !(ping = engine_ping_begin(owner->engine)))
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    pthread_mutex_unlock(owner->lock);
    return ping;
}

/* The connection knows more of why there is none. */
static int engine_ping_explain(const engine_ping_owner *owner, int status, asynq_error *error)
{
    if (status != ASYNQ_E_UNAVAILABLE && status != ASYNQ_E_TIMEOUT)
        return status;
    pthread_mutex_lock(owner->lock);
    asynq_error cause = *owner->cause;
    pthread_mutex_unlock(owner->lock);
    if (redis_error_is_final(cause.code))
        return error_set(error, cause.code, "%s", cause.text);
    return cause.code ? error_set(error, status, "Redis cannot be reached: %.200s", cause.text) : status;
}

static int64_t engine_ping_clamp(int64_t timeout_ms)
{
    return timeout_ms < 0 ? 0 : timeout_ms < PING_MAX_MS ? timeout_ms : PING_MAX_MS;
}

int engine_ping_within(const engine_ping_owner *owner, int64_t timeout_ms, asynq_error *error)
{
    asynq_error own_error;
    error = error ? error : &own_error;
    error_clear(error);
    if (engine_check_process(owner->engine, owner->what, error))
        return ASYNQ_E_STATE;
    if (engine_is_own_thread(owner->engine))
        return error_set(error, ASYNQ_E_STATE, "a ping from the %s's own thread would never end", owner->what);
    int64_t left_ms = engine_ping_clamp(timeout_ms), ends_at_ms = clock_steady_ms() + left_ms;
    for (;;) {
        engine_ping *ping = engine_ping_of(owner, error);
        if (!ping)
            return error->code;
        int status = engine_ping_explain(owner, engine_ping_wait(ping, left_ms, error), error);
        left_ms = ends_at_ms - clock_steady_ms();
        if (status != ASYNQ_E_UNAVAILABLE || left_ms <= 0)
            return status;
        error_clear(error);
        usleep((useconds_t)(left_ms < PING_PAUSE_MS ? left_ms : PING_PAUSE_MS) * 1000);
    }
}
