#include "unit.h"

#include "daemon/scale_sample.h"

#include <stdlib.h>
#include <string.h>

static bool takes(const char *text, const char *why)
{
    arena memory;
    scale_sample sample;
    const char *problem;
    setting_pair names[] = {{"a", "1"}, {"b \"", "1"}};
    arena_init(&memory, 0);
    bool is_taken = scale_sample_read(bytes_of(text), &(setting_pairs){names, 2}, &memory, &sample, &problem);
    arena_clear(&memory);
    if (!is_taken)
        ck_assert_str_eq(problem, why);
    return is_taken;
}

START_TEST(texts_of_samples)
{
    arena memory;
    const char *problem;
    setting_pair names[] = {{"a", "1"}, {"b \"", "1"}};
    const setting_pairs both = {names, 2};
    scale_queue two[] = {{1, 2, 3, 4, 5, 6, 7, 8, true}, {INT64_MAX, -1, 0, 0, 0, 0, 0, 0, false}};
    const scale_sample written = {1700000000123, 1600000000000, 3, 4, 6, 5, two};
    scale_sample read;
    char *text = scale_sample_print(&written, &both);
    arena_init(&memory, 0);
    ck_assert(scale_sample_read(bytes_of(text), &both, &memory, &read, &problem));
    ck_assert(read.at_ms == written.at_ms && read.since_ms == written.since_ms && read.instances == 3 &&
              read.busiest == 4 && read.room == 5 && read.leaving == 6);
    ck_assert_mem_eq(&read.queues[0], &two[0], offsetof(scale_queue, is_paused));
    ck_assert(read.queues[0].is_paused && !read.queues[1].is_paused);
    ck_assert_int_gt(read.queues[1].pending, 1000000000); /* as large as may be */
    ck_assert_int_eq(read.queues[1].active, 0);
    free(text);
    arena_clear(&memory);
#define QUEUES_OF(a, b) "\"queues\":{\"a\":[" a "],\"b \\\"\":[" b "]}}"
#define GOOD "1,2,3,4,5,6,7,8,0"
#define HEAD "{\"at\":5,\"since\":5,\"instances\":1,\"busiest\":1,\"leaving\":0,\"room\":0,"
    static const char *const number = "a number is missing, or cannot be",
                             *const queue = "a queue is missing, or has no numbers that can be";
    ck_assert(takes(HEAD QUEUES_OF(GOOD, GOOD), ""));
    ck_assert(!takes("", "it is no JSON"));
    ck_assert(!takes("\xff", "it is no JSON"));
    ck_assert(!takes(HEAD QUEUES_OF(GOOD, GOOD) "}", "it is no JSON"));
    ck_assert(!takes("{}", number));
    ck_assert(!takes("[1]", number));
    ck_assert(
        !takes("{\"at\":5,\"since\":6,\"instances\":1,\"busiest\":1,\"leaving\":0,\"room\":0," QUEUES_OF(GOOD, GOOD),
               "it is older than the first one"));
    ck_assert(
        !takes("{\"at\":5,\"since\":5,\"instances\":-1,\"busiest\":1,\"leaving\":0,\"room\":0," QUEUES_OF(GOOD, GOOD),
               number));
    ck_assert(
        !takes("{\"at\":5.5,\"since\":5,\"instances\":1,\"busiest\":1,\"leaving\":0,\"room\":0," QUEUES_OF(GOOD, GOOD),
               number));
    ck_assert(!takes(
        "{\"at\":5,\"since\":5,\"instances\":9223372036854775807,\"busiest\":1,\"leaving\":0,\"room\":0," QUEUES_OF(
            GOOD, GOOD),
        number));
    ck_assert(!takes(HEAD "\"queues\":[]}", queue));
    ck_assert(!takes(HEAD "\"queues\":{\"a\":[" GOOD "]}}", queue));
    ck_assert(!takes(HEAD QUEUES_OF(GOOD, GOOD ",1"), queue));
    ck_assert(!takes(HEAD QUEUES_OF(GOOD, "1,2,3,4,5,6,7,8,null"), queue));
    ck_assert(!takes(HEAD QUEUES_OF(GOOD, "1,2,3,4,5,6,7,8,-1"), queue));
    ck_assert(!takes(HEAD QUEUES_OF(GOOD, "1e3,2,3,4,5,6,7,8,1"), queue));
}
END_TEST

Suite *suite_scale_sample(void)
{
    const TTest *const list[] = {texts_of_samples, NULL};
    return suite_of("samples for scaling", list);
}
