/*
 * Lines for people. Ids, queues and errors come from Redis, and anybody may have written them: whatever could steer a
 * terminal, or make a line look like another one, is escaped here, on its way out.
 */
#include "cli/cli.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/terminal.h"
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
    terminal_append(&out, text, strlen(text));
    return taken(&out);
}

char *cli_escape_bytes(const void *data, size_t length, size_t max)
{
    size_t shown = text_cut(data, length, max);
    buf out;
    buf_init(&out, 0);
    terminal_append(&out, data, shown);
    if (shown < length)
        buf_append_text(&out, cli_ellipsis());
    return taken(&out);
}

const char *cli_ellipsis(void)
{
    return terminal_has(0x2026) ? "…" : "~";
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

void cli_say(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)terminal_linev(out, "", format, args); /* whether all is written is asked of the stream, at the end */
    va_end(args);
}

/* Its line ends are kept. */
static bool print_shown(const char *text, size_t length)
{
    buf out;
    buf_init(&out, 0);
    for (size_t line; length; text += line, length -= line) {
        const char *end = memchr(text, '\n', length);
        line = end ? (size_t)(end - text) + 1 : length;
        terminal_append(&out, text, end ? line - 1 : line);
        buf_append_text(&out, "\n");
    }
    bool is_written = !buf_failed(&out) && fwrite(out.data ? out.data : "", 1, out.length, stdout) == out.length;
    buf_clear(&out);
    return is_written;
}

bool cli_print_raw(const char *text, size_t length)
{
    if (!isatty(STDOUT_FILENO))
        return fwrite(text, 1, length, stdout) == length;
    return print_shown(text, length);
}

int cli_complain(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)terminal_linev(stderr, "asynqctl: ", format, args);
    va_end(args);
    return status;
}

int cli_fail(const asynq_error *error)
{
    static const struct {
        int code;
        cli_exit status;
    } rows[] = {{ASYNQ_E_NOT_FOUND, CLI_NOT_FOUND},
                {ASYNQ_E_QUEUE_NOT_FOUND, CLI_NOT_FOUND},
                {ASYNQ_E_TASK_NOT_FOUND, CLI_NOT_FOUND},
                {ASYNQ_E_INVALID, CLI_USAGE},
                {ASYNQ_E_TIMEOUT, CLI_TIMED_OUT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == error->code)
            return cli_complain(rows[i].status, "%s", error->text);
    return cli_complain(CLI_FAILED, "%s", error->text);
}
