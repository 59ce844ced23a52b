/* The connection with PostgreSQL: what the loop watches when libpq closes its socket. */
#include "unit.h"

#include "base/error.h"
#include "pg/pg_conn.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- libevent's calls, on their way to the kernel ---- */

static int closed_fds; /* how often it named a descriptor that is not open */

__attribute__((visibility("default"))) int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    int result = (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
    closed_fds += result && errno == EBADF;
    return result;
}

/* ---- a PostgreSQL that greets, and goes away ---- */

static int listener;

static void *be_postgres(void *arg)
{
    static const char greeting[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
    char startup[1024];
    int fd = accept(listener, NULL, NULL);
    if (read(fd, startup, sizeof startup) > 0)
        (void)!send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    close(fd);
    return arg;
}

static int times_ready;
static log_sink quiet;

static void told_ready(void *arg)
{
    (void)arg;
    times_ready++;
}

static void told_down(void *arg)
{
    loop_stop(arg);
}

/* Its number may belong to another thread's descriptor by then, and so would what the loop does to it. */
START_TEST(closed_by_libpq)
{
    char directory[] = "/tmp/asynq-pg-XXXXXX", conninfo[128];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", directory);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    pthread_t postgres;
    ck_assert_int_eq(pthread_create(&postgres, NULL, be_postgres, NULL), 0);

    snprintf(conninfo, sizeof conninfo, "host=%s user=unit dbname=unit port=5432 target_session_attrs=any", directory);
    loop *turns = loop_new();
    pg_conn *conn = pg_conn_new(&(pg_conn_options){
        .loop = turns, .log = &quiet, .conninfo = conninfo, .ready = told_ready, .down = told_down, .arg = turns});
    loop_run(turns);
    ck_assert_int_eq(times_ready, 1);
    ck_assert_int_eq(closed_fds, 0);

    pg_conn_free(conn);
    loop_free(turns);
    pthread_join(postgres, NULL);
    close(listener);
    unlink(address.sun_path);
    rmdir(directory);
}
END_TEST

/* PostgreSQL before version 15 takes no number of more than 31 bits. */
START_TEST(intervals)
{
    static const int64_t times[] = {
        1, 999, 3600000, INT64_C(2147483648), INT64_C(86400000) * 30, INT64_C(86400000) * 365 * 1000};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char text[PG_INTERVAL_SIZE];
        int64_t hours = 0, ms = 0;
        pg_interval(times[i], text);
        ck_assert_msg(sscanf(text, "%" SCNd64 " hours %" SCNd64 " milliseconds", &hours, &ms) == 2, "%s", text);
        ck_assert_int_le(hours, INT32_MAX);
        ck_assert_int_le(ms, INT32_MAX);
        ck_assert_int_eq(hours * 3600000 + ms, times[i]);
    }
    char longest[PG_INTERVAL_SIZE];
    pg_interval(INT64_MAX, longest);
    ck_assert_str_eq(longest, "8760000 hours 0 milliseconds");
}
END_TEST

Suite *suite_pg_conn(void)
{
    const TTest *const list[] = {closed_by_libpq, intervals, NULL};
    return suite_of("pg_conn", list);
}
