/* See duty.h. */
#include "server/duty.h"

#include "server/server.h"

static const duty *const duties[DUTY_COUNT] = {
    [DUTY_EXPIRE] = &duty_expire, [DUTY_RECOVER] = &duty_recover,           [DUTY_TAKE_BACK] = &duty_take_back,
    [DUTY_STALE] = &duty_stale,   [DUTY_RECLAIM_SETS] = &duty_reclaim_sets, [DUTY_CLEAR_SETS] = &duty_clear_sets,
};

static void duty_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    queue_duty *own = arg;
    served_queue *queue = own->queue;
    const duty *row = duties[own->id];
    own->queue = NULL;
    if (status)
        queue_complain(queue, row->what, error);
    else if (row->replied(queue, reply))
        duty_run(queue, own->id);
}

static bool duty_may_begin(const served_queue *queue, duty_id id)
{
    const asynq_server *server = queue->server;
    shutdown_phase until = duties[id]->while_jobs_end ? SHUTDOWN_CLEARING : SHUTDOWN_JOBS_RUN;
    return !queue->duties[id].queue && !queue_is_leaving(queue) && server->phase < until &&
           broker_has_queue(queue->broker, &queue->keys);
}

void duty_run(served_queue *queue, duty_id id)
{
    queue_duty *own = &queue->duties[id];
    if (!duty_may_begin(queue, id))
        return; /* it is done now, or the next period does it */
    *own = (queue_duty){queue, id};
    if (duties[id]->send(queue, duty_replied, own))
        own->queue = NULL;
}
