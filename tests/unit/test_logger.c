#include "unit.h"

#include "daemon/config.h"
#include "daemon/logger.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The line of a message and a field, as it comes out. */
static const char *line_of(int format, const char *text)
{
    static char line[1024];
    logger log;
    const log_field field = {.name = "type", .text = text};
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    ck_assert(file && kept >= 0);
    dup2(fileno(file), STDERR_FILENO);
    ck_assert_int_eq(logger_init(&log, format, LOG_OUTPUT_STDERR, ASYNQ_LOG_INFO), 0);
    logger_write(&log, ASYNQ_LOG_INFO, "m", &field, 1);
    logger_clear(&log);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    ck_assert(fgets(line, sizeof line, file));
    fclose(file);
    return line;
}

/* What a task's texts consist of steers no terminal, and a reader of the format finds it again. */
START_TEST(texts)
{
    static const struct {
        const char *text, *logfmt, *json;
    } rows[] = {
        {"email:send", " type=email:send\n", ",\"type\":\"email:send\"}\n"},
        {"a \"b\" \\n\n", " type=\"a \\\"b\\\" \\\\n\\n\"\n", ",\"type\":\"a \\\"b\\\" \\\\n\\n\"}\n"},
        {"\x1b[2J\x7f", " type=\"\\u001b[2J\\u007f\"\n", ",\"type\":\"\\u001B[2J\\u007f\"}\n"},
        {"\xc2\x9b", " type=\"\\u009b\"\n", ",\"type\":\"\\u009b\"}\n"},
        {"\u202e\u200b\ufe0f", " type=\"\\u202e\\u200b\\ufe0f\"\n", ",\"type\":\"\\u202e\\u200b\\ufe0f\"}\n"},
        {"\U000e0041", " type=\"\\udb40\\udc41\"\n", ",\"type\":\"\\udb40\\udc41\"}\n"},
        {"\u65e5\u00e9", " type=\u65e5\u00e9\n", ",\"type\":\"\u65e5\u00e9\"}\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *line = line_of(LOG_FORMAT_LOGFMT, rows[i].text);
        ck_assert_msg(strstr(line, rows[i].logfmt) != NULL, "%s", line);
        line = line_of(LOG_FORMAT_JSON, rows[i].text);
        ck_assert_msg(strstr(line, rows[i].json) != NULL, "%s", line);
    }
}
END_TEST

Suite *suite_logger(void)
{
    const TTest *const list[] = {texts, NULL};
    return suite_of("logger", list);
}
