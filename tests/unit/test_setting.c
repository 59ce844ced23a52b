#include "unit.h"

#include "base/quantity.h"
#include "base/setting.h"

#include <stdlib.h>
#include <string.h>

START_TEST(quantities)
{
    static const struct {
        const char *text;
        int64_t bytes; /* below 0: none */
        const char *again;
    } sizes[] = {
        {"0", 0, "0"},
        {"1", 1, "1B"},
        {"64kB", 64000, "64kB"},
        {"1KiB", 1024, "1KiB"},
        {"1.5MiB", 1572864, "1536KiB"},
        {"2GB", 2000000000, "2GB"},
        {"1GiB", 1073741824, "1GiB"},
        {"5B", 5, "5B"},
        {"64 kB", -1, NULL},
        {"64k", -1, NULL},
        {"-1", -1, NULL},
        {"", -1, NULL},
        {"kB", -1, NULL},
        {"99999999GB", -1, NULL},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t bytes;
        ck_assert_msg(size_read(sizes[i].text, &bytes) == (sizes[i].bytes >= 0), "\"%s\"", sizes[i].text);
        if (sizes[i].bytes < 0)
            continue;
        ck_assert_int_eq(bytes, sizes[i].bytes);
        buf text;
        buf_init(&text, 0);
        size_append(&text, bytes);
        ck_assert_str_eq(text.data, sizes[i].again);
        buf_clear(&text);
    }
    for (int64_t ms = 1; ms < 1000000000; ms = ms * 7 / 2 + 1) {
        buf text;
        int64_t again;
        buf_init(&text, 0);
        duration_append(&text, ms);
        ck_assert_msg(duration_read(text.data, &again) && again == ms, "%s", text.data);
        buf_clear(&text);
    }
}
END_TEST

typedef struct target {
    const char *text;
    int64_t number, duration;
    bool is_on;
    int colour;
    setting_list list;
    setting_pairs pairs;
    const char *secret;
} target;

static const char *const colours[] = {"red", "green", NULL};

#define ROW(kind_, field, ...)                                                                                         \
    {                                                                                                                  \
        .name = #field, .kind = kind_, .offset = offsetof(target, field), __VA_ARGS__                                  \
    }
static const setting table[] = {
    ROW(SETTING_TEXT, text, .has_password = true),
    ROW(SETTING_NUMBER, number, .min = 2, .max = 9, .preset = "5"),
    ROW(SETTING_DURATION, duration, .zero = -7),
    ROW(SETTING_SWITCH, is_on),
    ROW(SETTING_CHOICE, colour, .choices = colours, .preset = "green"),
    ROW(SETTING_LIST, list, .preset = "a, b c,,d"),
    ROW(SETTING_PAIRS, pairs),
    ROW(SETTING_TEXT, secret, .is_secret = true),
    {0},
};

START_TEST(values_are_read_and_written)
{
    static const struct {
        const char *name, *text, *again, *problem;
    } rows[] = {
        {"text", "redis://u:p@ss@h:1", "redis://u:***@h:1", NULL},
        {"text", "redis://h:1", "redis://h:1", NULL},
        {"text", "", "", NULL},
        {"number", "2", "2", NULL},
        {"number", "1", NULL, "\"1\" is too little; it can be 2 to 9"},
        {"number", "10", NULL, "\"10\" is too much; it can be 2 to 9"},
        {"number", "x", NULL, "\"x\" is not a whole number from 0 on"},
        {"duration", "0", "0", NULL},
        {"duration", "90s", "90s", NULL},
        {"duration", "90", NULL, "\"90\" is not a duration such as 90s, 1h30m or 2d"},
        {"is_on", "yes", "true", NULL},
        {"is_on", "off", "false", NULL},
        {"is_on", "TRUE", "true", NULL},
        {"is_on", "truth", NULL, "\"truth\" is not true or false"},
        {"colour", "red", "red", NULL},
        {"colour", "blue", NULL, "\"blue\" is none of red, green"},
        {"list", "x", "x", NULL},
        {"list", " , ", "", NULL},
        {"pairs", "a=1, b=x=y,c=", "a=1,b=x=y,c=", NULL},
        {"pairs", "=1", NULL, "\"=1\" is not NAME=VALUE"},
        {"secret", "s", "***", NULL},
    };
    arena memory;
    target own;
    arena_init(&memory, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const setting *row = setting_find(table, rows[i].name);
        buf problem, again;
        buf_init(&problem, 0);
        buf_init(&again, 0);
        memset(&own, 0, sizeof own);
        bool is_read = setting_read(row, rows[i].text, &own, &memory, &problem);
        ck_assert_msg(is_read == !rows[i].problem, "%s: \"%s\"", rows[i].name, rows[i].text);
        if (rows[i].problem)
            ck_assert_str_eq(problem.data, rows[i].problem);
        else
            setting_append(row, &own, &again);
        if (rows[i].again)
            ck_assert_str_eq(again.data ? again.data : "", rows[i].again);
        buf_clear(&problem);
        buf_clear(&again);
    }
    ck_assert_int_eq(own.duration, 0);
    arena_clear(&memory);
}
END_TEST

START_TEST(presets_and_comparisons)
{
    arena memory;
    target a = {0}, b = {0};
    buf problem;
    arena_init(&memory, 0);
    buf_init(&problem, 0);
    setting_preset(table, &a, &memory);
    setting_preset(table, &b, &memory);
    ck_assert_int_eq(a.number, 5);
    ck_assert_int_eq(a.colour, 1);
    ck_assert_uint_eq(a.list.count, 3);
    ck_assert_str_eq(a.list.items[1], "b c");
    for (const setting *row = table; row->name; row++)
        ck_assert(setting_is_same(row, &a, &b));
    a.secret = "one";
    b.secret = "two";
    ck_assert(!setting_is_same(setting_find(table, "secret"), &a, &b)); /* although both are shown as stars */
    ck_assert(setting_read(setting_find(table, "list"), "a,b c", &b, &memory, &problem));
    ck_assert(!setting_is_same(setting_find(table, "list"), &a, &b));
    ck_assert_ptr_eq(setting_find_secret(table, "secret_file"), setting_find(table, "secret"));
    ck_assert_ptr_null(setting_find_secret(table, "text_file"));
    ck_assert_ptr_null(setting_find_secret(table, "_file"));
    ck_assert_str_eq(setting_nearest(table, "nubmer"), "number");
    buf_clear(&problem);
    arena_clear(&memory);
}
END_TEST

Suite *suite_setting(void)
{
    const TTest *const list[] = {quantities, values_are_read_and_written, presets_and_comparisons, NULL};
    return suite_of("settings", list);
}
