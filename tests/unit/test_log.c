#include "unit.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static char last_line[256];
static int lines;

static void count_line(asynq_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)arg;
    snprintf(last_line, sizeof last_line, "%s", text);
    lines++;
}

/* One complaint is written once, and then not for a while; the next line says how many were left out. */
START_TEST(one_complaint)
{
    log_sink log;
    log_limit limit = {0};
    log_init(&log, count_line, NULL, ASYNQ_LOG_INFO);
    for (int i = 0; i < 100; i++)
        log_event_repeated(&log, &limit, LOG_LIBEVENT, "line %d", i);
    ck_assert_int_eq(lines, 1);
    ck_assert_str_eq(last_line, "libevent: line 0");
    limit.written_at_ms -= 3000;
    log_event_repeated(&log, &limit, LOG_LIBEVENT, "line %d", 100);
    ck_assert_int_eq(lines, 2);
    ck_assert_str_eq(last_line, "libevent: line 100 (99 lines like it were left out)");
    limit.written_at_ms -= 3000; /* now it is 6 s */
    log_event_repeated(&log, &limit, LOG_LIBEVENT, "line");
    ck_assert_int_eq(lines, 2);
    log_clear(&log);
}
END_TEST

/* What a level or its own limit drops takes no room from others. */
START_TEST(many_complaints)
{
    log_sink log;
    log_limit limits[100] = {{0}};
    log_init(&log, count_line, NULL, ASYNQ_LOG_WARN);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 100; i++) {
            log_event_repeated(&log, &limits[i], LOG_TASK_OUTPUT, "%d", i); /* info */
            log_event_repeated(&log, &limits[0], LOG_LIBEVENT, "the first");
            log_event_repeated(&log, &limits[i], LOG_LIBEVENT, "%d", i);
        }
    ck_assert_int_eq(lines, LOG_REPEATED_MAX);
    log_event(&log, LOG_LIBEVENT, "no complaint");
    ck_assert_int_eq(lines, LOG_REPEATED_MAX + 1);
    log_clear(&log);
}
END_TEST

Suite *suite_log(void)
{
    const TTest *const list[] = {one_complaint, many_complaints, NULL};
    return suite_of("log", list);
}
