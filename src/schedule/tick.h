/*
 * Which tick of an entry comes next, given the last one that is over and the time. Pure; the rules are described at
 * asynq_catch_up. Ticks are named by their second.
 */
#ifndef SCHEDULE_TICK_H
#define SCHEDULE_TICK_H

#include <asynq/scheduler.h>

enum { TICK_LATE_MAX_MS = 30000 };

#define TICK_NEVER INT64_MIN

typedef struct tick_rule {
    const asynq_cron *cron;
    asynq_catch_up catch_up;
    int64_t limit_ms; /* ASYNQ_NONE: none */
} tick_rule;

typedef struct tick_choice {
    int64_t tick_s;                        /* the one to enqueue, now or when it comes; TICK_NEVER: there is none */
    int64_t missed_first_s, missed_last_s; /* those given up before it; 0: none */
} tick_choice;

/*
 * The tick that is over when an entry becomes known; 0: the one of that moment. The only one of "@at" is not over in
 * any case, so that it can be missed and made up for.
 */
int64_t tick_before_first(const asynq_cron *cron);

tick_choice tick_choose(const tick_rule *rule, int64_t last_s, int64_t now_ms);

#endif
