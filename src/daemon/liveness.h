/*
 * Whether the loop that holds the leases still turns. It tells of each turn in its statistics, and has a timer of a
 * second, also while Redis is away; here is looked each second whether it has. What counts is how often this loop has
 * looked in vain: no clock that somebody sets, and no time in which the whole process was suspended.
 *
 * What a stuck loop holds is leased for 30 s; a supervisor should have ended asynqd by then: these 10 s, and systemd's
 * WatchdogSec or the patience of a container's check. Thread: that of the loop.
 */
#ifndef DAEMON_LIVENESS_H
#define DAEMON_LIVENESS_H

#include "daemon/work.h"
#include "event/timer.h"

typedef struct liveness {
    const work *work;
    loop_timer timer;
    int64_t last_loop_ms;
    unsigned looked_in_vain;
} liveness;

void liveness_init(liveness *l, loop *on);
void liveness_start(liveness *l, const work *w);
/* From now on it lives: its loop is about to end. */
void liveness_stop(liveness *l);

bool liveness_is_alive(const liveness *l);

#endif
