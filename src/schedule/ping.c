/* asynq_scheduler_ping(): whether the scheduler reaches Redis, and if not, why. */
#include "schedule/scheduler.h"

#include "base/error.h"
#include "redis/engine_ping.h"

static int scheduler_check_runs(const void *arg, asynq_error *error)
{
    const asynq_scheduler *scheduler = arg;
    if (scheduler->status == SCHEDULER_NEW)
        return error_set(error, ASYNQ_E_STATE, "the scheduler has not been started");
    if (scheduler->status == SCHEDULER_CLOSED)
        return error_set(error, ASYNQ_E_CLOSED, "asynq: the scheduler has already been stopped");
    return ASYNQ_OK;
}

int asynq_scheduler_ping(asynq_scheduler *scheduler, int64_t timeout_ms, asynq_error *error)
{
    const engine_ping_owner owner = {.engine = &scheduler->engine,
                                     .what = "scheduler",
                                     .check_runs = scheduler_check_runs,
                                     .arg = scheduler,
                                     .lock = &scheduler->lock,
                                     .cause = &scheduler->connection_error};
    return engine_ping_within(&owner, timeout_ms, error);
}
