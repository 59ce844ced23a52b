/* Slots of a Redis Cluster: of keys, in maps, and in the answers of nodes. */
#include "unit.h"

#include "redis/args.h"
#include "redis/node_ids.h"
#include "redis/redirect.h"
#include "redis/slot_map.h"
#include "wire/keys.h"

#include <stdio.h>
#include <string.h>

/* Redis's own numbers: CLUSTER KEYSLOT. */
START_TEST(of_keys)
{
    ck_assert_int_eq(key_slot(bytes_of("123456789")), 12739);
    ck_assert_int_eq(key_slot(bytes_of("asynq:{default}:pending")), 5718);
    ck_assert_int_eq(key_slot(bytes_of("asynq:{default}:t:{x}")), 5718);
    ck_assert_int_eq(key_slot(bytes_of("foo{}{bar}")), 8363); /* nothing between the braces: all of it */
    ck_assert_int_eq(key_slot(bytes_of("foo{{bar}}zap")), 4015);
    ck_assert_int_eq(key_slot(bytes_of("")), 0);
}
END_TEST

/* The reply in Redis's protocol; it lives until the next call. */
static const redis_value *slots_reply(const char *text)
{
    static redis_reader *reader;
    const redis_value *value;
    asynq_error error;
    redis_reader_free(reader);
    reader = redis_reader_new();
    ck_assert_int_eq(redis_reader_feed(reader, text, strlen(text)), 0);
    ck_assert_int_eq(redis_reader_next(reader, &value, &error), 0);
    ck_assert_ptr_nonnull(value);
    return value;
}

static const struct {
    const char *text;
    redirect_kind kind;
    int slot, port;
    const char *host;
} redirects[] = {
    {"MOVED 3999 127.0.0.1:6381", REDIRECT_MOVED, 3999, 6381, "127.0.0.1"},
    {"MOVED 0 ::1:6381", REDIRECT_MOVED, 0, 6381, "::1"},
    {"MOVED 16383 :6381", REDIRECT_MOVED, 16383, 6381, ""},
    {"MOVED 16384 a:1", REDIRECT_MOVED, -1, 1, "a"},
    {"MOVED -1 a:1", REDIRECT_MOVED, -1, 1, "a"},
    {"MOVED 99999999999999999999 a:1", REDIRECT_MOVED, -1, 0, ""},
    {"MOVED 1 a:0", REDIRECT_MOVED, 1, 0, ""},
    {"MOVED 1 a:65536", REDIRECT_MOVED, 1, 0, ""},
    {"MOVED 1 a", REDIRECT_MOVED, 1, 0, ""},
    {"MOVED", REDIRECT_MOVED, -1, 0, ""},
    {"MOVED x y", REDIRECT_MOVED, -1, 0, ""},
    {"MOVEDX 1 a:1", REDIRECT_NONE, -1, 0, ""},
    {"ASK 3999 redis.example:6381", REDIRECT_ASK, 3999, 6381, "redis.example"},
    {"TRYAGAIN Multiple keys request during rehashing of slot", REDIRECT_LATER, -1, 0, ""},
    {"CLUSTERDOWN Hash slot not served", REDIRECT_LATER, -1, 0, ""},
    {"ERR Script attempted to access a non local key in a cluster node script: 1", REDIRECT_LATER, -1, 0, ""},
    {"READONLY You can't write against a read only replica.", REDIRECT_NONE, -1, 0, ""},
    {"", REDIRECT_NONE, -1, 0, ""},
};

START_TEST(in_answers)
{
    for (size_t i = 0; i < sizeof redirects / sizeof *redirects; i++) {
        char text[256];
        snprintf(text, sizeof text, "-%s\r\n", redirects[i].text);
        redis_redirect redirect = redis_redirect_of(slots_reply(text));
        ck_assert_msg(redirect.kind == redirects[i].kind && redirect.slot == redirects[i].slot &&
                          redirect.port == redirects[i].port && strcmp(redirect.host, redirects[i].host) == 0,
                      "%s: %d %d %s %d", redirects[i].text, redirect.kind, redirect.slot, redirect.host, redirect.port);
    }
    ck_assert_int_eq(redis_redirect_of(slots_reply("$5\r\nMOVED\r\n")).kind, REDIRECT_NONE);
}
END_TEST

#define RANGE(first, last, master) "*1\r\n*3\r\n:" first "\r\n:" last "\r\n" master
#define MASTER(host, port) "*3\r\n" host ":" port "\r\n$3\r\nabc\r\n"

static const struct {
    const char *text;
    bool is_fine;
    const char *host;
    int port;
} ranges[] = {
    {RANGE("0", "5460", MASTER("$1\r\na\r\n", "7000")), true, "a", 7000},
    {RANGE("0", "16383", MASTER("$0\r\n\r\n", "7000")), true, "own", 7000},
    {RANGE("0", "16383", MASTER("$-1\r\n", "7000")), true, "own", 7000},
    {RANGE("0", "16383", MASTER("$1\r\n?\r\n", "7000")), true, "own", 7000},
    {RANGE("0", "16383", MASTER("$1\r\na\r\n", "0")), true, "a", 1}, /* only TLS: the own port */
    {RANGE("5", "4", MASTER("$1\r\na\r\n", "7000")), false, "", 0},
    {RANGE("-1", "4", MASTER("$1\r\na\r\n", "7000")), false, "", 0},
    {RANGE("0", "16384", MASTER("$1\r\na\r\n", "7000")), false, "", 0},
    {RANGE("0", "99999999999", MASTER("$1\r\na\r\n", "7000")), false, "", 0},
    {RANGE("0", "1", MASTER("$1\r\na\r\n", "70000")), false, "", 0},
    {RANGE("0", "1", MASTER("$1\r\na\r\n", "-1")), false, "", 0},
    {"*1\r\n*2\r\n:0\r\n:1\r\n", false, "", 0},
    {"*1\r\n:0\r\n", false, "", 0},
    {RANGE("0", "1", ":5\r\n"), false, "", 0},
    {RANGE("0", "1", "*1\r\n$1\r\na\r\n"), true, "a", 1}, /* no port, no id */
};

START_TEST(in_maps)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        slot_range range;
        const redis_value *map = slots_reply(ranges[i].text);
        ck_assert(slot_map_is_sound(map));
        bool is_fine = slot_range_read(map, 0, "own", 1, &range);
        ck_assert_msg(is_fine == ranges[i].is_fine, "%s", ranges[i].text);
        if (is_fine)
            ck_assert_msg(range.port == ranges[i].port && strcmp(range.host, ranges[i].host) == 0, "%s: %s %d",
                          ranges[i].text, range.host, range.port);
    }
    ck_assert(!slot_map_is_sound(slots_reply("*0\r\n")));
    ck_assert(!slot_map_is_sound(slots_reply("$1\r\na\r\n")));
}
END_TEST

/* Whoever was in the cluster, as master or as replica, tells that a map is of the same one. */
START_TEST(of_clusters)
{
    node_ids ids = {0};
    const char *const both = "*1\r\n*5\r\n:0\r\n:9\r\n*3\r\n$1\r\nh\r\n:1\r\n$1\r\nA\r\n"
                             "*3\r\n$1\r\nh\r\n:2\r\n$1\r\nB\r\n$3\r\nnew\r\n";
    const char *const replica = "*1\r\n*3\r\n:0\r\n:9\r\n*3\r\n$1\r\nh\r\n:2\r\n$1\r\nB\r\n";
    const char *const other = "*1\r\n*3\r\n:0\r\n:9\r\n*3\r\n$1\r\nh\r\n:1\r\n$1\r\nC\r\n";
    const char *const nameless = "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\nh\r\n:1\r\n";
    ck_assert(node_ids_meet(&ids, slots_reply(other)));
    node_ids_take(&ids, slots_reply(both));
    ck_assert_uint_eq(ids.count, 2);
    ck_assert(node_ids_meet(&ids, slots_reply(both)));
    ck_assert(node_ids_meet(&ids, slots_reply(replica)));
    ck_assert(!node_ids_meet(&ids, slots_reply(other)));
    ck_assert(node_ids_meet(&ids, slots_reply(nameless)));
    node_ids_take(&ids, slots_reply(replica));
    ck_assert_uint_eq(ids.count, 1);
    node_ids_clear(&ids);
}
END_TEST

/* One key more, in its place behind the others, and counted. */
START_TEST(one_key_more)
{
    redis_args args;
    redis_args_init(&args);
    redis_args_begin_script(&args, SCRIPT_RENEW, 2);
    for (const char *word = "ab12"; *word; word++)
        redis_args_add(&args, (bytes){word, 1});
    redis_args_append_key(&args, bytes_of("more"));
    ck_assert(!args.failed);
    ck_assert_int_eq(args.count, 8);
    ck_assert_int_eq(args.key_count, 3);
    const char *const want[] = {"EVALSHA", NULL, "3", "a", "b", "more", "1", "2"};
    for (int i = 0; i < args.count; i++)
        if (want[i])
            ck_assert_msg(bytes_equal((bytes){args.argv[i], args.lengths[i]}, bytes_of(want[i])), "%d", i);
    redis_args_clear(&args);
}
END_TEST

Suite *suite_slots(void)
{
    const TTest *const list[] = {of_keys, in_answers, in_maps, of_clusters, one_key_more, NULL};
    return suite_of("slots of a cluster", list);
}
