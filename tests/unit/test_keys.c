#include "unit.h"

#include "wire/keys.h"

#include "base/clock.h"

static void expect_lock(const char *type, bytes payload, const char *expected)
{
    buf name;
    buf_init(&name, 0);
    key_append_lock(&name, bytes_of("default"), bytes_of(type), payload);
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
    ck_assert_int_eq(queue_keys_init(&keys, bytes_of("low")), 0);
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

Suite *suite_keys(void)
{
    const TTest *const list[] = {locks, queue_names, daily_counters, NULL};
    return suite_of("keys", list);
}
