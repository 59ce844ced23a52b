#include "unit.h"

#include "base/clock.h"
#include "schedule/tick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t utc_s(const char *text)
{
    struct tm at = {0};
    ck_assert_ptr_nonnull(strptime(text, "%Y-%m-%d %H:%M:%S", &at));
    return timegm(&at);
}

static tick_rule rule;

static void set_rule(const char *spec, asynq_catch_up catch_up, int64_t limit_ms)
{
    asynq_error error;
    asynq_cron_free((asynq_cron *)(uintptr_t)rule.cron);
    rule = (tick_rule){asynq_cron_new(spec, NULL, &error), catch_up, limit_ms};
    ck_assert_msg(rule.cron != NULL, "%s: %s", spec, error.text);
}

static void check(int64_t last_s, int64_t now_s, int64_t tick_s, int64_t missed_first_s, int64_t missed_last_s)
{
    tick_choice choice = tick_choose(&rule, last_s, now_s * MS_PER_SECOND);
    ck_assert_int_eq(choice.tick_s, tick_s);
    ck_assert_int_eq(choice.missed_first_s, missed_first_s);
    ck_assert_int_eq(choice.missed_last_s, missed_last_s);
}

START_TEST(in_time)
{
    set_rule("@every 10s", ASYNQ_CATCH_UP_ONCE, ASYNQ_HOURS(1));
    check(1000, 1000, 1010, 0, 0);
    check(1000, 1009, 1010, 0, 0);
    check(1000, 1010, 1010, 0, 0);
    check(1000, 1040, 1010, 0, 0); /* late by 30 s: three more follow, each by itself */
    check(1010, 1040, 1020, 0, 0);
    set_rule("0 0 30 2 *", ASYNQ_CATCH_UP_ONCE, ASYNQ_HOURS(1));
    check(1000, 2000, TICK_NEVER, 0, 0);
}
END_TEST

START_TEST(once)
{
    set_rule("@every 10s", ASYNQ_CATCH_UP_ONCE, ASYNQ_SECONDS(100));
    check(1000, 1041, 1040, 1010, 1030);
    check(1040, 1041, 1050, 0, 0);
    check(1000, 9999, 9990, 1010, 9980);
    set_rule("@every 200s", ASYNQ_CATCH_UP_ONCE, ASYNQ_SECONDS(100));
    check(1000, 1299, 1200, 0, 0);
    check(1000, 1300, 1200, 0, 0);
    check(1000, 1301, 1400, 1200, 1200); /* the newest one, too, is beyond the limit */
    set_rule("0 3 * * *", ASYNQ_CATCH_UP_ONCE, ASYNQ_HOURS(24));
    check(utc_s("2025-01-01 03:00:00"), utc_s("2025-01-05 14:00:00"), utc_s("2025-01-05 03:00:00"),
          utc_s("2025-01-02 03:00:00"), utc_s("2025-01-04 03:00:00"));
    set_rule("0 0 1 * *", ASYNQ_CATCH_UP_ONCE, ASYNQ_NONE);
    check(utc_s("2025-01-01 00:00:00"), utc_s("2025-01-31 00:00:00"), utc_s("2025-02-01 00:00:00"), 0, 0);
    check(utc_s("2025-01-01 00:00:00"), utc_s("2025-04-30 00:00:00"), utc_s("2025-04-01 00:00:00"),
          utc_s("2025-02-01 00:00:00"), utc_s("2025-03-01 00:00:00"));
}
END_TEST

START_TEST(all)
{
    set_rule("@every 10s", ASYNQ_CATCH_UP_ALL, ASYNQ_SECONDS(100));
    check(1000, 1100, 1010, 0, 0);
    check(1000, 1110, 1010, 0, 0);
    check(1000, 1111, 1020, 1010, 1010);
    check(1020, 1111, 1030, 0, 0);
    check(1000, 5005, 4910, 1010, 4900);
    set_rule("@every 10s", ASYNQ_CATCH_UP_ALL, ASYNQ_NONE);
    check(1000, 50000, 1010, 0, 0);
    set_rule("*/20 * * * *", ASYNQ_CATCH_UP_ALL, ASYNQ_HOURS(1));
    check(utc_s("2025-01-01 00:00:00"), utc_s("2025-01-01 12:10:00"), utc_s("2025-01-01 11:20:00"),
          utc_s("2025-01-01 00:20:00"), utc_s("2025-01-01 11:00:00"));
}
END_TEST

START_TEST(skip)
{
    set_rule("@every 10s", ASYNQ_CATCH_UP_SKIP, ASYNQ_HOURS(1));
    check(1000, 1041, 1040, 1010, 1030); /* this one is in time */
    set_rule("@every 1000s", ASYNQ_CATCH_UP_SKIP, ASYNQ_HOURS(1));
    check(1000, 2030, 2000, 0, 0);
    check(1000, 2031, 3000, 2000, 2000);
    set_rule("0 0 30 2 *", ASYNQ_CATCH_UP_SKIP, ASYNQ_HOURS(1));
    check(1000, 99999, TICK_NEVER, 0, 0);
}
END_TEST

/* ---- simulated time: a scheduler that looks every second, while the clock does what it likes ---- */

enum { TICKS_MAX = 20000 };

static int64_t enqueued[TICKS_MAX];
static size_t enqueued_count;

/* What one look at the clock enqueues. `last_s` is what Redis remembers. */
static void look(int64_t *last_s, int64_t now_ms)
{
    for (;;) {
        tick_choice choice = tick_choose(&rule, *last_s, now_ms);
        if (choice.missed_last_s)
            *last_s = choice.missed_last_s;
        if (choice.tick_s == TICK_NEVER || choice.tick_s * MS_PER_SECOND > now_ms)
            return;
        ck_assert_int_gt(choice.tick_s, *last_s); /* none comes twice */
        *last_s = choice.tick_s;
        ck_assert_uint_lt(enqueued_count, TICKS_MAX);
        enqueued[enqueued_count++] = choice.tick_s;
    }
}

/* The ticks in (from, to], as the calendar has them, were all enqueued, in order and once. */
static void check_complete(int64_t from_s, int64_t to_s)
{
    size_t at = 0;
    for (int64_t tick_ms = asynq_cron_next_ms(rule.cron, from_s * MS_PER_SECOND); tick_ms / MS_PER_SECOND <= to_s;
         tick_ms = asynq_cron_next_ms(rule.cron, tick_ms)) {
        ck_assert_uint_lt(at, enqueued_count);
        ck_assert_int_eq(enqueued[at++], tick_ms / MS_PER_SECOND);
    }
    ck_assert_uint_eq(at, enqueued_count);
}

START_TEST(clock_steps)
{
    static const char *const specs[] = {"* * * * *", "@every 7s", "*/15 * * * *"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        set_rule(specs[i], ASYNQ_CATCH_UP_ALL, ASYNQ_HOURS(2));
        int64_t begin_s = utc_s("2025-06-01 00:00:00"), last_s = begin_s, now_s = begin_s, latest_s = begin_s;
        enqueued_count = 0;
        srand(1);
        for (int second = 0; second < 20000; second++, now_s++) {
            if (second % 1000 == 999)
                now_s += rand() % 2 ? 3600 : -3600;
            look(&last_s, now_s * MS_PER_SECOND);
            latest_s = now_s > latest_s ? now_s : latest_s;
        }
        check_complete(begin_s, latest_s);
    }
}
END_TEST

START_TEST(summer_time)
{
    static const char *const zones[] = {"Europe/Berlin",       "America/New_York", "America/Sao_Paulo",
                                        "Australia/Lord_Howe", "Africa/Cairo",     "America/Havana"};
    static const char *const nights[] = {"2018-02-17", "2018-03-10", "2018-03-24", "2018-04-01", "2018-10-07",
                                         "2018-10-27", "2018-11-03", "2024-04-25", "2024-10-30"};
    static const char *const fields[] = {"*/10 * * * *", "30 * * * *", "15 0-3 * * *", "0 0 * * *", "30 2 * * *"};
    char text[128];
    for (size_t i = 0; i < 6 * 9 * 5; i++) {
        snprintf(text, sizeof text, "CRON_TZ=%s %s", zones[i % 6], fields[i / 6 % 5]);
        set_rule(text, ASYNQ_CATCH_UP_ALL, ASYNQ_HOURS(2));
        snprintf(text, sizeof text, "%s 00:00:00", nights[i / 30]);
        int64_t begin_s = utc_s(text), last_s = begin_s;
        enqueued_count = 0;
        for (int64_t now_s = begin_s; now_s <= begin_s + 2 * 86400; now_s += 300)
            look(&last_s, now_s * MS_PER_SECOND);
        check_complete(begin_s, begin_s + 2 * 86400);
    }
}
END_TEST

/* Pauses of up to an hour, with each policy: what is given up and what is enqueued are all ticks together. */
START_TEST(pauses)
{
    for (int catch_up = ASYNQ_CATCH_UP_ONCE; catch_up <= ASYNQ_CATCH_UP_SKIP; catch_up++) {
        set_rule("@every 3s", (asynq_catch_up)catch_up, ASYNQ_MINUTES(10));
        int64_t last_s = 1000, now_ms = 1000000, seen_s = 1000;
        srand(2);
        for (int i = 0; i < 2000; i++, now_ms += 500 + (rand() % 50 ? 0 : rand() % 3600000)) {
            enqueued_count = 0;
            tick_choice first = tick_choose(&rule, last_s, now_ms);
            look(&last_s, now_ms);
            if (first.missed_last_s) {
                ck_assert_int_eq(first.missed_first_s, seen_s + 3);
                seen_s = first.missed_last_s;
            }
            for (size_t k = 0; k < enqueued_count; k++, seen_s += 3)
                ck_assert_int_eq(enqueued[k], seen_s + 3);
            ck_assert_int_eq(last_s, seen_s);
            ck_assert_int_lt(now_ms / 1000 - last_s, 3);
        }
    }
}
END_TEST

Suite *suite_tick(void)
{
    const TTest *const tests[] = {in_time, once, all, skip, clock_steps, summer_time, pauses, NULL};
    return suite_of("tick", tests);
}
