/* asynq_scheduler_ping(): whether the scheduler reaches Redis, and if not, why. */
#include "schedule/scheduler.h"

#include "base/error.h"
#include "redis/engine_ping.h"

static engine_ping *scheduler_ping_begin(void *arg, asynq_error *error)
{
    asynq_scheduler *scheduler = arg;
    engine_ping *ping = NULL;
    pthread_mutex_lock(&scheduler->lock);
    if (scheduler->status == SCHEDULER_NEW)
        error_set(error, ASYNQ_E_STATE, "the scheduler has not been started");
    else if (scheduler->status == SCHEDULER_CLOSED)
        error_set(error, ASYNQ_E_CLOSED, "asynq: the scheduler has already been stopped");
    else if (!(ping = engine_ping_begin(&scheduler->engine)))
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    pthread_mutex_unlock(&scheduler->lock);
    return ping;
}

int asynq_scheduler_ping(asynq_scheduler *scheduler, int64_t timeout_ms, asynq_error *error)
{
    const engine_ping_owner owner = {.engine = &scheduler->engine,
                                     .what = "scheduler",
                                     .begin = scheduler_ping_begin,
                                     .arg = scheduler,
                                     .lock = &scheduler->lock,
                                     .cause = &scheduler->connection_error};
    return engine_ping_within(&owner, timeout_ms, error);
}
