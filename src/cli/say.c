/*
 * Lines for people. Ids, queues and errors come from Redis, and anybody may have written them: whatever could steer a
 * terminal, or make a line look like another one, is escaped here, on its way out.
 */
#include "cli/cli.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *taken(buf *out)
{
    char *copy = buf_take(out);
    copy = copy ? copy : mem_strdup("");
    if (!copy)
        abort();
    return copy;
}

char *cli_escape_copy(const char *text)
{
    buf out;
    buf_init(&out, 0);
    text_append_printable(&out, text, strlen(text));
    return taken(&out);
}

const char *cli_escape(const char *text)
{
    static char *kept[8];
    static size_t next;
    next = (next + 1) % (sizeof kept / sizeof *kept);
    mem_free(kept[next]);
    kept[next] = cli_escape_copy(text);
    return kept[next];
}

static void say(FILE *out, const char *begin, const char *format, va_list args)
{
    buf text;
    buf_init(&text, 0);
    buf_append_formatv(&text, format, args);
    char *line = taken(&text);
    fprintf(out, "%s%s\n", begin, cli_escape(line));
    mem_free(line);
}

void cli_say(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(out, "", format, args);
    va_end(args);
}

static void say_line(void *arg, const char *line, size_t length)
{
    (void)arg;
    cli_say(stdout, "%.*s", (int)length, line);
}

bool cli_print_raw(const char *text, size_t length)
{
    if (!isatty(STDOUT_FILENO))
        return fwrite(text, 1, length, stdout) == length;
    text_each_line(text, length, say_line, NULL);
    return !ferror(stdout);
}

int cli_complain(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(stderr, "asynqctl: ", format, args);
    va_end(args);
    return status;
}

int cli_fail(const asynq_error *error)
{
    static const struct {
        int code;
        cli_exit status;
    } rows[] = {{ASYNQ_E_NOT_FOUND, CLI_NOT_FOUND}, {ASYNQ_E_INVALID, CLI_USAGE}, {ASYNQ_E_TIMEOUT, CLI_TIMED_OUT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == error->code)
            return cli_complain(rows[i].status, "%s", error->text);
    return cli_complain(CLI_FAILED, "%s", error->text);
}
