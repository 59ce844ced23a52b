/* The manual page, made from the table of commands: "asynqctl manual" prints it, and the installation writes it. */
#include "cli/commands.h"

#include "base/mdoc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A help text, which has neither a capital nor a full stop, as a sentence. */
static void print_sentence(const char *text)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%c%s.", toupper((unsigned char)*text), text + 1);
    mdoc_print(stdout, sentence);
}

static void manual_print_flags(const cli_flag *flags)
{
    if (!flags || !flags->name)
        return;
    puts(".Bl -tag -width Ds");
    for (; flags->name; flags++) {
        printf(".It");
        if (flags->letter)
            printf(" Fl %c ,", flags->letter);
        printf(" Fl Fl %s", flags->name);
        if (flags->value)
            printf(" Ar %s", flags->value);
        putchar('\n');
        print_sentence(flags->help);
        if (flags->required)
            puts("Required.");
        if (flags->initial)
            printf("Default: %s.\n", flags->initial);
    }
    puts(".El");
}

static void print_command(const cli_command *command)
{
    printf(".It Cm %s", cli_command_name(command));
    if (*command->arguments)
        printf(" Ar %s", command->arguments);
    putchar('\n');
    print_sentence(command->summary);
    if (command->aliases)
        printf("Aliases: %s.\n", command->aliases);
    if (command->details)
        mdoc_print(stdout, command->details);
    manual_print_flags(command->flags);
}

static void print_example(const cli_command *command)
{
    puts(".It");
    print_sentence(command->summary);
    printf(".Dl ");
    mdoc_print_word(stdout, command->example);
    putchar('\n');
}

/* Of a whole noun in the page of the program: only where to read about it. */
static void print_noun(const cli_command *first)
{
    printf(".It Cm %s", first->noun);
    for (const cli_command *command = NULL; (command = cli_next_of(first->noun, command));)
        printf(" %s%s", command == first ? "" : "| ", command->verb);
    printf("\nSee\n.Xr asynqctl-%s 1 .\n", first->noun);
}

static void print_global_flags(void)
{
    puts(".Pp\nGlobal flags:");
    manual_print_flags(cli_global_flags);
    puts(".Pp");
    mdoc_print(
        stdout,
        "Durations are written as 90s, 1h30m or 2d; times as 2026-01-02T15:04:05Z, as Unix seconds, or from now as "
        "-2h and +10m.");
}

static const struct {
    cli_exit status;
    const char *meaning;
} statuses[] = {
    {CLI_OK, "Success."},
    {CLI_FAILED, "Redis could not be reached or refused, or a task or queue is not as the command needs it."},
    {CLI_USAGE, "The command line is invalid."},
    {CLI_NOT_FOUND, "The queue, task or entry does not exist."},
    {CLI_DECLINED, "Confirmation was declined, or standard input is not a terminal; nothing was changed."},
    {CLI_FAULTS, "Faults in Redis are left (fsck)."},
    {CLI_TIMED_OUT, "The wait timed out."},
    {CLI_REPAIRED, "All faults in Redis were repaired (fsck with --repair)."},
    {CLI_INTERRUPTED, "Interrupted; the output says what was done before."},
};

static void print_environment(void)
{
    puts(".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev ASYNQ_REDIS_URI\nURI of Redis, unless\n.Fl Fl uri\n"
         "is given.\n.It Ev ASYNQ_PREFIX\nPrefix of all keys in Redis, unless\n.Fl Fl prefix\n"
         "is given.\n.It Ev LC_ALL , LC_CTYPE , LANG\nThe first that is not empty chooses the "
         "characters of the terminal;\nwithout any that is UTF-8.\n.It Ev NO_COLOR\nIf it is not empty, output has no "
         "colours.\n.El");
}

static void print_statuses(void)
{
    puts(".Sh EXIT STATUS\n.Bl -tag -width Ds");
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        printf(".It %d\n", statuses[i].status);
        mdoc_print(stdout, statuses[i].meaning);
    }
    puts(".El");
}

static int compare_nouns(const void *a, const void *b)
{
    return strcmp((*(const cli_command *const *)a)->noun, (*(const cli_command *const *)b)->noun);
}

/* mdoc wants them in the order of the alphabet. */
static void print_references(void)
{
    const cli_command *firsts[32];
    size_t count = 0;
    for (const cli_command *first = NULL; (first = cli_next_noun(first)) && count < 32;)
        firsts[count++] = first;
    qsort(firsts, count, sizeof *firsts, compare_nouns);
    puts(".Sh SEE ALSO");
    for (size_t i = 0; i < count; i++)
        printf(".Xr asynqctl-%s 1 ,\n", firsts[i]->noun);
    puts(".Xr asynq 3");
}

static void print_program(void)
{
    puts(".Dd November 30, 2026\n.Dt ASYNQCTL 1\n.Os\n.Sh NAME\n.Nm asynqctl\n.Nd inspect and manage Asynq's queues in "
         "Redis\n"
         ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Op Ar flag ...\n.Sh DESCRIPTION\n"
         "The commands work on the data of Go's Asynq and libasynq in Redis.");
    mdoc_print(
        stdout,
        "Work on many tasks goes in small steps, so that Redis serves others in between; what takes longer than a "
        "second shows its progress on a terminal.");
    mdoc_print(
        stdout,
        "Control and invisible characters are escaped: `\\n`, `\\x1b`, `\\u202e`. Bytes "
        "that "
        "are no UTF-8 are written as `\\xff`, and so is, in a locale without UTF-8, all but ASCII. A backslash is "
        "written as two. JSON has escapes of its own, which a program reads as the characters. Results and metrics "
        "that do not go to a terminal are as they are.");
    puts(".Pp\nThe commands are:\n.Bl -tag -width Ds");
    for (const cli_command *command = cli_commands; command->verb; command++)
        if (!command->noun)
            print_command(command);
        else if (cli_next_of(command->noun, NULL) == command)
            print_noun(command);
    puts(".El");
    print_global_flags();
    print_environment();
    print_statuses();
    puts(".Sh EXAMPLES\n.Bl -bullet");
    for (const cli_command *command = cli_commands; command->verb; command++)
        if (!command->noun)
            print_example(command);
    puts(".El");
    print_references();
}

/* mdoc wants the title in capitals. */
static void print_title(const char *noun)
{
    printf(".Dd November 30, 2026\n.Dt ASYNQCTL-");
    for (const char *at = noun; *at; at++)
        putchar(toupper((unsigned char)*at));
    printf(" 1\n.Os\n.Sh NAME\n.Nm asynqctl-%s\n.Nd commands of asynqctl: %s\n", noun, noun);
}

static void print_group(const char *noun)
{
    print_title(noun);
    puts(".Sh SYNOPSIS");
    for (const cli_command *command = NULL; (command = cli_next_of(noun, command));) {
        printf(".Nm asynqctl Cm %s", cli_command_name(command));
        printf(*command->arguments ? " Ar %s Op Ar flag ...\n" : "%s Op Ar flag ...\n", command->arguments);
    }
    puts(".Sh DESCRIPTION\n.Bl -tag -width Ds");
    for (const cli_command *command = NULL; (command = cli_next_of(noun, command));)
        print_command(command);
    puts(".El");
    print_global_flags();
    print_environment();
    print_statuses();
    puts(".Sh EXAMPLES\n.Bl -bullet");
    for (const cli_command *command = NULL; (command = cli_next_of(noun, command));)
        print_example(command);
    puts(".El\n.Sh SEE ALSO\n.Xr asynqctl 1");
}

int run_manual(cli_run *cli)
{
    if (!cli->argument_count)
        print_program();
    else if (cli_next_of(cli->arguments[0], NULL))
        print_group(cli->arguments[0]);
    else
        return cli_complain(CLI_USAGE, "no commands begin with \"%s\"; see asynqctl --help", cli->arguments[0]);
    return CLI_OK;
}
