/* Completions for shells, made from the table of commands. */
#include "cli/commands.h"

#include <string.h>

/* Each noun once, and commands of one word. */
static bool begins_noun(const cli_command *command)
{
    return !command->noun || cli_next_of(command->noun, NULL) == command;
}

static void print_nouns(void)
{
    for (const cli_command *command = cli_commands; command->verb; command++)
        if (begins_noun(command))
            printf("%s ", command->noun ? command->noun : command->verb);
}

static void print_flag_names(const cli_flag *flags)
{
    for (; flags && flags->name; flags++)
        printf("--%s ", flags->name);
}

/* A case of the shell's for each command: its flags; and for each noun: its verbs. */
static void print_cases(const char *before, const char *after)
{
    for (const cli_command *command = cli_commands; command->verb; command++) {
        printf("%s\"%s\"%s", before, cli_command_name(command), after);
        print_flag_names(command->flags);
        print_flag_names(cli_global_flags);
        puts("' ;;");
    }
    for (const cli_command *first = NULL; (first = cli_next_noun(first));) {
        printf("%s\"%s\"%s", before, first->noun, after);
        for (const cli_command *command = NULL; (command = cli_next_of(first->noun, command));)
            printf("%s ", command->verb);
        puts("' ;;");
    }
}

static int complete_bash(void)
{
    puts("# asynqctl: completion for bash\n_asynqctl() {\n    local words=\"\" i\n"
         "    for ((i = 1; i < COMP_CWORD && i < 3; i++)); do\n"
         "        [[ ${COMP_WORDS[i]} == -* ]] || words+=\"${words:+ }${COMP_WORDS[i]}\"\n    done\n"
         "    case \"$words\" in");
    print_cases("    ", ") words='");
    printf("    *) words='");
    print_nouns();
    puts("' ;;\n    esac\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n"
         "complete -F _asynqctl asynqctl");
    return CLI_OK;
}

static int complete_zsh(void)
{
    puts("#compdef asynqctl\n_asynqctl() {\n    local given=\"${words[2,3]}\" list\n"
         "    (( CURRENT == 2 )) && given=''\n    (( CURRENT == 3 )) && given=\"${words[2]}\"\n    case \"$given\" in");
    print_cases("    ", ") list='");
    printf("    *) list='");
    print_nouns();
    puts("' ;;\n    esac\n    compadd -- ${=list}\n}\n_asynqctl \"$@\"");
    return CLI_OK;
}

static void print_fish_flag(const cli_command *command, const cli_flag *flag)
{
    printf("complete -c asynqctl -n '");
    if (command)
        printf("__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s",
               command->noun ? command->noun : command->verb, command->verb);
    printf("' -l %s", flag->name);
    if (flag->letter)
        printf(" -s %c", flag->letter);
    printf("%s -d '%s'\n", flag->kind == CLI_SWITCH ? "" : " -r", flag->help);
}

static int complete_fish(void)
{
    puts("# asynqctl: completion for fish\ncomplete -c asynqctl -f");
    for (const cli_command *command = cli_commands; command->verb; command++) {
        if (begins_noun(command))
            printf("complete -c asynqctl -n __fish_use_subcommand -a %s\n",
                   command->noun ? command->noun : command->verb);
        if (command->noun)
            printf("complete -c asynqctl -n '__fish_seen_subcommand_from %s' -a %s -d '%s'\n", command->noun,
                   command->verb, command->summary);
        for (const cli_flag *flag = command->flags; flag && flag->name; flag++)
            print_fish_flag(command, flag);
    }
    for (const cli_flag *flag = cli_global_flags; flag->name; flag++)
        print_fish_flag(NULL, flag);
    return CLI_OK;
}

int run_completion(cli_run *cli)
{
    static const struct {
        const char *shell;
        int (*print)(void);
    } shells[] = {{"bash", complete_bash}, {"zsh", complete_zsh}, {"fish", complete_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shells[i].shell, cli->arguments[0]) == 0)
            return shells[i].print();
    return cli_complain(CLI_USAGE, "there are completions for bash, zsh and fish, not for \"%s\"", cli->arguments[0]);
}
