/* Reading the command line by the tables. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- values ---- */

/* RFC 3339; or without an offset, or with a date alone: local time. */
static bool read_calendar(const char *text, int64_t *at_ms)
{
    struct tm parts = {.tm_isdst = -1};
    if (clock_read_time(text, at_ms))
        return true;
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (rest && (*rest == 'T' || *rest == ' '))
        rest = strptime(rest + 1, "%H:%M:%S", &parts);
    if (!rest || *rest || !clock_is_real_time(&parts))
        return false;
    *at_ms = (int64_t)mktime(&parts) * MS_PER_SECOND;
    return true;
}

int64_t cli_now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

bool cli_read_time(const char *text, int64_t *at_ms)
{
    int64_t ms;
    int64_t now_ms = cli_now_ms();
    if (strcmp(text, "now") == 0) {
        *at_ms = now_ms;
        return true;
    }
    if ((*text == '-' || *text == '+') && duration_read(text + 1, &ms)) {
        *at_ms = *text == '-' ? now_ms - ms : now_ms + ms;
        return true;
    }
    char *end;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (end > text && !*end && !errno && seconds > 0 && seconds < INT64_MAX / 1000) {
        *at_ms = seconds * 1000;
        return true;
    }
    return read_calendar(text, at_ms);
}

static int options_read_value(const cli_flag *flag, const char *text, cli_value *value)
{
    static const char *const forms[] = {
        [CLI_NUMBER] = "a whole number from 0 on",
        [CLI_DURATION] = DURATION_FORM,
        [CLI_TIME] = "a time such as 2026-01-02T15:04:05Z, -2h, +10m or Unix seconds",
        [CLI_STATE] = "one of active, pending, scheduled, retry, archived, completed, aggregating",
    };
    asynq_state state = 0;
    bool fits = true;
    *value = (cli_value){flag, text, 0};
    if (flag->kind == CLI_NUMBER)
        fits = text_read_number(text, &value->number);
    else if (flag->kind == CLI_DURATION)
        fits = duration_read(text, &value->number);
    else if (flag->kind == CLI_TIME)
        fits = cli_read_time(text, &value->number);
    else if (flag->kind == CLI_STATE && (fits = asynq_state_from_name(text, &state)))
        value->number = state;
    return fits ? CLI_OK : cli_complain(CLI_USAGE, "--%s: \"%s\" is not %s", flag->name, text, forms[flag->kind]);
}

/* ---- flags ---- */

static const cli_flag *flag_in(const cli_flag *flags, const char *name, size_t length, char letter)
{
    for (; flags && flags->name; flags++)
        if (letter ? flags->letter == letter : strlen(flags->name) == length && strncmp(flags->name, name, length) == 0)
            return flags;
    return NULL;
}

static const cli_flag *find_flag(const cli_command *command, const char *name, size_t length, char letter)
{
    const cli_flag *found = command ? flag_in(command->flags, name, length, letter) : NULL;
    return found ? found : flag_in(cli_global_flags, name, length, letter);
}

static int unknown_flag(const cli_command *command, const char *word)
{
    const char *names[2 * CLI_FLAGS_MAX];
    char name[64];
    size_t count = 0;
    for (const cli_flag *flag = command ? command->flags : NULL; flag && flag->name; flag++)
        names[count++] = flag->name;
    for (const cli_flag *flag = cli_global_flags; flag->name; flag++)
        names[count++] = flag->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="), word + strspn(word, "-"));
    const char *nearest = nearest_word(name, names, count);
    if (nearest)
        return cli_complain(CLI_USAGE, "there is no flag %s; did you mean --%s?", word, nearest);
    return cli_complain(CLI_USAGE, "there is no flag %s; see --help", word);
}

static cli_value *options_value_of(const cli_run *cli, const char *name)
{
    for (size_t i = 0; i < cli->value_count; i++)
        if (strcmp(cli->values[i].flag->name, name) == 0)
            return (cli_value *)&cli->values[i];
    return NULL;
}

bool cli_given(const cli_run *cli, const char *flag)
{
    return options_value_of(cli, flag) != NULL;
}

const char *cli_text(const cli_run *cli, const char *flag)
{
    const cli_value *value = options_value_of(cli, flag);
    return value ? value->text : NULL;
}

int64_t cli_number(const cli_run *cli, const char *flag)
{
    const cli_value *value = options_value_of(cli, flag);
    return value ? value->number : 0;
}

/* A flag given twice: the last one counts. */
static int add_value(cli_run *cli, const cli_flag *flag, const char *text)
{
    cli_value value = {flag, "", 1};
    int status = flag->kind == CLI_SWITCH ? CLI_OK : options_read_value(flag, text, &value);
    if (status)
        return status;
    cli_value *known = options_value_of(cli, flag->name);
    if (known)
        *known = value;
    else if (cli->value_count < CLI_FLAGS_MAX)
        cli->values[cli->value_count++] = value;
    return CLI_OK;
}

/* Reads the flag at *at; moves on over its value. */
static int parse_flag(cli_run *cli, char **words, int count, int *at)
{
    const char *word = words[*at], *name = word + 1, *text = NULL;
    char letter = *name;
    size_t length = 0;
    if (*name == '-') {
        name++;
        letter = '\0';
        length = strcspn(name, "=");
        text = name[length] ? name + length + 1 : NULL;
    } else if (name[1]) {
        text = name + 1 + (name[1] == '=');
    }
    const cli_flag *flag = find_flag(cli->command, name, length, letter);
    if (!flag)
        return unknown_flag(cli->command, word);
    if (flag->kind == CLI_SWITCH && text)
        return cli_complain(CLI_USAGE, "--%s takes no value", flag->name);
    if (flag->kind != CLI_SWITCH && !text) {
        if (*at + 1 >= count)
            return cli_complain(CLI_USAGE, "--%s needs a value: %s", flag->name, flag->value);
        text = words[++*at];
    }
    return add_value(cli, flag, text);
}

/* ---- commands ---- */

static const cli_command *find_command(const char *noun, const char *verb)
{
    for (const cli_command *command = cli_commands; command->verb; command++) {
        bool fits_noun = command->noun ? noun && strcmp(command->noun, noun) == 0 : !noun;
        if (fits_noun && (strcmp(command->verb, verb) == 0 || text_has_word(command->aliases, verb, strlen(verb))))
            return command;
    }
    return NULL;
}

static int unknown_command(const char *noun, const char *word)
{
    const char *names[256];
    size_t count = 0;
    for (const cli_command *command = cli_commands; command->verb && count < 256; command++)
        if (!noun)
            names[count++] = command->noun ? command->noun : command->verb;
        else if (command->noun && strcmp(command->noun, noun) == 0)
            names[count++] = command->verb;
    const char *nearest = nearest_word(word, names, count);
    const char *space = noun ? " " : "";
    noun = noun ? noun : "";
    if (nearest)
        return cli_complain(CLI_USAGE, "there is no command \"%s%s%s\"; did you mean \"asynqctl %s%s%s\"?", noun, space,
                            word, noun, space, nearest);
    return cli_complain(CLI_USAGE, "there is no command \"%s%s%s\"; see asynqctl %s%s--help", noun, space, word, noun,
                        space);
}

/* Takes the one or two words that name the command out of `words`. */
static int parse_command(cli_run *cli, char **words, int *count)
{
    const char *noun = NULL;
    int left = 0;
    bool takes_value = false;
    for (int i = 0; i < *count; i++) {
        bool is_flag = words[i][0] == '-' || takes_value;
        const cli_flag *flag = NULL;
        if (is_flag && !takes_value && !strchr(words[i], '='))
            flag = words[i][1] == '-' ? flag_in(cli_global_flags, words[i] + 2, strlen(words[i] + 2), '\0')
                                      : flag_in(cli_global_flags, NULL, 0, words[i][2] ? '\0' : words[i][1]);
        takes_value = flag && flag->kind != CLI_SWITCH;
        if (is_flag || cli->command) {
            words[left++] = words[i];
        } else if (!noun && cli_next_of(words[i], NULL)) {
            noun = words[i];
        } else {
            cli->command = find_command(noun, words[i]);
            if (!cli->command)
                return unknown_command(noun, words[i]);
        }
        if (cli->command)
            takes_value = false;
    }
    *count = left;
    bool wants_help = false;
    for (int i = 0; i < left; i++)
        wants_help |= strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0;
    if (!cli->command && noun) {
        cli_help_noun(noun, wants_help ? stdout : stderr);
        exit(wants_help ? CLI_OK : CLI_USAGE);
    }
    return CLI_OK;
}

static int check_arguments(const cli_run *cli)
{
    const cli_command *command = cli->command;
    const char *name = cli_command_name(command);
    if (cli->argument_count < command->min)
        return cli_complain(CLI_USAGE, "asynqctl %s needs %s", name, command->arguments);
    if (command->max >= 0 && cli->argument_count > command->max)
        return cli_complain(CLI_USAGE, "asynqctl %s takes %s%s; \"%s\" is too much", name,
                            command->max ? "" : "no arguments", command->arguments, cli->arguments[command->max]);
    for (const cli_flag *flag = command->flags; flag && flag->name; flag++)
        if (flag->required && !cli_given(cli, flag->name))
            return cli_complain(CLI_USAGE, "--%s %s is needed: %s", flag->name, flag->value, flag->help);
    return CLI_OK;
}

int cli_parse(cli_run *cli, int argc, char **argv)
{
    int count = argc - 1;
    char **words = argv + 1;
    int status = parse_command(cli, words, &count);
    bool only_arguments = false;
    for (int i = 0; i < count && !status; i++) {
        if (!only_arguments && strcmp(words[i], "--") == 0)
            only_arguments = true;
        else if (!only_arguments && words[i][0] == '-' && words[i][1])
            status = parse_flag(cli, words, count, &i);
        else if (cli->argument_count < CLI_ARGUMENTS_MAX)
            cli->arguments[cli->argument_count++] = words[i];
    }
    if (status || !cli->command || cli_given(cli, "help"))
        return status;
    return check_arguments(cli);
}
