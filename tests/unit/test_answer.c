/* What Redis's errors mean, and the parts of a connection that need no socket. */
#include "unit.h"

#include "base/backoff.h"
#include "redis/answer.h"
#include "redis/outq.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_SCRIPT(text) "ERR Error running script (call to f_0123): @user_script:7: @user_script: 7: " text

/* Texts of Redis 6.2 to 7.2 and Valkey, some of them as they come out of scripts. */
static const struct {
    const char *text;
    redis_answer answer;
    int status;
} answers[] = {
    {"LOADING Redis is loading the dataset in memory", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"BUSY Redis is busy running a script. You can only call SCRIPT KILL.", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"BUSYGROUP Consumer Group name already exists", REDIS_ANSWER_WRONG, ASYNQ_E_REDIS},
    {"MISCONF Redis is configured to save RDB snapshots", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {IN_SCRIPT("-MISCONF Redis is configured to save RDB snapshots"), REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"NOREPLICAS Not enough good replicas to write.", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"CLUSTERDOWN The cluster is down", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"ERR max number of clients reached", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"ERR max number of clients + cluster connections reached", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {IN_SCRIPT("Script killed by user with SCRIPT KILL."), REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"READONLY You can't write against a read only replica.", REDIS_ANSWER_NOT_HERE, ASYNQ_E_UNAVAILABLE},
    {IN_SCRIPT("-READONLY You can't write against a read only replica."), REDIS_ANSWER_NOT_HERE, ASYNQ_E_UNAVAILABLE},
    {"READONLY You can't write against a read only replica. script: 01ab, on @user_script:3.", REDIS_ANSWER_NOT_HERE,
     ASYNQ_E_UNAVAILABLE},
    {"MASTERDOWN Link with MASTER is down", REDIS_ANSWER_NOT_HERE, ASYNQ_E_UNAVAILABLE},
    {"MOVED 3999 127.0.0.1:6381", REDIS_ANSWER_NOT_HERE, ASYNQ_E_UNAVAILABLE},
    {"NOSCRIPT No matching script. Please use EVAL.", REDIS_ANSWER_NO_SCRIPT, ASYNQ_E_UNAVAILABLE},
    {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_ANSWER_FULL, ASYNQ_E_REDIS_FULL},
    {IN_SCRIPT("-OOM command not allowed when used memory > 'maxmemory'."), REDIS_ANSWER_FULL, ASYNQ_E_REDIS_FULL},
    {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_ANSWER_REFUSED, ASYNQ_E_AUTH},
    {"NOAUTH Authentication required.", REDIS_ANSWER_REFUSED, ASYNQ_E_AUTH},
    {"DENIED Redis is running in protected mode", REDIS_ANSWER_REFUSED, ASYNQ_E_AUTH},
    {"ERR AUTH <password> called without any password configured for the default user.", REDIS_ANSWER_REFUSED,
     ASYNQ_E_AUTH},
    {"NOPERM this user has no permissions to run the 'script|load' command", REDIS_ANSWER_REFUSED, ASYNQ_E_AUTH},
    {"ERR The user executing the script can't run this command or subcommand", REDIS_ANSWER_REFUSED, ASYNQ_E_AUTH},
    {IN_SCRIPT("The user executing the script can't access at least one of the keys"), REDIS_ANSWER_REFUSED,
     ASYNQ_E_AUTH},
    {"ERR DB index is out of range", REDIS_ANSWER_NO_DATABASE, ASYNQ_E_INVALID},
    {"ERR SELECT is not allowed in cluster mode", REDIS_ANSWER_NO_DATABASE, ASYNQ_E_INVALID},
    {"WRONGTYPE Operation against a key holding the wrong kind of value", REDIS_ANSWER_WRONG, ASYNQ_E_REDIS},
    {"ERR wrong number of arguments: task BUSY LOADING", REDIS_ANSWER_WRONG, ASYNQ_E_REDIS},
    {"LOADINGS", REDIS_ANSWER_WRONG, ASYNQ_E_REDIS},
    {"BUSY", REDIS_ANSWER_NOT_NOW, ASYNQ_E_UNAVAILABLE},
    {"", REDIS_ANSWER_WRONG, ASYNQ_E_REDIS},
};

START_TEST(meanings)
{
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        redis_value value = {.type = REDIS_ERROR, .text = bytes_of(answers[i].text)};
        redis_result result = {.outcome = REDIS_REPLIED, .reply = &value};
        asynq_error error;
        ck_assert_msg(redis_answer_of(&value) == answers[i].answer, "%s", answers[i].text);
        ck_assert_msg(redis_result_check(&result, &error) == answers[i].status, "%s", answers[i].text);
    }
    redis_value fine = {.type = REDIS_STRING, .text = bytes_of("BUSY is a fine payload")};
    ck_assert_int_eq(redis_answer_of(&fine), REDIS_ANSWER_FINE);
}
END_TEST

/* A refusal names the rule that an operator has to add. */
START_TEST(rules)
{
    const struct {
        const char *text, *rule;
    } rows[] = {
        {"NOPERM this user has no permissions to run the 'script|load' command", "+script|load"},
        {"NOPERM User app has no permissions to run the 'client|kill' command", "+client|kill"},
        {"NOPERM this user has no permissions to access one of the keys used as arguments", "~asynq:*"},
        {"NOPERM No permissions to access a key", "~asynq:*"},
        {"NOPERM this user has no permissions to access one of the channels used as arguments",
         "&__redis__:invalidate"},
        {"ERR The user executing the script can't access at least one of the keys", "~asynq:*"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300];
        redis_value value = {.type = REDIS_ERROR, .text = bytes_of(rows[i].text)};
        redis_answer_describe(&value, "asynq", text, sizeof text);
        ck_assert_msg(strstr(text, rows[i].rule) != NULL, "%s", text);
    }
}
END_TEST

/* Time goes by as the pauses say: what fails each time comes to the longest; what lasted begins anew. */
START_TEST(pauses)
{
    backoff b = {.min_ms = 20, .max_ms = 1000, .lasting_ms = 50};
    int64_t now_ms = 1000000, pause_ms = 0;
    for (int i = 0; i < 12; i++) {
        pause_ms = backoff_pause_ms(&b, now_ms);
        ck_assert_int_ge(pause_ms, b.pause_ms / 2);
        ck_assert_int_le(pause_ms, b.pause_ms);
        now_ms += pause_ms + 3; /* it could be done at once, and failed again */
    }
    ck_assert_int_ge(pause_ms, 500);
    now_ms += 1000 + 1001;
    ck_assert_int_le(backoff_pause_ms(&b, now_ms), 20);
}
END_TEST

/* A large queue leaves through a small socket in order, with positions that say what has gone. */
START_TEST(out_queue)
{
    redis_outq q;
    int ends[2];
    size_t received = 0, sizes[] = {10, 40000, 5, 300000, 1};
    redis_outq_init(&q);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        memset(redis_outq_reserve(&q, sizes[i]), (int)('a' + i), sizes[i]);
    ck_assert_uint_eq(q.queued_to, 340016);
    while (received < 340016) {
        char data[7000];
        ck_assert(redis_outq_send(&q, ends[0]));
        ssize_t length = read(ends[1], data, sizeof data);
        for (ssize_t i = 0; i < length; i++) {
            size_t at = received + (size_t)i;
            char want = at < 10 ? 'a' : at < 40010 ? 'b' : at < 40015 ? 'c' : at < 340015 ? 'd' : 'e';
            ck_assert_int_eq(data[i], want);
        }
        received += (size_t)length;
    }
    ck_assert_uint_eq(q.length, 0);
    ck_assert_uint_eq(q.sent_to, q.queued_to);
    close(ends[1]);
    ck_assert_ptr_nonnull(redis_outq_reserve(&q, 4));
    ck_assert(!redis_outq_send(&q, ends[0])); /* the other end is gone; no signal comes */
    redis_outq_reset(&q);
    close(ends[0]);
}
END_TEST

Suite *suite_answer(void)
{
    const TTest *const list[] = {meanings, rules, pauses, out_queue, NULL};
    return suite_of("answer", list);
}
