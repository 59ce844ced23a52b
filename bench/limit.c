/*
 * How fast Redis can go at all: our scripts for working, sent by a client that does nothing else. Two chunks are on
 * their way at any time, so Redis never waits. It speaks to bench/compare like a rig, with the role "limit".
 * usage: asynq-limit SETTING=VALUE...   (of the settings of rigs it heeds redis and tasks)
 */
#include "base/clock.h"
#include "broker/broker.h"
#include "rig.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_LANES = 2, LIMIT_ID_SIZE = 40 };

typedef char limit_id[LIMIT_ID_SIZE];

/* A chunk is settled, and the next is leased, in one write. */
typedef struct limit_lane {
    lease_score score;
    limit_id ids[BROKER_CHUNK_TASKS]; /* of the chunk that is being settled */
} limit_lane;

static loop *limit_loop;
static key_space limit_space;
static broker limit_broker = {.space = &limit_space};
static queue_keys limit_keys;
static limit_lane limit_lanes[LIMIT_LANES];
static int limit_busy; /* lanes that still find tasks */
static int64_t limit_first_ns, limit_last_ns;

/* The ids of all settled tasks, in this order. */
static limit_id *limit_settled;
static int64_t limit_settled_count;

static void limit_check(int status, const asynq_error *error)
{
    if (status)
        rig_die("redis", error && error->text[0] ? error->text : asynq_status_text(status));
}

static void limit_remember(const char *id)
{
    if (limit_settled_count == rig.tasks)
        rig_die("redis", "more tasks were settled than there are");
    memcpy(limit_settled[limit_settled_count++], id, LIMIT_ID_SIZE);
}

static void limit_on_settled(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    limit_lane *lane = arg;
    limit_check(status, error);
    for (size_t i = 0; i < reply->count; i++) {
        if (broker_result_at(reply, i) == SETTLE_OK)
            limit_remember(lane->ids[i]);
    }
    limit_last_ns = clock_now_ns();
}

static void limit_settle(limit_lane *lane, const redis_value *leased)
{
    settle_item items[BROKER_CHUNK_TASKS];
    size_t count = broker_lease_count(leased);
    if (count > BROKER_CHUNK_TASKS)
        rig_die("redis", "more tasks were leased than asked for");
    for (size_t i = 0; i < count; i++) {
        bytes id = broker_lease_task(leased, i).id;
        if (id.length >= LIMIT_ID_SIZE)
            rig_die("redis", "an id is longer than those of rigs");
        memset(lane->ids[i], 0, LIMIT_ID_SIZE);
        memcpy(lane->ids[i], id.data, id.length);
        items[i] = (settle_item){.way = SETTLE_DONE, .id = id, .tag = lane->score.tag};
    }
    limit_check(broker_settle(&limit_broker, &limit_keys, items, count, clock_now_ns(), limit_on_settled, lane), NULL);
}

static void limit_lease(limit_lane *lane);

static void limit_on_leased(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    limit_check(status, error);
    limit_first_ns = limit_first_ns ? limit_first_ns : clock_now_ns();
    if (broker_lease_count(reply)) {
        limit_settle(arg, reply);
        limit_lease(arg);
    } else if (!--limit_busy) {
        loop_stop(limit_loop); /* nothing is under way: what this lane settled was answered before */
    }
}

static void limit_lease(limit_lane *lane)
{
    limit_check(broker_lease(&limit_broker, &limit_keys,
                             &(lease_order){.max_tasks = BROKER_CHUNK_TASKS, .score = lane->score}, limit_on_leased,
                             lane),
                NULL);
    redis_nodes_flush(limit_broker.nodes);
}

static void limit_ready(void *arg, redis_node *node)
{
    (void)arg;
    (void)node;
    rig_say("ready %" PRId64, rig_cpu_us());
    for (int i = 0; i < LIMIT_LANES; i++) {
        limit_lanes[i].score = (lease_score){clock_now_ns() / NS_PER_SECOND + 3600, (uint32_t)i + 1};
        limit_busy++;
        limit_lease(&limit_lanes[i]);
    }
}

static void limit_down(void *arg, redis_node *node, const asynq_error *error)
{
    (void)arg;
    (void)node;
    rig_die("redis", error->text);
}

static void limit_resumed(void *arg)
{
    (void)arg;
    rig_die("redis", "it could not take commands for a while");
}

/* Until the queue is empty. */
static void limit_work(void)
{
    log_sink log;
    redis_uri uri;
    log_init(&log, NULL, NULL, ASYNQ_LOG_OFF);
    limit_check(redis_uri_parse(&uri, rig.redis, NULL), NULL);
    limit_settled = calloc((size_t)rig.tasks + 1, LIMIT_ID_SIZE);
    limit_loop = loop_new();
    if (!limit_settled || !limit_loop || key_space_init(&limit_space, NULL, NULL) ||
        queue_keys_init(&limit_keys, &limit_space, bytes_of("default")))
        rig_die("start", "out of memory");
    limit_broker.nodes = redis_nodes_new(&(redis_nodes_options){
        .loop = limit_loop,
        .uri = &uri,
        .log = &log,
        .name = "asynq-limit",
        .key_prefix = limit_space.prefix.data,
        .events = {.ready = limit_ready, .down = limit_down, .resumed = limit_resumed},
    });
    if (!limit_broker.nodes)
        rig_die("start", "out of memory");
    loop_run(limit_loop);
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, LIMIT_ID_SIZE);
}

/* Each task has an id of its own, so an id that was settled twice was a task that would have run twice. */
static int64_t limit_repeated(void)
{
    int64_t repeated = 0;
    qsort(limit_settled, (size_t)limit_settled_count, LIMIT_ID_SIZE, compare_ids);
    for (int64_t i = 1; i < limit_settled_count; i++)
        repeated += compare_ids(limit_settled[i - 1], limit_settled[i]) == 0;
    return repeated;
}

int main(int argc, char **argv)
{
    rig_read_settings(argc, argv);
    limit_work();
    rig_say("done %" PRId64 " %" PRId64 " %" PRId64, limit_first_ns, limit_last_ns, rig_cpu_us());
    for (const char *line; (line = rig_hear()) && strcmp(line, "end");)
        continue;
    int64_t repeated = limit_repeated();
    rig_say("result missing=%" PRId64 " repeated=%" PRId64, rig.tasks - limit_settled_count + repeated, repeated);
    return 0;
}
