/* Values where they stand in a JSON text. */
#include "unit.h"

#include "base/alloc.h"
#include "base/json_index.h"
#include "base/json_text.h"

#include <string.h>

START_TEST(valid)
{
    static const char *const texts[] = {"1",
                                        " null ",
                                        "[]",
                                        "{}",
                                        "[1,2]",
                                        "{\"a\":1}",
                                        "{\"a\":{\"b\":[1,{}]},\"c\":[]}",
                                        "18446744073709551616",
                                        "-0",
                                        "1e400",
                                        "-1.5E-7",
                                        "0.10",
                                        "\"\"",
                                        "\"\\u0000\"",
                                        "\"\\ud83d\"",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                        "\"\xff\"",
                                        "\t{ \"a\" : [ true , false ] , \"a\" : \"\" }\r\n",
                                        "[[[[[[]]]]]]",
                                        "{\"\":{\"\":\"\"}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(json_text_is_valid(bytes_of(texts[i])), "%s", texts[i]);
}
END_TEST

START_TEST(invalid)
{
    static const char *const texts[] = {
        "",           " ",         "1 2",         "[1",     "[1,]", "[,1]",  "{",     "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{a:1}",     "{\"a\":1]",   "[1}",    "01",   "1.",    ".5",    "+1",      "-",
        "1e",         "1e+",       "--1",         "tru",    "True", "nul",   "nulls", "\"",      "\"a",
        "\"\\x\"",    "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "'a'",  "]",     "}",     "[]]",     "{}}",
        "[1 2]",      "{\"a\" 1}", "{1:2}",       "//",     "NaN",  "\"\\\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!json_text_is_valid(bytes_of(texts[i])), "%s", texts[i]);
}
END_TEST

START_TEST(found)
{
    static const char text[] =
        " {\"v\": 1.10, \"big\":18446744073709551615, \"a\\u0062\" : \"x\", \"l\":[ 1e2 , {\"k\" : [7]} ],"
        " \"n\":null, \"d\":1, \"d\":2, \"o\": { } , \"s\":\"\\ud83d\", \"\": 5} ";
    static const struct {
        const char *path, *value;
    } rows[] = {{"v", "1.10"},
                {"big", "18446744073709551615"},
                {"ab", "\"x\""},
                {"l.0", "1e2"},
                {"l.1", "{\"k\" : [7]}"},
                {"l.1.k.0", "7"},
                {"n", "null"},
                {"d", "2"},
                {"o", "{ }"},
                {"s", "\"\\ud83d\""},
                {"l.2", NULL},
                {"l.x", NULL},
                {"v.0", NULL},
                {"a", NULL},
                {"l.00000000000000000000000000000001", "{\"k\" : [7]}"},
                {"l.99999999999999999999999999", NULL},
                {"o.x", NULL},
                {"n.x", NULL}};
    json_index index = {0};
    ck_assert(json_text_is_valid(bytes_of(text)));
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) { /* the second time from what is known */
        const char *path = rows[i / 2].path;
        bytes value;
        bool is_there = json_index_find(&index, bytes_of(text), bytes_of(path), &value);
        ck_assert_msg(is_there == (rows[i / 2].value != NULL), "%s", path);
        if (is_there)
            ck_assert_msg(bytes_equal(value, bytes_of(rows[i / 2].value)), "%s: %.*s", path, BYTES_ARGS(value));
    }
    json_index_clear(&index);
}
END_TEST

/* More members than are remembered. */
START_TEST(many_members)
{
    enum { MANY = 200000 };
    static const char *const paths[] = {"m0", "m199999", "none", "l.0", "l.199999", "l.200000"};
    static const char *const wanted[] = {"0", "199999", NULL, "0", "199999", NULL};
    json_index index = {0};
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, "{\"l\":[");
    for (int i = 0; i < MANY; i++)
        buf_append_format(&text, "%s%d", i ? "," : "", i);
    buf_append_text(&text, "]");
    for (int i = 0; i < MANY; i++)
        buf_append_format(&text, ",\"m%d\":%d", i, i);
    buf_append_text(&text, "}");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        bytes value;
        bool is_there = json_index_find(&index, (bytes){text.data, text.length}, bytes_of(paths[i]), &value);
        ck_assert_msg(is_there == (wanted[i] != NULL), "%s", paths[i]);
        ck_assert(!is_there || bytes_equal(value, bytes_of(wanted[i])));
    }
    json_index_clear(&index);
    buf_clear(&text);
}
END_TEST

START_TEST(decoded)
{
    static const struct {
        const char *quoted, *text; /* NULL: it cannot be */
    } rows[] = {{"\"\"", ""},
                {"\"a\"", "a"},
                {"\"\\u00e9\\n\"", "\xc3\xa9\n"},
                {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
                {"\"\\ud83d\"", NULL},
                {"\"\\ude00\"", NULL},
                {"\"\\ud83dx\"", NULL},
                {"\"\\ud83d\\n\"", NULL},
                {"\"\\/\\\\\\\"\"", "/\\\""},
                {"\"\\u20AC\"", "\xe2\x82\xac"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf out;
        buf_init(&out, 0);
        bool is_good = json_text_decode(bytes_of(rows[i].quoted), &out);
        ck_assert_msg(is_good == (rows[i].text != NULL), "%s", rows[i].quoted);
        if (is_good)
            ck_assert_msg(bytes_equal((bytes){out.data ? out.data : "", out.length}, bytes_of(rows[i].text)), "%s",
                          rows[i].quoted);
        buf_clear(&out);
    }
}
END_TEST

/* Depth costs memory of its own, and none of the stack. */
START_TEST(deep)
{
    enum { DEPTH = 1000000 };
    char *text = mem_alloc(2 * DEPTH);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    ck_assert(json_text_is_valid((bytes){text, 2 * DEPTH}));
    ck_assert(!json_text_is_valid((bytes){text, 2 * DEPTH - 1}));
    mem_free(text);
}
END_TEST

Suite *suite_json_text(void)
{
    const TTest *const list[] = {valid, invalid, found, many_members, decoded, deep, NULL};
    return suite_of("JSON texts", list);
}
