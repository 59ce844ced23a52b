/* See ending.h. */
#include "daemon/ending.h"

#include "base/clock.h"
#include "base/thread.h"
#include "daemon/service.h"

enum { HISTORY_WITHIN_MS = 10000, STOPPING_MORE_MS = 20000 };

/* Waits for Redis and PostgreSQL. */
static void *ending_wait(void *arg)
{
    ending *e = arg;
    job_schedule_shutdown(e->parts.jobs);
    if (e->parts.database)
        database_stop(e->parts.database, HISTORY_WITHIN_MS);
    loop_waker_wake(&e->thread_ends);
    return NULL;
}

static void database_stopped(void *arg)
{
    ending *e = arg;
    pthread_join(e->thread, NULL);
    if (e->parts.redis)
        private_redis_stop(e->parts.redis);
    else
        loop_stop(e->parts.loop);
}

static void work_stopped(void *arg)
{
    ending *e = arg;
    asynq_error error;
    if (thread_start(&e->thread, ending_wait, e, &error)) {
        log_event(e->parts.log, LOG_FATAL, "%s", error.text);
        loop_stop(e->parts.loop);
    }
}

/* To systemd, to whoever asks the end-points, and to the log. */
static void ending_announce(const ending_parts *parts)
{
    int64_t limit_ms = work_config(parts->work)->shutdown_timeout_ms;
    service_stopping(limit_ms + HISTORY_WITHIN_MS + STOPPING_MORE_MS);
    liveness_stop(parts->liveness);
    if (parts->endpoints)
        endpoints_announce_stop(parts->endpoints);
    log_event(parts->log, LOG_SHUTDOWN_STARTED, "running tasks have up to %.0f s", (double)limit_ms / MS_PER_SECOND);
}

int ending_init(ending *e, loop *l)
{
    return loop_waker_init(l, &e->thread_ends, database_stopped, e);
}

void ending_clear(ending *e)
{
    loop_waker_clear(&e->thread_ends);
}

void ending_begin(ending *e, const ending_parts *parts)
{
    if (e->has_begun) {
        log_event(parts->log, LOG_SHUTDOWN_HASTENED, "running tasks are requeued now");
        work_hurry(parts->work);
        return;
    }
    e->has_begun = true;
    e->parts = *parts;
    reload_end(parts->reload);
    ending_announce(parts);
    work_stop(parts->work, work_stopped, e);
}
