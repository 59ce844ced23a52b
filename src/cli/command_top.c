/* "asynqctl top": the loop. */
#include "cli/top.h"

#include "base/clock.h"
#include "redis/uri.h"

#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_WITHIN_MS = 1000, ESCAPE_DELAY_MS = 50, EARLY_MS = 20, EARLY_MAX = 20 };

/* An inspector that gives up soon: keys wait as long as it does. */
static int connect_anew(cli_run *cli)
{
    asynq_error error;
    asynq_inspector_free(cli->inspector);
    cli->inspector = asynq_inspector_new(
        &(asynq_inspector_options){
            .redis = cli_uri(cli),
            .prefix = cli_prefix(cli),
            .timeout_ms = cli_given(cli, "timeout") ? cli_number(cli, "timeout") : ANSWER_WITHIN_MS,
        },
        &error);
    return cli->inspector ? CLI_OK : cli_fail(&error);
}

/* Without a password, wherever it stands in the URI. */
static void top_describe_place(const char *uri, char *place, size_t size)
{
    redis_uri parsed;
    snprintf(place, size, "127.0.0.1:6379");
    if (!uri || redis_uri_parse(&parsed, uri, NULL))
        return;
    redis_uri_describe(&parsed, place, size);
    redis_uri_clear(&parsed);
}

static void top_run_loop(top *t, int64_t every_ms)
{
    int64_t look_at_ms = 0;
    top_draw(t);
    int early = 0; /* times in a row that nothing came before its time: the terminal has gone */
    while (!t->ends && !cli_is_interrupted()) {
        int64_t now_ms = clock_steady_ms();
        t->page_size = LINES > 6 ? LINES - 5 : 1;
        if (t->page_size > TOP_PAGE_MAX)
            t->page_size = TOP_PAGE_MAX;
        if (now_ms >= look_at_ms) {
            top_look(t);
            look_at_ms = now_ms + every_ms;
        }
        top_draw(t);
        int64_t left_ms = look_at_ms - clock_steady_ms();
        timeout(left_ms > 0 ? (int)left_ms : 0);
        int key = getch();
        early = key == ERR && look_at_ms - clock_steady_ms() > EARLY_MS ? early + 1 : 0;
        t->ends = early > EARLY_MAX;
        if (key == KEY_RESIZE)
            look_at_ms = 0; /* more rows may fit */
        else if (key != ERR)
            top_key(t, key);
    }
}

int run_top(cli_run *cli)
{
    top t = {.cli = cli, .state = ASYNQ_STATE_PENDING, .page = 1};
    int64_t every_ms = cli_given(cli, "every") ? cli_number(cli, "every") : MS_PER_SECOND;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cli_complain(CLI_USAGE, "top needs a terminal; \"queue ls\" and \"server ls\" print what it shows");
    if (every_ms < 100)
        return cli_complain(CLI_USAGE, "--every: at least 100ms");
    int status = connect_anew(cli);
    if (status)
        return status;
    t.inspector = cli->inspector;
    char place[200];
    top_describe_place(cli_uri(cli), place, sizeof place);
    t.place = place;
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return cli_complain(CLI_FAILED, "the terminal \"%s\" is not known; set TERM", getenv("TERM"));
    set_escdelay(ESCAPE_DELAY_MS);
    cbreak();
    noecho();
    keypad(stdscr, true);
    curs_set(0);
    top_run_loop(&t, every_ms);
    endwin();
    delscreen(screen);
    top_forget(&t);
    return CLI_OK;
}
