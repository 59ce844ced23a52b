/* Help, made from the table of commands. */
#include "cli/cli.h"

#include <string.h>

static void help_print_flags(const char *title, const cli_flag *flags, FILE *out)
{
    if (!flags || !flags->name)
        return;
    fprintf(out, "\n%s\n", title);
    for (; flags->name; flags++) {
        char left[64], letter[8] = "    ";
        if (flags->letter)
            snprintf(letter, sizeof letter, "-%c, ", flags->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, flags->name, flags->value ? " " : "",
                 flags->value ? flags->value : "");
        fprintf(out, "  %-26s %s%s", left, flags->help, flags->required ? " (required)" : "");
        if (flags->initial)
            fprintf(out, " (default %s)", flags->initial);
        fputc('\n', out);
    }
}

static void help_print_summary(const cli_command *command, FILE *out)
{
    fprintf(out, "  %-18s %s\n", cli_command_name(command), command->summary);
}

enum { LINE_MAX = 78 };

static void print_folded(const char *text, FILE *out)
{
    size_t column = 0;
    for (const char *word = text; *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        bool begins_line = !column || column + 1 + length > LINE_MAX;
        fprintf(out, "%s%.*s", !column ? "" : begins_line ? "\n" : " ", (int)length, word);
        column = begins_line ? length : column + 1 + length;
        word += length;
    }
    fputc('\n', out);
}

static void help_of_program(FILE *out)
{
    fputs("asynqctl inspects and manages Asynq's queues in Redis.\n\n"
          "usage: asynqctl COMMAND [ARGUMENT...] [FLAG...]\n\ncommands:\n",
          out);
    for (const cli_command *command = cli_commands; command->verb; command++)
        help_print_summary(command, out);
    help_print_flags("global flags:", cli_global_flags, out);
    fputs("\nEach command has a --help of its own.\n", out);
}

void cli_help_noun(const char *noun, FILE *out)
{
    fprintf(out, "usage: asynqctl %s COMMAND [ARGUMENT...] [FLAG...]\n\ncommands:\n", noun);
    for (const cli_command *command = NULL; (command = cli_next_of(noun, command));)
        help_print_summary(command, out);
    fputs("\nEach command has a --help of its own.\n", out);
}

void cli_help(const cli_command *command, FILE *out)
{
    if (!command) {
        help_of_program(out);
        return;
    }
    fprintf(out, "%s\n\nusage: asynqctl %s%s%s [FLAG...]\n", command->summary, cli_command_name(command),
            *command->arguments ? " " : "", command->arguments);
    if (command->aliases)
        fprintf(out, "aliases: %s\n", command->aliases);
    if (command->details) {
        fputc('\n', out);
        print_folded(command->details, out);
    }
    fprintf(out, "\nexample: %s\n", command->example);
    help_print_flags("flags:", command->flags, out);
    help_print_flags("global flags:", cli_global_flags, out);
}
