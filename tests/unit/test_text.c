#include "unit.h"

#include "base/arena.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/text.h"

#include <string.h>

START_TEST(utf8)
{
    const char *const good[] = {"", "a", "ä", "日本", "\U0010ffff", "\xed\x9f\xbf", "\xee\x80\x80"};
    const char *const bad[] = {"\xff",     "\xc0\x80", "\xed\xa0\x80",        "\xf4\x90\x80\x80",
                               "\xe6\x97", "a\x80",    "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!text_is_utf8(bad[i], strlen(bad[i])));
}
END_TEST

START_TEST(blank)
{
    const char *const good[] = {"", " ", "\t\n\v\f\r", "\xc2\x85\xc2\xa0",
                                "\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"};
    const char *const bad[] = {"a", " a ", "\u180e", "\u200b", "\ufeff", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert(text_is_blank(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!text_is_blank(bad[i], strlen(bad[i])));
}
END_TEST

START_TEST(quoted)
{
    buf out;
    buf_init(&out, 0);
    const char text[] = "a\"b\\\a\n\x01\x7f\xff\xc3\xa4\xc2\xa0";
    text_append_quoted(&out, text, sizeof text - 1);
    ck_assert_str_eq(out.data, "\"a\\\"b\\\\\\a\\n\\x01\\x7f\\xff\xc3\xa4\\u00a0\"");
    buf_clear(&out);
    /* As Go's %q: what has no width, no look or another direction is written by its number. */
    const char unseen[] = "\u200b\u202e\ue000\ufeff\u3000\u2028\u00ad\U000e0001\U0010ffff\u0378";
    text_append_quoted(&out, unseen, sizeof unseen - 1);
    ck_assert_str_eq(out.data, "\"\\u200b\\u202e\\ue000\\ufeff\\u3000\\u2028\\u00ad\\U000e0001\\U0010ffff\\u0378\"");
    buf_clear(&out);
    const char seen[] = "\u00e9\u65e5\u0301\u20ac\U0001f600\ufffd";
    text_append_quoted(&out, seen, sizeof seen - 1);
    ck_assert_str_eq(out.data, "\"\u00e9\u65e5\u0301\u20ac\U0001f600\ufffd\"");
    buf_clear(&out);
}
END_TEST

START_TEST(cut)
{
    ck_assert_uint_eq(text_cut("ää", 4, 3), 2);
    ck_assert_uint_eq(text_cut("ab", 2, 5), 2);
    char text[] = "a\xff\xe6\x97";
    text_make_utf8(text, 4);
    ck_assert_str_eq(text, "a???");
}
END_TEST

START_TEST(buffers_have_a_limit)
{
    buf out;
    buf_init(&out, 10);
    buf_append_text(&out, "123456789");
    ck_assert(!buf_failed(&out));
    buf_append_text(&out, "12");
    ck_assert(buf_failed(&out));
    ck_assert_ptr_null(out.data);
    buf_append_text(&out, "1");
    ck_assert_ptr_null(buf_take(&out));
}
END_TEST

START_TEST(arenas_have_a_limit)
{
    arena a;
    arena_init(&a, 1000);
    ck_assert_ptr_nonnull(arena_alloc(&a, 900));
    ck_assert_ptr_null(arena_alloc(&a, 200));
    arena_reset(&a);
    ck_assert_ptr_nonnull(arena_alloc(&a, 200));
    ck_assert_ptr_null(arena_alloc(&a, (size_t)-1));
    arena_clear(&a);
}
END_TEST

START_TEST(durations)
{
    static const struct {
        const char *text;
        int64_t ms; /* below 0: it is none */
    } table[] = {
        {"0", 0},       {"90s", 90000}, {"1h30m", 5400000},    {"1.5d", 129600000},
        {"0.1s", 100},  {"0.4ms", 1}, /* never less than was written */
        {"1.1s", 1100}, {"0.0001s", 1}, {"2w1ms", 1209600001}, {"285000000000000h", -1},
        {"", -1},       {"90", -1},     {"-1s", -1},           {"1x", -1},
        {"1s ", -1},    {".5s", -1},    {"1e3s", -1},          {"0x1s", -1},
        {"infs", -1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t ms = -1;
        ck_assert_msg(duration_read(table[i].text, &ms) == (table[i].ms >= 0), "\"%s\"", table[i].text);
        if (table[i].ms >= 0)
            ck_assert_int_eq(ms, table[i].ms);
    }
}
END_TEST

START_TEST(near_words)
{
    const char *const words[] = {"queue", "retention", "unique"};
    ck_assert_str_eq(nearest_word("quue", words, 3), "queue");
    ck_assert_str_eq(nearest_word("retentoin", words, 3), "retention");
    ck_assert_ptr_null(nearest_word("payload", words, 3));
    ck_assert_ptr_null(nearest_word("q", words, 0));
}
END_TEST

START_TEST(patterns)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } table[] = {
        {"", "", true},          {"a", "a", true},      {"a", "ab", false},     {"a*", "a", true},
        {"a*", "abc", true},     {"*c", "abcc", true},  {"*b", "abc", false},   {"a*b*c", "axbxbc", true},
        {"a*b*c", "acb", false}, {"*", "", true},       {"***", "x", true},     {"", "x", false},
        {"a[b]", "a[b]", true},  {"a[b]", "ab", false}, {"a?", "a?", true},     {"a?", "ab", false},
        {"a\\b", "a\\b", true},  {"[!a]*", "b", false}, {"a/*", "a/b/c", true}, {"\xff*", "\xff.", true},
        {"[", "[", true},        {"a*", "*a", false},   {"a*b", "a*b", true},   {".*", ".x", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(text_matches(table[i].pattern, table[i].text) == table[i].fits, "%s, %s", table[i].pattern,
                      table[i].text);
}
END_TEST

Suite *suite_text(void)
{
    const TTest *const list[] = {utf8,      blank,      quoted,   cut, buffers_have_a_limit, arenas_have_a_limit,
                                 durations, near_words, patterns, NULL};
    return suite_of("text and buffers", list);
}
