#include "unit.h"

#include "wire/keys.h"

#include "base/clock.h"
#include "broker/call.h"

static void expect_lock(const char *type, bytes payload, const char *expected)
{
    buf name;
    buf_init(&name, 0);
    key_append_lock(&name, unit_space(), bytes_of("default"), bytes_of(type), payload);
    ck_assert_str_eq(name.data, expected);
    buf_clear(&name);
}

START_TEST(locks)
{
    expect_lock("email:send", bytes_of("{\"u\":1}"), /* GV-9 */
                "asynq:{default}:unique:email:send:cfeb4906248f18cb94f202711c2a34cf");
    expect_lock("reindex", (bytes){0}, "asynq:{default}:unique:reindex:"); /* GV-10 */
    expect_lock("reindex", bytes_of(""),                                   /* GV-11 */
                "asynq:{default}:unique:reindex:d41d8cd98f00b204e9800998ecf8427e");
}
END_TEST

START_TEST(queue_names)
{
    queue_keys keys;
    ck_assert_int_eq(queue_keys_init(&keys, unit_space(), bytes_of("low")), 0);
    ck_assert_int_eq(keys.prefix.length, strlen("asynq:{low}:"));
    ck_assert(bytes_equal(keys.queue, bytes_of("low")));
    ck_assert(bytes_equal(keys.key[QUEUE_KEY_PENDING], bytes_of("asynq:{low}:pending")));
    ck_assert(bytes_equal(keys.key[QUEUE_KEY_TASK], bytes_of("asynq:{low}:t:")));
    ck_assert(bytes_equal(keys.key[QUEUE_KEY_CLIENT], bytes_of("asynq:{low}:libasynq:client:")));
    queue_keys_clear(&keys);
}
END_TEST

START_TEST(daily_counters)
{
    buf name;
    buf_init(&name, 0);
    key_append_daily(&name, bytes_of("x"), INT64_C(1704067199) * NS_PER_SECOND); /* one second before 2024 */
    ck_assert_str_eq(name.data, "x:2023-12-31");
    buf_clear(&name);
}
END_TEST

static void expect_slot_tag(const char *key, const char *tag)
{
    ck_assert_msg(bytes_equal(key_slot_tag(bytes_of(key)), bytes_of(tag)), "%s", key);
}

START_TEST(slot_tags)
{
    expect_slot_tag("asynq:{low}:pending", "low");
    expect_slot_tag("asynq:servers", "asynq:servers");
    expect_slot_tag("asynq:servers:{host:1:id}", "host:1:id");
    expect_slot_tag("asynq:{a}b}:t:{x}", "a");
    expect_slot_tag("asynq:{{a}:t:", "{a");
    expect_slot_tag("asynq:{}}:t:", "");
    expect_slot_tag("asynq:{open", "asynq:{open");
    expect_slot_tag("}a{", "}a{");
}
END_TEST

/* Whether a script may be called with these keys; NULL ends them. */
static bool fit(const char *const *keys)
{
    redis_args args;
    redis_args_init(&args);
    for (int i = 0; i < REDIS_SCRIPT_KEYS; i++)
        redis_args_add_text(&args, "head");
    for (; *keys; keys++, args.key_count++)
        redis_args_add_text(&args, *keys);
    redis_args_add_text(&args, "");
    bool fits = broker_keys_fit(&args);
    redis_args_clear(&args);
    return fits;
}

START_TEST(keys_of_scripts)
{
    ck_assert(fit((const char *[]){NULL}));
    ck_assert(fit((const char *[]){"asynq:servers", NULL}));
    ck_assert(fit((const char *[]){"asynq:{q}:pending", "asynq:{q}:active", NULL}));
    ck_assert(fit((const char *[]){"asynq:servers:{i}", "asynq:workers:{i}", NULL}));
    ck_assert(!fit((const char *[]){"", NULL}));
    ck_assert(!fit((const char *[]){"asynq:{q}:pending", "", NULL}));
    ck_assert(!fit((const char *[]){"asynq:{q}:pending", "asynq:{r}:pending", NULL}));
    ck_assert(!fit((const char *[]){"asynq:servers", "asynq:servers:{i}", NULL}));
    redis_args none;
    redis_args_init(&none);
    none.key_count = 1; /* promised, and not there */
    ck_assert(!broker_keys_fit(&none));
    redis_args_clear(&none);
}
END_TEST

static bool counts_fit(script_id script, int keys, int arguments)
{
    redis_args args;
    redis_args_init(&args);
    for (int i = 0; i < REDIS_SCRIPT_KEYS + keys + arguments; i++)
        redis_args_add_text(&args, "x");
    args.script = &redis_scripts[script];
    args.key_count = keys;
    bool fits = broker_counts_fit(&args);
    redis_args_clear(&args);
    return fits;
}

START_TEST(counts_of_scripts)
{
    ck_assert(counts_fit(SCRIPT_LEASE, 5, 5));
    ck_assert(!counts_fit(SCRIPT_LEASE, 4, 5));
    ck_assert(!counts_fit(SCRIPT_LEASE, 6, 5));
    ck_assert(!counts_fit(SCRIPT_LEASE, 5, 4));
    ck_assert(counts_fit(SCRIPT_LEASE, 5, 6));
    ck_assert(!counts_fit(SCRIPT_LEASE, 5, 7));
    ck_assert(counts_fit(SCRIPT_LIST_TASKS, 1, 5));
    ck_assert(counts_fit(SCRIPT_LIST_TASKS, 2, 500));
    ck_assert(!counts_fit(SCRIPT_LIST_TASKS, 3, 5));
    ck_assert(!counts_fit(SCRIPT_LIST_TASKS, 1, 4));
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        ck_assert_msg(redis_scripts[i].min_keys > 0, "%s", redis_scripts[i].name);
        ck_assert_msg(redis_scripts[i].min_arguments >= 0, "%s", redis_scripts[i].name);
    }
}
END_TEST

static void expect_parsed(const char *name, size_t choice, const char *queue, queue_key key, const char *rest)
{
    queue_key_name parsed;
    ck_assert_msg(queue_key_parse(unit_space(), bytes_of(name), choice, &parsed), "%s", name);
    ck_assert(bytes_equal(parsed.queue, bytes_of(queue)));
    ck_assert_int_eq(parsed.key, key);
    ck_assert(bytes_equal(parsed.rest, bytes_of(rest)));
}

START_TEST(names_taken_apart)
{
    queue_key_name parsed;
    expect_parsed("asynq:{low}:pending", 0, "low", QUEUE_KEY_PENDING, "");
    expect_parsed("asynq:{low}:t:a:b}", 0, "low", QUEUE_KEY_TASK, "a:b}");
    expect_parsed("asynq:{low}:g:g:uuid", 0, "low", QUEUE_KEY_GROUP, "g:uuid");
    expect_parsed("asynq:{low}:groups", 0, "low", QUEUE_KEY_GROUPS, "");
    expect_parsed("asynq:{low}:processed", 0, "low", QUEUE_KEY_PROCESSED, "");
    expect_parsed("asynq:{low}:failed:2024-01-01", 0, "low", QUEUE_KEY_FAILED, "2024-01-01");
    expect_parsed("asynq:{low}:libasynq:quarantine", 0, "low", QUEUE_KEY_QUARANTINE, "");
    expect_parsed("asynq:{low}:libasynq:quarantined:t:x", 0, "low", QUEUE_KEY_QUARANTINED, "t:x");
    expect_parsed("asynq:{a}:t:b}:pending", 0, "a", QUEUE_KEY_TASK, "b}:pending");
    expect_parsed("asynq:{a}:t:b}:pending", 1, "a}:t:b", QUEUE_KEY_PENDING, "");
    static const char *const others[] = {"",
                                         "asynq:",
                                         "asynq:{low",
                                         "asynq:{low}",
                                         "asynq:{low}:",
                                         "asynq:queues",
                                         "asynq:{low}:pendings",
                                         "asynq:{low}:t",
                                         "other:{low}:pending",
                                         "asynq:servers:{h:1:x}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!queue_key_parse(unit_space(), bytes_of(others[i]), 0, &parsed), "%s", others[i]);
    ck_assert(!queue_key_parse(unit_space(), bytes_of("asynq:{low}:pending"), 1, &parsed));
}
END_TEST

/* All names follow from the prefix, and names with another one are nobody's. */
START_TEST(key_spaces)
{
    key_space space;
    queue_keys keys;
    queue_key_name parsed;
    buf name;
    ck_assert_int_eq(key_space_init(&space, "team-a", NULL), 0);
    ck_assert_str_eq(global_key_name(&space, GLOBAL_KEY_QUEUES).data, "team-a:queues");
    ck_assert_str_eq(global_key_name(&space, GLOBAL_KEY_WAKE).data, "team-a:libasynq:wake:");
    ck_assert_int_eq(queue_keys_init(&keys, &space, bytes_of("low")), 0);
    ck_assert(bytes_equal(keys.queue, bytes_of("low")));
    ck_assert(bytes_equal(keys.prefix, bytes_of("team-a:{low}:")));
    for (int i = 0; i < QUEUE_KEY_COUNT; i++)
        ck_assert_int_eq(memcmp(keys.key[i].data, keys.prefix.data, keys.prefix.length), 0);
    ck_assert(queue_key_parse(&space, bytes_of("team-a:{low}:pending"), 0, &parsed));
    ck_assert(!queue_key_parse(&space, bytes_of("asynq:{low}:pending"), 0, &parsed));
    ck_assert(!queue_key_parse(unit_space(), bytes_of("team-a:{low}:pending"), 0, &parsed));
    buf_init(&name, 0);
    key_append_scheduler(&name, &space, bytes_of("h:1:x"));
    ck_assert_str_eq(name.data, "team-a:schedulers:{h:1:x}");
    buf_clear(&name);
    queue_keys_clear(&keys);
    key_space_clear(&space);
}
END_TEST

#define LONG_PREFIX                                                                                                    \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"    \
    "90123456789012345678"

START_TEST(bad_prefixes)
{
    static const char *const prefixes[] = {"",   "{a}", "a}",  "a b",     "a\n",      "\t",
                                           "a*", "[a",  "a\\", "\033[0m", LONG_PREFIX};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        asynq_error error;
        key_space space;
        ck_assert_int_eq(key_space_init(&space, prefixes[i], &error), ASYNQ_E_INVALID);
        ck_assert_msg(strstr(error.text, "the key prefix") != NULL, "%s", error.text);
    }
}
END_TEST

/* Who serves the same queues has the same samples, in whatever order they are configured. */
START_TEST(keys_of_fleets)
{
    static const char *const lists[][2] = {{"a", "bc"}, {"bc", "a"}, {"ab", "c"}, {"abc", ""}, {"a", "b"}};
    key_space space;
    buf names[5];
    ck_assert_int_eq(key_space_init(&space, NULL, NULL), 0);
    for (size_t i = 0; i < 5; i++) {
        const char *list[] = {lists[i][0], lists[i][1]};
        buf_init(&names[i], 0);
        key_append_scale(&names[i], &space, list, 2);
        ck_assert(strncmp(names[i].data, "asynq:libasynq:scale:", 21) == 0 && names[i].length == 21 + 32);
    }
    ck_assert_str_eq(names[0].data, names[1].data);
    for (size_t i = 2; i < 5; i++)
        ck_assert_str_ne(names[0].data, names[i].data);
    for (size_t i = 0; i < 5; i++)
        buf_clear(&names[i]);
    key_space_clear(&space);
}
END_TEST

Suite *suite_keys(void)
{
    const TTest *const list[] = {
        locks,        queue_names, names_taken_apart, daily_counters,    key_spaces, keys_of_fleets,
        bad_prefixes, slot_tags,   keys_of_scripts,   counts_of_scripts, NULL};
    return suite_of("keys", list);
}
