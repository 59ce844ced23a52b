/* Single transitions through the broker, for differential tests with a stopped clock. */
#include "peer.h"

#include "base/clock.h"
#include "broker/broker.h"
#include "broker/group.h"
#include "wire/task_message.h"

#include <stdlib.h>
#include <string.h>

static loop *broker_loop;
static key_space broker_space;
static broker broker_there = {.space = &broker_space};
static redis_uri broker_uri;
static log_sink broker_log;

/* The operation under way and its answer. */
static json_t *broker_answer;
static uint32_t lease_calls;

/* Of a cluster, when all its nodes are. */
static void ready(void *arg, redis_node *node)
{
    (void)arg;
    (void)node;
    for (size_t i = 0; i < redis_nodes_count(broker_there.nodes); i++)
        if (!redis_conn_is_ready(redis_nodes_get(broker_there.nodes, i)->conn))
            return;
    loop_stop(broker_loop);
}

static void down(void *arg, redis_node *node, const asynq_error *error)
{
    (void)arg;
    (void)node;
    (void)error;
}

static void resumed(void *arg)
{
    (void)arg;
}

static void connect_broker(void)
{
    if (broker_there.nodes)
        return;
    log_init(&broker_log, NULL, NULL, ASYNQ_LOG_OFF);
    broker_loop = loop_new();
    if (redis_uri_parse(&broker_uri, peer_redis, NULL) || key_space_init(&broker_space, NULL, NULL))
        abort();
    broker_there.nodes = redis_nodes_new(&(redis_nodes_options){
        .loop = broker_loop,
        .uri = &broker_uri,
        .log = &broker_log,
        .name = "asynq-peer",
        .key_prefix = broker_space.prefix.data,
        .events = {.ready = ready, .down = down, .resumed = resumed},
    });
    loop_run(broker_loop);
}

static json_t *value_to_json(const redis_value *value)
{
    json_t *list;
    switch (value->type) {
    case REDIS_INTEGER:
        return json_integer(value->integer);
    case REDIS_NIL:
        return json_null();
    case REDIS_ARRAY:
        list = json_array();
        for (size_t i = 0; i < value->count; i++)
            json_array_append_new(list, value_to_json(&value->elements[i]));
        return list;
    default:
        list = json_stringn(value->text.data, value->text.length);
        return list ? list : json_string("(not UTF-8)");
    }
}

static void replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)arg;
    broker_answer = peer_status(status, error);
    if (!status)
        json_object_set_new(broker_answer, "reply", value_to_json(reply));
    loop_stop(broker_loop);
}

/* Waits for the operation that was sent with status `sent`. */
static json_t *wait_for(int sent)
{
    if (sent)
        return peer_status(sent, NULL);
    loop_run(broker_loop);
    json_t *answer = broker_answer;
    broker_answer = NULL;
    return answer;
}

static queue_keys keys_of(json_t *arguments)
{
    queue_keys keys;
    const char *queue = json_string_value(json_object_get(arguments, "queue"));
    if (queue_keys_init(&keys, &broker_space, bytes_of(queue ? queue : "default")))
        abort();
    return keys;
}

static bytes text_of(json_t *arguments, const char *name)
{
    json_t *text = json_object_get(arguments, name);
    return text ? (bytes){json_string_value(text), json_string_length(text)} : (bytes){0};
}

static int64_t number_of(json_t *arguments, const char *name)
{
    return json_integer_value(json_object_get(arguments, name));
}

static json_t *lease(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    lease_score score = {floor_div(clock_now_ns(), NS_PER_SECOND) + BROKER_LEASE_S, lease_tag(1, ++lease_calls)};
    size_t max = number_of(arguments, "max") ? (size_t)number_of(arguments, "max") : 1;
    json_t *answer = wait_for(broker_lease(&broker_there, &keys, &(lease_order){max, score, false, 0}, replied, NULL));
    json_object_set_new(answer, "tag", json_integer(score.tag));
    queue_keys_clear(&keys);
    return answer;
}

/* ---- settle: the message is read from Redis and changed as a server would ---- */

typedef struct way_row {
    const char *name;
    settle_way way;
} way_row;

static const way_row way_rows[] = {
    {"done", SETTLE_DONE},   {"complete", SETTLE_COMPLETE}, {"retry", SETTLE_RETRY},
    {"again", SETTLE_AGAIN}, {"archive", SETTLE_ARCHIVE},   {"requeue", SETTLE_REQUEUE},
};

static settle_way way_of(const char *name)
{
    for (size_t i = 0; i < sizeof way_rows / sizeof *way_rows; i++)
        if (strcmp(way_rows[i].name, name) == 0)
            return way_rows[i].way;
    abort();
}

static void change_message(task_message *message, settle_item *item, json_t *arguments)
{
    int64_t now = floor_div(clock_now_ns(), NS_PER_SECOND);
    bool is_failure = item->way == SETTLE_RETRY || item->way == SETTLE_AGAIN || item->way == SETTLE_ARCHIVE;
    if (item->way == SETTLE_COMPLETE) {
        message->completed_at = now;
        item->at_ms = (now + message->retention) * MS_PER_SECOND;
    }
    if (is_failure) {
        message->error_msg = text_of(arguments, "error");
        message->last_failed_at = now;
        message->retried += item->way == SETTLE_RETRY;
        item->at_ms = number_of(arguments, "at") * MS_PER_SECOND;
    }
}

static const char *message_as_hex(json_t *arguments)
{
    return json_string_value(json_object_get(arguments, "msg"));
}

static json_t *settle(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    asynq_error error;
    arena memory;
    buf encoded;
    buf_init(&encoded, 0);
    size_t length;
    char *raw = peer_from_hex(message_as_hex(arguments), &length);
    bytes found = {raw, length};
    record_arena_init(&memory, found.length);
    task_message message;
    if (task_message_decode(&message, found, &memory, &error))
        abort();
    settle_item item = {
        .way = way_of(json_string_value(json_object_get(arguments, "way"))),
        .id = message.id,
        .tag = (uint32_t)number_of(arguments, "tag"),
        .from_tail = json_is_true(json_object_get(arguments, "from_tail")),
        .lock = message.unique_key,
        .result = text_of(arguments, "result"),
    };
    change_message(&message, &item, arguments);
    if (task_message_encode(&message, &encoded, &error))
        abort();
    item.message = (bytes){encoded.data, encoded.length};
    json_t *answer = wait_for(broker_settle(&broker_there, &keys, &item, 1, clock_now_ns(), replied, NULL));
    buf_clear(&encoded);
    arena_clear(&memory);
    free(raw);
    queue_keys_clear(&keys);
    return answer;
}

/* Many at once, all done, without looking at their messages. */
static json_t *settle_done(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    settle_item items[BROKER_CHUNK_TASKS];
    size_t count = 0, i;
    json_t *row;
    json_array_foreach(json_object_get(arguments, "items"), i, row)
        items[count++] = (settle_item){.way = SETTLE_DONE,
                                       .id = text_of(row, "id"),
                                       .tag = (uint32_t)number_of(arguments, "tag"),
                                       .from_tail = json_is_true(json_object_get(row, "from_tail"))};
    json_t *answer = wait_for(broker_settle(&broker_there, &keys, items, count, clock_now_ns(), replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *renew(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    renew_item items[8];
    size_t count = 0, i;
    json_t *id;
    json_array_foreach(json_object_get(arguments, "ids"), i, id)
        items[count++] = (renew_item){bytes_of(json_string_value(id)), (uint32_t)number_of(arguments, "tag")};
    int64_t second = floor_div(clock_now_ns(), NS_PER_SECOND) + BROKER_LEASE_S;
    json_t *answer = wait_for(broker_renew(&broker_there, &keys, items, count, second, replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

/* Moves all that is due, as a server does. */
static json_t *forward(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    const queue_key sources[] = {QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY};
    json_t *answer = NULL;
    for (int i = 0; i < 2; i++) {
        json_int_t moved;
        do {
            json_decref(answer);
            answer = wait_for(broker_forward(&broker_there, &keys, sources[i], clock_now_ns(), replied, NULL));
            moved = json_integer_value(json_array_get(json_object_get(answer, "reply"), 0));
        } while (moved == BROKER_CHUNK_TASKS);
    }
    queue_keys_clear(&keys);
    return answer;
}

static json_t *write_result(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    json_t *answer =
        wait_for(broker_write_result(&broker_there, &keys, text_of(arguments, "id"),
                                     (uint32_t)number_of(arguments, "tag"), bytes_of("late"), replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *expire(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    json_t *answer = wait_for(
        broker_expire(&broker_there, &keys, clock_now_ns(), (size_t)number_of(arguments, "max"), replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *list_expired(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    int64_t now_ns = (number_of(arguments, "cutoff") + BROKER_RECOVERY_ALLOWANCE_S) * NS_PER_SECOND;
    json_t *answer = wait_for(broker_list_expired(&broker_there, &keys, now_ns, 0, replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

/* ---- groups ---- */

static json_t *take_group(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    buf set;
    buf_init(&set, 0);
    group_append_set_name(&set, &keys, text_of(arguments, "group"), text_of(arguments, "set_id"));
    group_limits limits = {number_of(arguments, "grace_s"), number_of(arguments, "max_delay_s"),
                           number_of(arguments, "max_size")};
    json_t *answer = wait_for(broker_take_group(&broker_there, &keys, text_of(arguments, "group"),
                                                (bytes){set.data, set.length}, &limits, clock_now_ns(), replied, NULL));
    json_object_set_new(answer, "set", json_string(set.data));
    buf_clear(&set);
    queue_keys_clear(&keys);
    return answer;
}

static json_t *read_set(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    json_t *answer = wait_for(broker_read_set(&broker_there, &keys, text_of(arguments, "set"), 0, 999, replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *finish_set(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    json_t *answer = wait_for(
        broker_finish_set(&broker_there, &keys, text_of(arguments, "set"), NULL, clock_now_ns(), replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *reclaim_sets(json_t *arguments)
{
    connect_broker();
    queue_keys keys = keys_of(arguments);
    json_t *answer = wait_for(broker_reclaim_sets(&broker_there, &keys, clock_now_ns(), replied, NULL));
    queue_keys_clear(&keys);
    return answer;
}

static json_t *close_broker(json_t *arguments)
{
    (void)arguments;
    if (broker_there.nodes) {
        redis_nodes_free(broker_there.nodes);
        broker_there.nodes = NULL;
        key_space_clear(&broker_space);
        loop_free(broker_loop);
        redis_uri_clear(&broker_uri);
    }
    return peer_status(0, NULL);
}

const peer_row peer_broker_rows[] = {
    {"lease", lease},
    {"settle", settle},
    {"settle_done", settle_done},
    {"renew", renew},
    {"write-result", write_result},
    {"forward", forward},
    {"expire", expire},
    {"list_expired", list_expired},
    {"broker.close", close_broker},
    {"group.take", take_group},
    {"group.read", read_set},
    {"group.finish", finish_set},
    {"group.reclaim", reclaim_sets},
    {NULL, NULL},
};
