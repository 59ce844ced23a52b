#include "unit.h"

#include "base/clock.h"
#include "schedule/cron.h"

#include <string.h>
#include <time.h>

/* "2006-01-02 15:04:05" in UTC */
static int64_t utc_s(const char *text)
{
    struct tm at = {0};
    ck_assert_ptr_nonnull(strptime(text, "%Y-%m-%d %H:%M:%S", &at));
    return timegm(&at);
}

static void check_next(const char *spec, const char *after, const char *expected)
{
    asynq_error error;
    char text[32] = "never";
    asynq_cron *cron = asynq_cron_new(spec, NULL, &error);
    ck_assert_msg(cron != NULL, "%s: %s", spec, error.text);
    int64_t next_ms = asynq_cron_next_ms(cron, utc_s(after) * MS_PER_SECOND);
    time_t next_s = (time_t)(next_ms / MS_PER_SECOND);
    struct tm at;
    if (next_ms != ASYNQ_NONE)
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&next_s, &at));
    ck_assert_msg(strcmp(text, expected) == 0, "%s after %s: %s, want %s", spec, after, text, expected);
    asynq_cron_free(cron);
}

START_TEST(fields)
{
    check_next("*/15 9-17 * * mon-fri", "2025-01-03 17:45:00", "2025-01-06 09:00:00");
    check_next("*/15 9-17 * * mon-fri", "2025-01-06 09:00:00", "2025-01-06 09:15:00");
    check_next("0 0 13 * 5", "2025-01-01 00:00:00", "2025-01-03 00:00:00");
    check_next("0 0 */2 * 1", "2025-01-01 00:00:00", "2025-01-03 00:00:00");
    check_next("0 0 1-31 * 1", "2025-01-01 00:00:00", "2025-01-02 00:00:00");
    check_next("0 0 */1 * 1", "2025-01-01 00:00:00", "2025-01-06 00:00:00");
    check_next("0 0 5,* * 1", "2025-01-01 00:00:00", "2025-01-06 00:00:00");
    check_next("0 0 30 2 *", "2025-01-01 00:00:00", "never");
    check_next(",, * * * *", "2025-01-01 00:00:00", "never");
    check_next("0 0 29 2 *", "2096-02-29 00:00:00", "never");
    check_next("0 0 29 2 *", "2092-03-01 00:00:00", "2096-02-29 00:00:00");
    check_next("5/60 * * * *", "2025-01-01 00:05:00", "2025-01-01 01:05:00");
    check_next("59 23 31 12 *", "2025-12-31 23:59:00", "2026-12-31 23:59:00");
}
END_TEST

START_TEST(descriptors)
{
    check_next("@yearly", "2025-01-01 00:00:00", "2026-01-01 00:00:00");
    check_next("@annually", "2025-01-01 00:00:00", "2026-01-01 00:00:00");
    check_next("@monthly", "2025-12-01 00:00:00", "2026-01-01 00:00:00");
    check_next("@weekly", "2025-01-01 00:00:00", "2025-01-05 00:00:00");
    check_next("@daily", "2025-02-28 23:59:59", "2025-03-01 00:00:00");
    check_next("@midnight", "2024-02-28 23:59:59", "2024-02-29 00:00:00");
    check_next("@hourly", "2025-01-01 00:00:00", "2025-01-01 01:00:00");
    check_next("@every 1h30m", "2025-01-01 00:00:01", "2025-01-01 01:30:01");
    check_next("@every 1.5h", "2025-01-01 00:00:01", "2025-01-01 01:30:01");
    check_next("@every 2s999ms", "2025-01-01 00:00:00", "2025-01-01 00:00:02");
    check_next("@every -5s", "2025-01-01 00:00:00", "2025-01-01 00:00:01");
    check_next("@every 0", "2025-01-01 00:00:00", "2025-01-01 00:00:01");
}
END_TEST

/* Nights in which the clocks are changed. */
START_TEST(summer_time)
{
    /* 02:30 does not exist on that day, and 01:30 comes twice on another. */
    check_next("CRON_TZ=America/New_York 30 2 * * *", "2025-03-08 12:00:00", "2025-03-10 06:30:00");
    check_next("CRON_TZ=America/New_York 30 1 * * *", "2025-11-02 05:00:00", "2025-11-02 05:30:00");
    check_next("CRON_TZ=America/New_York 30 1 * * *", "2025-11-02 05:30:00", "2025-11-02 06:30:00");
    check_next("CRON_TZ=America/New_York 30 1 * * *", "2025-11-02 06:30:00", "2025-11-03 06:30:00");
    /* A day without midnight; it begins at one. */
    check_next("CRON_TZ=America/Sao_Paulo 0 0 * * *", "2018-11-03 03:00:00", "2018-11-05 02:00:00");
    check_next("CRON_TZ=America/Sao_Paulo 0 * 4 11 *", "2018-11-03 12:00:00", "2018-11-04 03:00:00");
    /* The step from 23:00 to 01:00 leads into another day, which Go overlooks. */
    check_next("CRON_TZ=America/Sao_Paulo 0 3 3 11 *", "2018-11-03 07:00:00", "2019-11-03 06:00:00");
    /* Midnight comes twice, and half an hour is skipped. */
    check_next("CRON_TZ=America/Havana 0 0 * * *", "2025-11-02 04:00:00", "2025-11-02 05:00:00");
    check_next("CRON_TZ=Australia/Lord_Howe 15 2 * * *", "2025-10-04 00:00:00", "2025-10-05 15:15:00");
    /* A day left out; Go never comes back from there. */
    check_next("CRON_TZ=Pacific/Apia 0 12 30 12 *", "2011-12-29 12:00:00", "2012-12-29 22:00:00");
    check_next("CRON_TZ=Pacific/Apia 0 12 * * *", "2011-12-29 22:00:00", "2011-12-30 22:00:00");
    check_next("CRON_TZ=Asia/Tokyo 0 6 * * *", "2025-01-01 00:00:00", "2025-01-01 21:00:00");
    check_next("@at 2025-01-02T15:04:05Z", "2025-01-01 00:00:00", "2025-01-02 15:04:05");
    check_next("@at 2025-01-02T15:04:05.9+02:00", "2025-01-01 00:00:00", "2025-01-02 13:04:05");
    check_next("TZ=UTC   @daily \t", "2025-01-01 00:00:00", "2025-01-02 00:00:00");
}
END_TEST

START_TEST(mistakes)
{
    static const struct {
        const char *spec, *text;
    } rows[] = {
        {"", "the schedule is empty"},
        {"* * * *", "has 4 fields; five are wanted"},
        {"* * * * * *", "has 6 fields"},
        {"60 * * * *", "minute \"60\": the values go from 0 to 59"},
        {"* * 0 * *", "day of the month \"0\": the values go from 1 to 31"},
        {"* * * * 7", "day of the week \"7\": the values go from 0 to 6"},
        {"5-1 * * * *", "minute \"5-1\": the range ends before it begins"},
        {"*/0 * * * *", "minute \"*/0\": the step behind \"/\" is 0"},
        {"*/x * * * *", "minute \"*/x\": the step behind \"/\" is no number"},
        {"1/2/3 * * * *", "minute \"1/2/3\": the step"},
        {"1-2-3 * * * *", "minute \"1-2-3\": no number"},
        {"-1 * * * *", "minute \"-1\": no number"},
        {"0 0 * * monday", "day of the week \"monday\": no number and no name of three letters"},
        {"@fortnightly", "unknown descriptor \"@fortnightly\""},
        {"@Daily", "unknown descriptor"},
        {"@every", "unknown descriptor"},
        {"@every day", "durations look like"},
        {"@every 5", "durations look like"},
        {"@at", "unknown descriptor"},
        {"@at noon", "times look like"},
        {"@at 2025-01-02", "times look like"},
        {"@at 2025-01-02T15:04:05", "times look like"},
        {"@at 2025-01-02T15:04:05Z now", "times look like"},
        {" @daily", "has 1 fields"},
        {" TZ=UTC 0 0 * * *", "has 6 fields"},
        {"TZ=UTC", "a space and the schedule must follow the zone"},
        {"CRON_TZ=Nowhere/Land 0 0 * * *", "unknown time zone \"Nowhere/Land\""},
        {"TZ=../../etc/localtime 0 0 * * *", "unknown time zone"},
        {"TZ=EST5EDT,M3.2.0,M11.1.0 0 0 * * *", "unknown time zone"},
        {"TZ=+01:00 0 0 * * *", "unknown time zone"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        asynq_error error;
        ck_assert_msg(!asynq_cron_new(rows[i].spec, NULL, &error), "%s", rows[i].spec);
        ck_assert_int_eq(error.code, ASYNQ_E_INVALID);
        ck_assert_msg(strstr(error.text, rows[i].text) != NULL, "%s: %s", rows[i].spec, error.text);
    }
}
END_TEST

START_TEST(zones)
{
    asynq_error error;
    asynq_cron *cron = asynq_cron_new("0 6 * * *", "Europe/Berlin", &error);
    ck_assert_str_eq(asynq_cron_zone(cron), "Europe/Berlin");
    ck_assert_int_eq(asynq_cron_next_ms(cron, utc_s("2025-07-01 00:00:00") * 1000),
                     utc_s("2025-07-01 04:00:00") * 1000);
    asynq_cron_free(cron);
    cron = asynq_cron_new("TZ=Local 0 6 * * *", "Europe/Berlin", &error);
    ck_assert_str_eq(asynq_cron_zone(cron), "Europe/Berlin");
    asynq_cron_free(cron);
    cron = asynq_cron_new("TZ= 0 6 * * *", "Europe/Berlin", &error);
    ck_assert_str_eq(asynq_cron_zone(cron), "UTC");
    asynq_cron_free(cron);
    asynq_cron_free(NULL);
}
END_TEST

/* Far beyond any time there is nothing due, and nothing overflows. */
START_TEST(the_ends_of_time)
{
    const char *const specs[] = {"* * * * *", "@every 1h", "@every 2562047h", "@at 2026-01-02T15:04:05Z"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        asynq_cron *cron = asynq_cron_new(specs[i], "Asia/Tokyo", NULL);
        ck_assert_ptr_nonnull(cron);
        ck_assert_int_eq(asynq_cron_next_ms(cron, INT64_MAX), ASYNQ_NONE);
        (void)asynq_cron_next_ms(cron, INT64_MIN);
        (void)asynq_cron_next_ms(cron, INT64_MIN + 1);
        asynq_cron_free(cron);
    }
}
END_TEST

Suite *suite_cron(void)
{
    const TTest *const tests[] = {fields, descriptors, summer_time, mistakes, zones, the_ends_of_time, NULL};
    return suite_of("cron", tests);
}
