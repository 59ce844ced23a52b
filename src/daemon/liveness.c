/* See liveness.h. */
#include "daemon/liveness.h"

enum { LOOK_MS = 1000, STUCK_AFTER_LOOKS = 10 };

static void time_to_look(void *arg)
{
    liveness *l = arg;
    asynq_server_stats stats;
    loop_timer_set(&l->timer, LOOK_MS);
    if (work_server(l->work))
        asynq_server_get_stats(work_server(l->work), &stats);
    l->looked_in_vain = work_server(l->work) && stats.last_loop_ms == l->last_loop_ms ? l->looked_in_vain + 1 : 0;
    l->last_loop_ms = stats.last_loop_ms;
}

void liveness_init(liveness *l, loop *on)
{
    *l = (liveness){0};
    loop_timer_init(on, &l->timer, time_to_look, l);
}

void liveness_start(liveness *l, const work *w)
{
    l->work = w;
    loop_timer_set(&l->timer, LOOK_MS);
}

void liveness_stop(liveness *l)
{
    loop_timer_cancel(&l->timer);
    l->looked_in_vain = 0;
}

bool liveness_is_alive(const liveness *l)
{
    return l->looked_in_vain < STUCK_AFTER_LOOKS;
}
