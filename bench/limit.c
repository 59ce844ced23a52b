/*
 * How fast Redis can go at all: our scripts for working, sent by a client that does nothing else. Two chunks are on
 * their way at any time, so Redis never waits. It speaks to bench/compare like a rig, with the role "limit".
 * usage: asynq-limit SETTING=VALUE...   (of the settings of rigs it heeds redis and tasks)
 */
#include "base/clock.h"
#include "broker/broker.h"
#include "rig.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>

enum { LIMIT_LANES = 2 };

static redisContext *conn;
static queue_keys keys;
static char daily[200];
static int64_t settled, first_ns, last_ns;

static redisReply *hear(void)
{
    redisReply *reply = NULL;
    if (redisGetReply(conn, (void **)&reply) != REDIS_OK || !reply || reply->type == REDIS_REPLY_ERROR)
        rig_die("redis", reply ? reply->str : conn->errstr);
    return reply;
}

static void load_scripts(void)
{
    for (int i = 0; i < SCRIPT_COUNT; i++)
        freeReplyObject(redisCommand(conn, "SCRIPT LOAD %s", redis_scripts[i].text));
}

static void send_lease(const char *score, size_t count)
{
    redisAppendCommand(
        conn, "EVALSHA %s 5 %b %b %b %b %b %b %d %s %s %s", redis_scripts[SCRIPT_LEASE].sha1,
        keys.key[QUEUE_KEY_PENDING].data, keys.key[QUEUE_KEY_PENDING].length, keys.key[QUEUE_KEY_ACTIVE].data,
        keys.key[QUEUE_KEY_ACTIVE].length, keys.key[QUEUE_KEY_LEASE].data, keys.key[QUEUE_KEY_LEASE].length,
        keys.key[QUEUE_KEY_PAUSED].data, keys.key[QUEUE_KEY_PAUSED].length, keys.key[QUEUE_KEY_PARKED].data,
        keys.key[QUEUE_KEY_PARKED].length, keys.key[QUEUE_KEY_TASK].data, keys.key[QUEUE_KEY_TASK].length, (int)count,
        score, "", "default");
}

static void add(const char **argv, size_t *lengths, int *count, const char *data, size_t length)
{
    argv[*count] = data;
    lengths[(*count)++] = length;
}

static void send_settle(const redisReply *leased, const char *tag)
{
    const char *argv[32 + BROKER_CHUNK_TASKS];
    size_t lengths[32 + BROKER_CHUNK_TASKS], tasks = (leased->elements - 1) / 2;
    static const queue_key fixed[] = {QUEUE_KEY_ACTIVE, QUEUE_KEY_LEASE,    QUEUE_KEY_PENDING,   QUEUE_KEY_COMPLETED,
                                      QUEUE_KEY_RETRY,  QUEUE_KEY_ARCHIVED, QUEUE_KEY_PROCESSED, QUEUE_KEY_FAILED};
    char n[24], now[24];
    int count = 0;
    snprintf(n, sizeof n, "%zu", tasks);
    snprintf(now, sizeof now, "%" PRId64, clock_now_ns() / NS_PER_SECOND);
    const char *head[] = {"EVALSHA", redis_scripts[SCRIPT_SETTLE].sha1, "10"};
    for (size_t i = 0; i < 3; i++)
        add(argv, lengths, &count, head[i], strlen(head[i]));
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        add(argv, lengths, &count, keys.key[fixed[i]].data, keys.key[fixed[i]].length);
    add(argv, lengths, &count, daily, strlen(daily));
    add(argv, lengths, &count, daily, strlen(daily));
    add(argv, lengths, &count, keys.key[QUEUE_KEY_TASK].data, keys.key[QUEUE_KEY_TASK].length);
    const char *tail[] = {now, "4000000000", "0", "10000", "done", tag, "-1", n};
    for (size_t i = 0; i < 8; i++)
        add(argv, lengths, &count, tail[i], strlen(tail[i]));
    for (size_t i = 0; i < tasks; i++)
        add(argv, lengths, &count, leased->element[1 + 2 * i]->str, leased->element[1 + 2 * i]->len);
    redisAppendCommandArgv(conn, count, argv, lengths);
}

static void count_settled(void)
{
    redisReply *reply = hear();
    for (size_t i = 0; i < reply->elements; i++)
        settled += reply->element[i]->integer == SETTLE_OK;
    freeReplyObject(reply);
    last_ns = clock_now_ns();
}

/* Takes the lanes in turn, for their commands are answered in the order of sending, until the queue is empty. */
static void work(void)
{
    char scores[LIMIT_LANES][48], tags[LIMIT_LANES][24];
    bool settles[LIMIT_LANES] = {false}, has_ended[LIMIT_LANES] = {false};
    int busy = LIMIT_LANES;
    for (int lane = 0; lane < LIMIT_LANES; lane++) {
        lease_score score = {clock_now_ns() / NS_PER_SECOND + 3600, (uint32_t)lane + 1};
        lease_score_format(score, scores[lane]);
        snprintf(tags[lane], sizeof tags[lane], "%d", lane + 1);
        send_lease(scores[lane], BROKER_CHUNK_TASKS);
    }
    for (int lane = 0; busy; lane = (lane + 1) % LIMIT_LANES) {
        if (has_ended[lane])
            continue;
        if (settles[lane])
            count_settled();
        redisReply *leased = hear();
        first_ns = first_ns ? first_ns : clock_now_ns();
        settles[lane] = leased->elements > 1;
        if (settles[lane]) {
            send_settle(leased, tags[lane]);
            send_lease(scores[lane], BROKER_CHUNK_TASKS);
            int done = 0;
            while (!done)
                redisBufferWrite(conn, &done);
        } else {
            has_ended[lane] = true;
            busy--;
        }
        freeReplyObject(leased);
    }
}

static void connect_to_redis(void)
{
    int port = 6379;
    if (sscanf(rig.redis, "redis://127.0.0.1:%d", &port) != 1)
        rig_die(rig.redis, "not redis://127.0.0.1:PORT");
    conn = redisConnect("127.0.0.1", port);
    if (!conn || conn->err)
        rig_die("redis", conn ? conn->errstr : "out of memory");
}

int main(int argc, char **argv)
{
    rig_read_settings(argc, argv);
    connect_to_redis();
    if (queue_keys_init(&keys, bytes_of("default")))
        rig_die("start", "out of memory");
    snprintf(daily, sizeof daily, "%.*s:limit", BYTES_ARGS(keys.key[QUEUE_KEY_PROCESSED]));
    load_scripts();
    rig_say("ready %" PRId64, rig_cpu_us());
    work();
    rig_say("done %" PRId64 " %" PRId64 " %" PRId64, first_ns, last_ns, rig_cpu_us());
    for (const char *line; (line = rig_hear()) && strcmp(line, "end");)
        continue;
    rig_say("result missing=%" PRId64 " repeated=0", rig.tasks - settled);
    return 0;
}
