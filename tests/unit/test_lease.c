#include "unit.h"

#include "broker/broker.h"

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

Suite *suite_lease(void)
{
    const TTest *const list[] = {scores_are_exact, tags, NULL};
    return suite_of("lease", list);
}
