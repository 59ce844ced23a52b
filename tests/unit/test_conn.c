/* One connection to Redis: when and in which order the results of commands are told. */
#include "unit.h"

#include "redis/conn.h"
#include "redis/uri.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a Redis that says yes ---- */

static char directory[] = "/tmp/asynq-conn-XXXXXX", socket_path[64];
static int listener;

/* Each command begins with the number of its words, and no word here has a '*'. */
static void answer_all(int fd, const char *commands)
{
    for (const char *at = commands; (at = strchr(at, '*')) != NULL; at++) {
        const char *answer = strncmp(at, "*1\r\n$5\r\nFIRST", 13) == 0    ? "-READONLY I have a master now\r\n"
                             : strncmp(at, "*1\r\n$6\r\nSECOND", 14) == 0 ? ""
                                                                          : "+OK\r\n";
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL); /* the other end may be gone */
    }
}

/* While the answer to LAST is told, the one to NEXT comes, and the other end goes. */
static pthread_barrier_t meeting;

static void answer_last(int fd)
{
    (void)!send(fd, "+ONE\r\n", 6, MSG_NOSIGNAL);
    pthread_barrier_wait(&meeting);
    (void)!send(fd, "+TWO\r\n", 6, MSG_NOSIGNAL);
    close(fd);
    pthread_barrier_wait(&meeting);
}

static void *be_redis(void *arg)
{
    static char commands[65536];
    int fd = accept(listener, NULL, NULL);
    for (ssize_t length; (length = read(fd, commands, sizeof commands - 1)) > 0;) {
        commands[length] = '\0';
        if (strstr(commands, "LAST")) {
            answer_last(fd);
            return arg;
        }
        answer_all(fd, commands);
    }
    close(fd);
    return arg;
}

/* ---- a connection to it ---- */

static pthread_t redis;
static loop *turns;
static redis_conn *conn;
static log_sink quiet;
static redis_uri uri;
static char told[64]; /* what was told, in this order: a letter each */

static void tell(char letter)
{
    told[strlen(told)] = letter;
}

static void first_told(void *arg, const redis_result *result)
{
    (void)arg, (void)result;
    tell('1');
}

static void second_told(void *arg, const redis_result *result)
{
    (void)arg, (void)result;
    tell('2');
}

static void down_told(void *arg, const asynq_error *error)
{
    (void)arg, (void)error;
    tell('d');
    redis_conn_free(conn);
    loop_stop(turns);
}

static void send_both(void)
{
    ck_assert_int_eq(redis_conn_commandf(conn, first_told, NULL, 1, "FIRST"), 0);
    ck_assert_int_eq(redis_conn_commandf(conn, second_told, NULL, 1, "SECOND"), 0);
}

static void connect_and_run(void (*ready)(void *arg))
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(socket_path, sizeof socket_path, "%s/s", directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, socket_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(pthread_create(&redis, NULL, be_redis, NULL), 0);

    uri.path = socket_path;
    turns = loop_new();
    conn = redis_conn_new(&(redis_conn_options){.loop = turns,
                                                .uri = &uri,
                                                .log = &quiet,
                                                .name = "unit",
                                                .key_prefix = "asynq",
                                                .without_scripts = true,
                                                .events = {.ready = ready, .down = down_told}});
    loop_run(turns);

    loop_free(turns);
    pthread_join(redis, NULL);
    close(listener);
    unlink(socket_path);
    rmdir(directory);
}

/* ---- tests ---- */

static void reset_at_once(void *arg)
{
    (void)arg;
    send_both();
    redis_conn_reset(conn, "the test wants it");
    ck_assert_str_eq(told, "");
}

/* A caller may have its own state half changed: what a reset brings with it comes when the turn is over. */
START_TEST(reset_calls_nothing)
{
    connect_and_run(reset_at_once);
    ck_assert_str_eq(told, "12d");
}
END_TEST

static void ask(void *arg)
{
    (void)arg;
    send_both();
}

/* A reply that ends the connection is told before what becomes of the commands behind it. */
START_TEST(in_the_order_of_sending)
{
    connect_and_run(ask);
    ck_assert_str_eq(told, "12d");
}
END_TEST

static void last_told(void *arg, const redis_result *result)
{
    (void)arg;
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    ck_assert_int_eq(redis_conn_commandf(conn, NULL, NULL, 1, "MORE"), 0);
    redis_conn_flush(conn);
    ck_assert_str_eq(told, "");
    ck_assert(bytes_equal(result->reply->text, bytes_of("ONE")));
    tell('1');
}

static void ask_last(void *arg)
{
    (void)arg;
    ck_assert_int_eq(redis_conn_commandf(conn, last_told, NULL, 1, "LAST"), 0);
    ck_assert_int_eq(redis_conn_commandf(conn, second_told, NULL, 1, "NEXT"), 0);
}

/* A reply lives as long as it is told, also when a flush meanwhile finds that the other end is gone. */
START_TEST(flush_calls_nothing)
{
    pthread_barrier_init(&meeting, NULL, 2);
    connect_and_run(ask_last);
    ck_assert_str_eq(told, "12d");
    pthread_barrier_destroy(&meeting);
}
END_TEST

Suite *suite_conn(void)
{
    const TTest *const list[] = {reset_calls_nothing, in_the_order_of_sending, flush_calls_nothing, NULL};
    return suite_of("conn", list);
}
