#include "unit.h"

#include "redis/uri.h"

#include <string.h>

static redis_uri parsed;

static void parse(const char *text)
{
    asynq_error error = {0};
    ck_assert_msg(redis_uri_parse(&parsed, text, &error) == 0, "%s: %s", text, error.text);
}

START_TEST(forms)
{
    parse("redis://127.0.0.1");
    ck_assert_str_eq(parsed.host, "127.0.0.1");
    ck_assert_int_eq(parsed.port, 6379);
    redis_uri_clear(&parsed);

    parse("rediss://user:p%40ss:w%2Frd@host.example:7000/12/ignored?ca_file=/a%20b&verify=off&server_name=x");
    ck_assert_str_eq(parsed.user, "user");
    ck_assert_str_eq(parsed.password, "p@ss:w/rd");
    ck_assert_int_eq(parsed.port, 7000);
    ck_assert_int_eq(parsed.database, 12);
    ck_assert(parsed.tls && parsed.tls_insecure);
    ck_assert_str_eq(parsed.tls_ca_file, "/a b");
    ck_assert_str_eq(parsed.tls_server_name, "x");
    redis_uri_clear(&parsed);

    parse("redis://:secret@[::1]:1/"); /* a bare slash is no error (quirk Q-53) */
    ck_assert_ptr_null(parsed.user);
    ck_assert_str_eq(parsed.host, "::1");
    ck_assert_int_eq(parsed.port, 1);
    redis_uri_clear(&parsed);

    parse("redis-socket://:secret@/run/redis.sock?db=3");
    ck_assert_str_eq(parsed.path, "/run/redis.sock");
    ck_assert_int_eq(parsed.database, 3);
    char text[64];
    redis_uri_describe(&parsed, text, sizeof text);
    ck_assert_str_eq(text, "/run/redis.sock"); /* no secret in it */
    redis_uri_clear(&parsed);
}
END_TEST

START_TEST(sentinels)
{
    parse("redis-sentinel://watch:s%40t@a,[::1]:1,b.example:2/3?master=my%20master&username=u&password=p%26q&tls=on");
    ck_assert_uint_eq(parsed.sentinels.places.count, 3);
    ck_assert_str_eq(parsed.sentinels.places.at[0].host, "a");
    ck_assert_int_eq(parsed.sentinels.places.at[0].port, 26379);
    ck_assert_str_eq(parsed.sentinels.places.at[1].host, "::1");
    ck_assert_int_eq(parsed.sentinels.places.at[2].port, 2);
    ck_assert_str_eq(parsed.sentinels.user, "watch");
    ck_assert_str_eq(parsed.sentinels.password, "s@t");
    ck_assert_str_eq(parsed.sentinels.master, "my master");
    ck_assert_str_eq(parsed.user, "u");
    ck_assert_str_eq(parsed.password, "p&q");
    ck_assert_int_eq(parsed.database, 3);
    ck_assert(parsed.tls && !parsed.sentinels.tls);
    ck_assert_ptr_null(parsed.host);
    char text[64];
    redis_uri_describe(&parsed, text, sizeof text);
    ck_assert_str_eq(text, "master my master/3 of 3 sentinels"); /* no secret in it */
    redis_uri_clear(&parsed);

    parse("redis-sentinel://:secret@a?master=m"); /* as with Go's: the sentinels' */
    ck_assert_str_eq(parsed.sentinels.password, "secret");
    ck_assert_ptr_null(parsed.password);
    redis_uri_clear(&parsed);
}
END_TEST

START_TEST(clusters)
{
    parse("rediss-cluster://u:p%40q@a,[::1]:1,b.example:2/0?verify=off");
    ck_assert_uint_eq(parsed.seeds.count, 3);
    ck_assert_str_eq(parsed.seeds.at[0].host, "a");
    ck_assert_int_eq(parsed.seeds.at[0].port, 6379);
    ck_assert_str_eq(parsed.seeds.at[1].host, "::1");
    ck_assert_int_eq(parsed.seeds.at[2].port, 2);
    ck_assert_str_eq(parsed.user, "u");
    ck_assert_str_eq(parsed.password, "p@q");
    ck_assert(parsed.tls && parsed.tls_insecure);
    ck_assert_ptr_null(parsed.host);
    char text[64];
    redis_uri_describe(&parsed, text, sizeof text);
    ck_assert_str_eq(text, "the cluster of a:6379"); /* no secret in it */
    redis_uri_clear(&parsed);
}
END_TEST

START_TEST(mistakes)
{
    const char *const texts[] = {
        "",
        "redis:",
        "redis://",
        "redis://h:",
        "redis://h:1x",
        "redis://h/-1",
        "redis://h/1x",
        "redis://h?db=x",
        "redis://h?a",
        "redis://h?master=m",
        "redis://a,b",
        "redis-cluster://",
        "redis-cluster://,a",
        "redis-cluster://a,",
        "redis-cluster://a:x",
        "redis-cluster://a/1",
        "redis-cluster://a?db=1",
        "redis-cluster://a?master=m",
        "redis-cluster://a?verify=off",
        "redis-sentinel://",
        "redis-sentinel://a",
        "redis-sentinel://a,?master=m",
        "redis-sentinel://,a?master=m",
        "redis-sentinel://a?master=",
        "redis-sentinel://a:x?master=m",
        "redis-sentinel://a?master=m&tls=yes",
        "redis-sentinel://a?master=m&ca_file=/x",
        "redis-sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a?master=m",
        "unix://",
        "redis://[::1",
        "redis://a%0@h",
        "redis://:%zz@h",
        "redis://:a%00b@h",
        "redis://[::1]6380",
        "rediss://h?verify=banana",
        "rediss://h?verify=of",
        "rediss://h?verify=false",
        "rediss://h?verify=OFF",
        "rediss://h?verify=",
        "rediss://h?verify",
        "redis://h?ca_file=/a",
        "redis://h?verify=off",
        "unix:///s?server_name=h",
        "ftp://h"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        asynq_error error = {0};
        ck_assert_msg(redis_uri_parse(&parsed, texts[i], &error) == ASYNQ_E_INVALID, "%s was taken", texts[i]);
        ck_assert_int_ne(error.text[0], '\0');
    }
}
END_TEST

/* Characters that end a part of the URI stand unescaped in a password; each piece of it holds an "x" and a digit. */
START_TEST(no_piece_of_a_password_is_told)
{
    const char *const texts[] = {"redis://bob:x1?x2@host",
                                 "redis://bob:x1#x2@host:port",
                                 "redis://bob:1?x2@host",
                                 "redis://bob:1?x2=x3@host",
                                 "redis://bob:x1/x2@host/x3",
                                 "redis://bob:x1@host:x2@y",
                                 "redis://:x1@host/x2",
                                 "redis://:x1@host:x2",
                                 "redis://:x1@host?x2=x3",
                                 "redis://x1@host",
                                 "redis://bob:x1?x2&x3#x4@h:1",
                                 "unix://bob:x1@relative/x2",
                                 "redis-socket://:x1?x2@/p",
                                 "redis://bob:x1%zz@host",
                                 "bob:x1@redis://host",
                                 "redis://bob:x1?x2%40host",
                                 "rediss://b:1?verify=x2@host",
                                 "redis://bob:x1]x2[@[::1",
                                 "redis://bob:1/x2?db=x3@h",
                                 "redis://bob:x1?@host",
                                 "redis://bob:[x1]x2?x3@h",
                                 "http://bob:x1@host",
                                 "redis://bob:1/2?x3@h",
                                 "x1:x2://bob@host",
                                 "redis://bob:x1",
                                 "redis://bob/x1",
                                 "redis://h?db=x1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        asynq_error error = {0};
        if (redis_uri_parse(&parsed, texts[i], &error) == 0)
            redis_uri_clear(&parsed); /* it is understood as it was meant */
        for (const char *at = error.text; (at = strchr(at, 'x')); at++)
            ck_assert_msg(at[1] < '1' || at[1] > '9', "%s: %s", texts[i], error.text);
    }
    parse("rediss://h?verify=on");
    ck_assert(!parsed.tls_insecure);
    redis_uri_clear(&parsed);
}
END_TEST

Suite *suite_uri(void)
{
    const TTest *const list[] = {forms, sentinels, clusters, mistakes, no_piece_of_a_password_is_told, NULL};
    return suite_of("uri", list);
}
