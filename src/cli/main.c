/* asynqctl: looks at queues, and steers them. */
#include "cli/cli.h"

#include "base/terminal.h"

#include <asynq/version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void look_at_terminal(cli_run *cli)
{
    struct winsize size;
    const char *no_colour = getenv("NO_COLOR");
    bool is_terminal = isatty(STDOUT_FILENO);
    cli->in_colour = is_terminal && !(no_colour && *no_colour);
    if (is_terminal)
        cli->width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static int main_run(cli_run *cli)
{
    cli->as_json = cli_given(cli, "json");
    int status = cli_connect(cli);
    if (!status)
        status = cli->command->run(cli);
    asynq_inspector_free(cli->inspector);
    if (fflush(stdout) && !status)
        status = cli_complain(CLI_FAILED, "the output cannot be written");
    return status;
}

int main(int argc, char **argv)
{
    static cli_run cli;
    terminal_use_locale();
    look_at_terminal(&cli);
    cli_commands_prepare();
    int status = cli_parse(&cli, argc, argv);
    if (status)
        return status;
    if (cli_given(&cli, "version")) {
        puts("asynqctl " ASYNQ_VERSION);
        return CLI_OK;
    }
    if (cli_given(&cli, "help") || !cli.command) {
        cli_help(cli.command, cli_given(&cli, "help") ? stdout : stderr);
        return cli_given(&cli, "help") ? CLI_OK : CLI_USAGE;
    }
    return main_run(&cli);
}
