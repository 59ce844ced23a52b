/* See tick.h. */
#include "schedule/tick.h"

#include "base/clock.h"
#include "schedule/cron.h"

static int64_t tick_after(const asynq_cron *cron, int64_t after_s)
{
    int64_t next_ms = asynq_cron_next_ms(cron, after_s * MS_PER_SECOND);
    return next_ms == ASYNQ_NONE ? TICK_NEVER : next_ms / MS_PER_SECOND;
}

/* The first tick at or after `from_s`, which lies behind `last_s`. */
static int64_t tick_from(const asynq_cron *cron, int64_t last_s, int64_t from_s)
{
    if (!cron->every_s)
        return tick_after(cron, from_s - 1);
    return last_s + (from_s - last_s + cron->every_s - 1) / cron->every_s * cron->every_s;
}

/* The last tick at or before `until_s`; there is one behind `last_s`. */
static int64_t tick_until(const asynq_cron *cron, int64_t last_s, int64_t until_s)
{
    if (cron->every_s)
        return last_s + (until_s - last_s) / cron->every_s * cron->every_s;
    /* Look back, further each time, until a tick is found; from there on each is looked at. */
    for (int64_t back_s = 60;; back_s *= 2) {
        int64_t from_s = until_s - back_s > last_s ? until_s - back_s : last_s;
        int64_t tick = tick_after(cron, from_s);
        if (tick == TICK_NEVER || tick > until_s)
            continue;
        for (int64_t next = tick; next != TICK_NEVER && next <= until_s; next = tick_after(cron, tick))
            tick = next;
        return tick;
    }
}

/* The first tick that is still to be enqueued, when `first_s` and perhaps more were missed. */
static int64_t tick_after_misses(const tick_rule *rule, int64_t last_s, int64_t first_s, int64_t now_ms)
{
    int64_t newest_s = tick_until(rule->cron, last_s, floor_div(now_ms, MS_PER_SECOND));
    bool is_limited = rule->limit_ms != ASYNQ_NONE;
    int64_t oldest_s = is_limited ? floor_div(now_ms - rule->limit_ms + MS_PER_SECOND - 1, MS_PER_SECOND) : first_s;
    if (rule->catch_up == ASYNQ_CATCH_UP_ALL)
        return first_s >= oldest_s ? first_s : tick_from(rule->cron, last_s, oldest_s);
    if (rule->catch_up == ASYNQ_CATCH_UP_SKIP)
        oldest_s = floor_div(now_ms - TICK_LATE_MAX_MS + MS_PER_SECOND - 1, MS_PER_SECOND);
    return newest_s >= oldest_s ? newest_s : tick_after(rule->cron, newest_s);
}

int64_t tick_before_first(const asynq_cron *cron)
{
    return cron->at_s ? 1 : 0;
}

tick_choice tick_choose(const tick_rule *rule, int64_t last_s, int64_t now_ms)
{
    int64_t first_s = tick_after(rule->cron, last_s);
    if (first_s == TICK_NEVER || now_ms - first_s * MS_PER_SECOND <= TICK_LATE_MAX_MS)
        return (tick_choice){.tick_s = first_s};
    int64_t chosen_s = tick_after_misses(rule, last_s, first_s, now_ms);
    if (chosen_s == first_s)
        return (tick_choice){.tick_s = first_s};
    int64_t before_s = chosen_s == TICK_NEVER ? floor_div(now_ms, MS_PER_SECOND) : chosen_s - 1;
    return (tick_choice){chosen_s, first_s, tick_until(rule->cron, last_s, before_s)};
}
