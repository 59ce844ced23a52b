/* Redis behind, a person in front. */
#include "cli/cli.h"

#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- errors ---- */

/* ---- Redis ---- */

static void print_log(asynq_log_level level, const char *text, void *arg)
{
    (void)level, (void)arg;
    cli_complain(CLI_OK, "%s", text);
}

const char *cli_uri(const cli_run *cli)
{
    return cli_given(cli, "uri") ? cli_text(cli, "uri") : getenv("ASYNQ_REDIS_URI");
}

const char *cli_prefix(const cli_run *cli)
{
    return cli_given(cli, "prefix") ? cli_text(cli, "prefix") : getenv("ASYNQ_PREFIX");
}

int cli_connect(cli_run *cli)
{
    asynq_error error;
    cli->inspector = asynq_inspector_new(
        &(asynq_inspector_options){
            .redis = cli_uri(cli),
            .prefix = cli_prefix(cli),
            .timeout_ms = cli_number(cli, "timeout"),
            .log = cli_given(cli, "verbose") ? print_log : NULL,
        },
        &error);
    return cli->inspector ? CLI_OK : cli_fail(&error);
}

/* ---- questions ---- */

bool cli_confirm(const cli_run *cli, const char *format, ...)
{
    char answer[16], question[512];
    va_list args;
    if (cli_given(cli, "yes"))
        return true;
    va_start(args, format);
    vsnprintf(question, sizeof question, format, args);
    va_end(args);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        cli_complain(CLI_DECLINED, "%s: nobody is here to ask; give --yes if you mean it", question);
        return false;
    }
    fprintf(stderr, "%s? [y/N] ", cli_escape(question));
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    cli_complain(CLI_DECLINED, "nothing was done");
    return false;
}

/* ---- long work ---- */

enum { PROGRESS_FROM_MS = 1000, PROGRESS_EVERY_MS = 200 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

bool cli_is_interrupted(void)
{
    return interrupted != 0;
}

bool cli_show_progress(int64_t done, int64_t total, void *arg)
{
    cli_progress *progress = arg;
    int64_t now_ms = clock_steady_ms();
    if (!progress->begun_at_ms) {
        progress->begun_at_ms = now_ms;
        struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
        sigaction(SIGINT, &action, NULL); /* the first one stops in good order, the second at once */
    }
    if (isatty(STDERR_FILENO) && now_ms - progress->begun_at_ms >= PROGRESS_FROM_MS &&
        now_ms - progress->shown_at_ms >= PROGRESS_EVERY_MS) {
        double rate = (double)done / (double)(now_ms - progress->begun_at_ms);
        char left[32];
        cli_format_duration(rate > 0 ? (int64_t)((double)(total - done) / rate) : 0, left);
        fprintf(stderr, "\r\033[K%s: %" PRId64 " of %" PRId64 ", %s left", progress->what, done, total, left);
        progress->shown_at_ms = now_ms;
    }
    return !interrupted;
}

void cli_end_progress(cli_progress *progress)
{
    if (progress->shown_at_ms)
        fputs("\r\033[K", stderr);
}
