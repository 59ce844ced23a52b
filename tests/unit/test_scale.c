#include "unit.h"

#include "daemon/scale.h"

#include <string.h>

static scale_options options;
static scale_state state;
static scale_sample now;

/* One queue, one worker with a concurrency of 10, looked at every 5 s; 80 % busy is what a worker should be. */
static void begin(int64_t workers)
{
    arena memory;
    arena_init(&memory, 0);
    memset(&state, 0, sizeof state);
    memset(&now, 0, sizeof now);
    setting_preset(scale_table, &options, &memory);
    now.at_ms = 1700000000000;
    now.workers = workers;
    scale_add(&state, &options, &now, 1, 10);
}

/* 5 s later: so many came and were done, and so many are there. */
static int64_t next(int64_t processed, int64_t failed, int64_t pending, int64_t active)
{
    now.at_ms += 5000;
    now.queues[0].processed += processed;
    now.queues[0].failed += failed;
    now.queues[0].pending = pending;
    now.queues[0].active = active;
    scale_add(&state, &options, &now, 1, 10);
    return state.wanted;
}

/* The same for minutes. */
static int64_t steady(int minutes, int64_t processed, int64_t failed, int64_t pending, int64_t active)
{
    for (int i = 0; i < 12 * minutes; i++)
        next(processed, failed, pending, active);
    return state.wanted;
}

START_TEST(rates)
{
    begin(1);
    steady(2, 100, 0, 0, 6); /* 20 per s, 6 at a time: 0.3 s each */
    const scale_rates *measured = &state.rates[0];
    ck_assert_double_eq_tol(measured->arrival, 20, 0.2);
    ck_assert_double_eq_tol(measured->service, 20, 0.2);
    ck_assert_double_eq_tol(measured->run_s, 0.3, 0.01);
    ck_assert_double_eq_tol(measured->slots, 6, 0.1);
    ck_assert_int_eq(state.wanted, 1); /* 6 of 8 */
}
END_TEST

START_TEST(load_decides)
{
    begin(1);
    ck_assert_int_eq(steady(2, 100, 0, 0, 8), 1);
    ck_assert_int_eq(steady(2, 500, 0, 0, 40), 5);
    ck_assert_int_eq(steady(2, 5000, 0, 0, 400), 10); /* the most */
    ck_assert_str_eq(state.reason, "the most");
    ck_assert_int_eq(steady(3, 0, 0, 0, 0), 10); /* the last change was a moment ago */
    ck_assert_int_eq(steady(4, 0, 0, 0, 0), 1);
    ck_assert_str_eq(state.reason, "the least");
}
END_TEST

START_TEST(backlog_counts)
{
    begin(1);
    steady(2, 50, 0, 0, 5);                    /* 10 per s, 0.5 s each */
    ck_assert_int_eq(next(50, 0, 1200, 5), 4); /* 30 per s came in the last minute: 15 slots; 1,200 in a minute: 10 */
    begin(1);
    steady(2, 50, 0, 0, 5);
    ck_assert_int_eq(steady(3, 50, 0, 2400, 5), 6);         /* 50 per s came in the first minute, and 2,400 wait */
    ck_assert_double_eq_tol(state.rates[0].slots, 25, 0.5); /* now it is 10 per s; fewer would do */
}
END_TEST

START_TEST(waiting_asks_for_more)
{
    begin(2);
    ck_assert_int_eq(steady(2, 100, 0, 1, 6), 2);
    now.queues[0].latency_ms = 31000;
    ck_assert_int_eq(next(100, 0, 1, 6), 3);
    ck_assert_str_eq(state.reason, "tasks wait too long");
    ck_assert_int_eq(next(100, 0, 1, 6), 4);
    ck_assert_int_eq(steady(1, 100, 0, 1, 6), 10);
}
END_TEST

START_TEST(failures_hold)
{
    begin(2);
    steady(2, 100, 60, 0, 16);
    ck_assert_double_eq_tol(state.rates[0].failure, 0.6, 0.01);
    ck_assert_int_eq(steady(1, 100, 60, 5000, 20), 2);
    ck_assert_str_eq(state.reason, "too many attempts fail");
    ck_assert_int_ge(steady(2, 100, 10, 5000, 20), 5);
}
END_TEST

START_TEST(small_changes_are_left)
{
    begin(1);
    options.most = 100;
    options.cool_down_ms = 0;
    int64_t before = steady(2, 1000, 0, 0, 240); /* 30, or a little less, as the last steps were small */
    ck_assert(before >= 28 && before <= 30);
    ck_assert_int_eq(steady(2, 1000, 0, 0, 236), before);
    ck_assert_str_eq(state.reason, "the change would be small");
    int64_t after = steady(2, 1000, 0, 0, 290); /* 37 */
    ck_assert(after >= 34 && after <= 37);
    ck_assert_int_eq(steady(2, 1000, 0, 0, 270), after);
    after = steady(2, 1000, 0, 0, 100); /* 13 */
    ck_assert(after == 13 || after == 14);
}
END_TEST

START_TEST(unknown_is_not_nothing)
{
    begin(7); /* a fleet that works before this asynqd knows why */
    ck_assert_int_eq(state.wanted, 7);
    ck_assert_int_eq(next(0, 0, 0, 0), 7);
    begin(0);
    ck_assert_int_eq(next(0, 0, 3, 10), 2); /* nothing has ended yet: it takes 5 s at least */
    now.queues[0].processed = 0;            /* the queue was deleted and begun anew */
    next(5, 0, 0, 1);
    ck_assert(state.rates[0].service >= 0 && state.rates[0].arrival >= 0);
    now.at_ms -= 60000; /* the clock was set back */
    next(5, 0, 0, 1);
    ck_assert(state.wanted >= 1 && state.wanted <= 10);
}
END_TEST

Suite *suite_scale(void)
{
    const TTest *const list[] = {rates,         load_decides,           backlog_counts,         waiting_asks_for_more,
                                 failures_hold, small_changes_are_left, unknown_is_not_nothing, NULL};
    return suite_of("scaling", list);
}
