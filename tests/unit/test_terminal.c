#include "unit.h"

#include "base/terminal.h"

#include <asynq/log.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

typedef void append_fn(buf *out, const char *text, size_t length);

static void expect(append_fn *append, const char *text, size_t length, const char *wanted)
{
    buf out;
    buf_init(&out, 0);
    append(&out, text, length);
    ck_assert_str_eq(out.data ? out.data : "", wanted);
    buf_clear(&out);
}

START_TEST(escapes)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"plain, \u00e4 \u65e5 \U0001f600 \ufffd", "plain, \u00e4 \u65e5 \U0001f600 \ufffd"},
        {"\x1b[2J\r\n\t\x7f", "\\x1b[2J\\r\\n\\t\\x7f"},
        {"\xc2\x9b\xc2\x85", "\\u009b\\u0085"},
        {"\x9b\xc3", "\\x9b\\xc3"},
        {"\u202e\u2066\u200f\u061c", "\\u202e\\u2066\\u200f\\u061c"},
        {"\u200b\u200d\ufeff\u00ad\U000e0041", "\\u200b\\u200d\\ufeff\\u00ad\\U000e0041"},
        {"\ufe0f\u034f\u3164\u115f\uffa0\U000e0100", "\\ufe0f\\u034f\\u3164\\u115f\\uffa0\\U000e0100"},
        {"\\n\n\\x1b", "\\\\n\\n\\\\x1b"},
        {"e\u0301", "e\u0301"},
        {"\u0301x\n\u0301", "\\u0301x\\n\\u0301"},
        {"e\u0301\u0302\u0303\u0304\u0305\u0306", "e\u0301\u0302\u0303\u0304\\u0305\\u0306"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect(terminal_append, rows[i].text, strlen(rows[i].text), rows[i].shown);
        ck_assert_int_eq(terminal_is_clean(rows[i].text), strcmp(rows[i].text, rows[i].shown) == 0);
    }
    expect(terminal_append, "a\0b", 3, "a\\x00b");
    expect(terminal_append_quoted, "a\"\\\u202e", 6, "\"a\\\"\\\\\\u202e\"");
}
END_TEST

START_TEST(json)
{
    const char text[] = "{\"a\\n\":\n\"\u202e\ufe0f\U000e0041\xc2\x9b\u65e5\x7f\xff\"}";
    expect(terminal_append_json, text, sizeof text - 1,
           "{\"a\\n\":\n\"\\u202e\\ufe0f\\udb40\\udc41\\u009b\u65e5\\u007f\\ufffd\"}");
}
END_TEST

static void choose_locale(const char *all, const char *ctype, const char *lang)
{
    setenv("LC_ALL", all, 1);
    setenv("LC_CTYPE", ctype, 1);
    setenv("LANG", lang, 1);
    terminal_use_locale();
}

/* A character's bytes are other characters in a locale without UTF-8; whoever chose none has UTF-8. */
START_TEST(locales)
{
    choose_locale("", "", "");
    ck_assert(terminal_has(0x65e5));
    expect(terminal_append, "\u65e5", 3, "\u65e5");
    choose_locale("", "", "C");
    ck_assert(!terminal_has(0x65e5));
    expect(terminal_append, "\u65e5a", 4, "\\u65e5a");
    expect(terminal_append_json, "\"\u65e5\"", 5, "\"\\u65e5\"");
    choose_locale("C.UTF-8", "", "C");
    ck_assert(terminal_has(0x65e5));
    choose_locale("", "C", "C.UTF-8");
    ck_assert(!terminal_has(0x65e5));
    choose_locale("no_SUCH", "", "");
    ck_assert(!terminal_has(0x65e5));
}
END_TEST

START_TEST(widths)
{
    const char text[] = "a\u65e5\u672c\u00e9e\u0301\U0001f600";
    choose_locale("", "", "");
    ck_assert_int_eq(terminal_width(text, strlen(text)), 1 + 2 + 2 + 1 + 1 + 2);
    ck_assert_uint_eq(terminal_fit(text, 100), strlen(text));
    ck_assert_uint_eq(terminal_fit(text, 2), 1); /* half of a wide one is none */
    ck_assert_uint_eq(terminal_fit(text, 3), 4);
    ck_assert_uint_eq(terminal_fit(text, 7), strlen(text) - 4); /* a mark belongs to the letter before it */
    ck_assert_uint_eq(terminal_fit(text, 0), 0);
}
END_TEST

/* A vowel of Korean stands behind a letter. */
START_TEST(syllables)
{
    choose_locale("", "", "");
    expect(terminal_append, "\u1112\u1161\u11ab", 9, "\u1112\u1161\u11ab");
    expect(terminal_append, "\u1161", 3, "\\u1161");
    ck_assert_int_eq(terminal_width("\u1112\u1161\u11ab", 9), 2);
}
END_TEST

/* What the C library does not know has no width that one could count; it is escaped. */
START_TEST(all_has_a_width)
{
    choose_locale("", "", "");
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char text[8];
        mbstate_t state = {0};
        size_t length = c >= 0xd800 && c < 0xe000 ? (size_t)-1 : wcrtomb(text, (wchar_t)c, &state);
        if (length > sizeof text || !c)
            continue;
        text[length] = '\0';
        ck_assert_msg(!terminal_is_clean(text) || wcwidth((wchar_t)c) > 0, "U+%04X", (unsigned)c);
    }
}
END_TEST

/* The log of programs that have no other. */
START_TEST(log_lines)
{
    char text[512] = "";
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    ck_assert(file && kept >= 0);
    dup2(fileno(file), STDERR_FILENO);
    asynq_log_to_stderr(ASYNQ_LOG_WARN,
                        "\x1b]0;x\a \xc2\x9b"
                        "31m \u202e a\nb \xff\\n",
                        NULL);
    dup2(kept, STDERR_FILENO);
    rewind(file);
    ck_assert(fgets(text, sizeof text, file));
    ck_assert_ptr_nonnull(strstr(text, " WARN: \\x1b]0;x\\a \\u009b31m \\u202e a\\nb \\xff\\\\n\n"));
    ck_assert_ptr_null(fgets(text, sizeof text, file));
    fclose(file);
}
END_TEST

Suite *suite_terminal(void)
{
    const TTest *const list[] = {escapes, json, locales, widths, syllables, all_has_a_width, log_lines, NULL};
    return suite_of("terminal", list);
}
