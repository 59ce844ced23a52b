#include "unit.h"

#include "broker/session.h"

#include <math.h>
#include <stdlib.h>

START_TEST(scores_are_exact)
{
    const uint32_t tags[] = {1, 2, 4095, 4096, (1u << LEASE_TAG_BITS) - 1, 2097152, 3333333};
    const int64_t seconds[] = {1073741824, 1700000030, 2147483647};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        for (size_t j = 0; j < sizeof seconds / sizeof *seconds; j++) {
            char text[48], redis[48];
            lease_score_format((lease_score){seconds[j], tags[i]}, text);
            double score = strtod(text, NULL);
            ck_assert(score == (double)seconds[j] + (double)tags[i] / (1 << LEASE_TAG_BITS));
            ck_assert(floor((score - floor(score)) * (1 << LEASE_TAG_BITS) + 0.5) ==
                      tags[i]);                            /* as our scripts do it */
            snprintf(redis, sizeof redis, "%.17g", score); /* as Redis answers */
            ck_assert(strtod(redis, NULL) == score);
        }
}
END_TEST

START_TEST(tags)
{
    char text[48];
    lease_score_format((lease_score){1700000030, 0}, text);
    ck_assert_str_eq(text, "1700000030"); /* as Go writes it */
    ck_assert_uint_ne(lease_tag(0, 0), 0);
    ck_assert_uint_ne(lease_tag(1024, 4096), 0);
    ck_assert_uint_ne(lease_tag(1, 1), lease_tag(2, 1));
    ck_assert_uint_ne(lease_tag(1, 1), lease_tag(1, 2));
    ck_assert_uint_lt(lease_tag(1023, 4095), 1u << LEASE_TAG_BITS);
}
END_TEST

/* The server that a lease names, from its score as Redis answers it; what is no score names none. */
START_TEST(servers)
{
    char text[48];
    for (uint32_t number = 0; number < LEASE_SERVER_MAX; number += 31) {
        lease_score_format((lease_score){1700000030, lease_tag(number, 4095)}, text);
        ck_assert_int_eq(broker_lease_server(bytes_of(text)), (int)number);
    }
    static const char *const none[] = {"1700000030", "", "inf", "-inf", "nan", "-1.5", "1e300", "text"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_int_eq(broker_lease_server(bytes_of(none[i])), -1);
    ck_assert_int_eq(broker_lease_server((bytes){0}), -1);
}
END_TEST

/* Sessions as they stand in Redis, and what anybody may have put there. */
START_TEST(sessions)
{
    static const struct {
        const char *member;
        bool is_one;
    } rows[] = {
        {"7 11000 host:1:id", true},
        {"895 1 ", true},
        {"last", false},
        {"896 1000 host:1:id", false}, /* for those that have no session */
        {"7x 1000 host:1:id", false},
        {"-7 1000 host:1:id", false},
        {"", false},
        {"7", false},
        {"7 ", false},
        {"7 x host:1:id", false},
        {"7 0 host:1:id", false},
        {"99999999999999999999 1000 host:1:id", false},
        {"7 99999999999999999999999 host:1:id", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        redis_value list[3] = {{.type = REDIS_INTEGER, .integer = 5},
                               {.type = REDIS_STRING, .text = bytes_of(rows[i].member)},
                               {.type = REDIS_STRING, .text = bytes_of("1796000000123")}};
        redis_value reply = {.type = REDIS_ARRAY, .elements = list, .count = 3};
        session_record session;
        ck_assert(broker_late_is_sound(&reply));
        ck_assert_msg(broker_late_at(&reply, 0, &session) == rows[i].is_one, "row %zu", i);
    }
}
END_TEST

Suite *suite_lease(void)
{
    const TTest *const list[] = {scores_are_exact, tags, servers, sessions, NULL};
    return suite_of("lease", list);
}
