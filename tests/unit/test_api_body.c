#include "unit.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "daemon/api_body.h"

#include <stdio.h>
#include <string.h>

/* Reads `text` and checks the status, and that the error contains `want`. */
static void check_read(bytes text, int status, const char *want)
{
    api_body *body = mem_calloc(1, sizeof *body);
    asynq_error error = {0};
    int got = api_body_read(body, text, &error);
    ck_assert_msg(got == status && strstr(error.text, want), "%.60s: %d %s", text.data, got, error.text);
    api_body_clear(body);
    mem_free(body);
}

/* "[", `count` times `item` with commas between them, "]". */
static void check_list(const char *item, size_t count, int status, const char *want)
{
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, "[");
    for (size_t i = 0; i < count; i++)
        buf_append_format(&text, "%s%s", i ? "," : "", item);
    buf_append_text(&text, "]");
    check_read((bytes){text.data, text.length}, status, want);
    buf_clear(&text);
}

START_TEST(refused)
{
    check_read(bytes_of(""), 400, "line 1");
    check_read(bytes_of("{\"tasks\": []}"), 400, "1 to 1000");
    check_read(bytes_of("{\"tasks\": 5}"), 400, "1 to 1000");
    check_read(bytes_of("{\"type\": \"a\\u0000b\"}"), 400, "NUL");
    check_list("{}", API_MAX_TASKS, 0, "");
    check_list("{}", API_MAX_TASKS + 1, 413, "1 to 1000");
}
END_TEST

/* A tree of these would take a hundred times their size. */
START_TEST(many_values)
{
    enum { MANY = 150000 };
    static const char *const items[] = {"1", "{}", "[]", "null", "\"\"", "\"\\\"\"", "{\"a\":1,\"b\":[2,3]}"};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        check_list(items[i], MANY, 413, "more values");
    check_list("{\"payload\": \"\\\\\"}", API_MAX_TASKS, 0, "");
}
END_TEST

/* What is in a payload is not counted, and kept as it is. */
START_TEST(large_payloads)
{
    enum { ONES = 150000 };
    api_body *body = mem_calloc(1, sizeof *body);
    asynq_error error;
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, "{\"tasks\": [{\"type\": \"a,\\\",\", \"payload\": [1");
    for (size_t i = 0; i < ONES; i++)
        buf_append_text(&text, ",1");
    buf_append_text(&text, "]}, {\"type\": \"b\"}]}");
    ck_assert_int_eq(api_body_read(body, (bytes){text.data, text.length}, &error), 0);
    ck_assert_uint_eq(body->count, 2);
    ck_assert_uint_eq(body->written[0].length, 2 * ONES + 3);
    ck_assert_ptr_null(body->written[1].data);
    ck_assert_str_eq(json_string_value(json_object_get(api_body_task(body, 0), "type")), "a,\",");
    api_body_clear(body);
    mem_free(body);
    buf_clear(&text);
}
END_TEST

Suite *suite_api_body(void)
{
    const TTest *const list[] = {refused, many_values, large_payloads, NULL};
    return suite_of("bodies of posts", list);
}
