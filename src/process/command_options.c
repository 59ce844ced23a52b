/* See command_options.h. */
#include "process/command_options.h"

#include "base/error.h"
#include "base/text.h"
#include "process/argv_code.h"
#include "process/program.h"
#include "process/remote_files.h"

#include <string.h>

static const char *const input_names[] = {
    [INPUT_PAYLOAD] = "payload", [INPUT_FILE] = "file", [INPUT_NONE] = "none", NULL};

#define COMMAND(field) offsetof(command_options, field)
const setting command_table[] = {
    {.name = "argv",
     .kind = SETTING_LIST,
     .offset = COMMAND(argv),
     .is_code = argv_code_is_for_shell,
     .value = "[WORD, ...]",
     .example = "[convert, \"{{payload.file}}\", out.png]",
     .help = "Program and arguments, run without a shell. Placeholders are filled from the task."},
    {.name = "options_from_tasks",
     .kind = SETTING_SWITCH,
     .offset = COMMAND(takes_options),
     .preset = "false",
     .help = "Allow words of `argv` that begin with a placeholder to begin with \"-\", as an option of the program. "
             "Otherwise such a task is archived, unless a \"--\" precedes the word."},
    {.name = "shell",
     .kind = SETTING_TEXT,
     .offset = COMMAND(shell),
     .value = "TEXT",
     .is_literal = true,
     .help = "Script for /bin/sh, instead of `argv`; `${NAME}` is expanded by the shell. It can have no placeholders; "
             "the words of `argv` are its $1, $2, ..."},
    {.name = "input",
     .kind = SETTING_CHOICE,
     .offset = COMMAND(input),
     .choices = input_names,
     .preset = "payload",
     .help = "Input of the command: the payload on standard input; a file with it, whose path is in "
             "$ASYNQ_PAYLOAD_FILE; or none."},
    {.name = "timeout",
     .kind = SETTING_DURATION,
     .offset = COMMAND(timeout_ms),
     .preset = "0",
     .help = "Maximum duration of a run. 0: as long as the task may run. It ends at the task's deadline in any case."},
    {.name = "kill_timeout",
     .kind = SETTING_DURATION,
     .offset = COMMAND(grace_ms),
     .preset = "5s",
     .help = "Time between the signals TERM and KILL to the process group, at the timeout, at the deadline and on "
             "cancellation."},
    {.name = "success_statuses",
     .kind = SETTING_LIST,
     .offset = COMMAND(success),
     .has_numbers = true,
     .preset = "0",
     .value = "[NUMBER, ...]",
     .help = "Exit statuses that mean success."},
    {.name = "permanent_statuses",
     .kind = SETTING_LIST,
     .offset = COMMAND(permanent),
     .has_numbers = true,
     .preset = "64,65,66,77,78",
     .value = "[NUMBER, ...]",
     .help = "Exit statuses after which the task is archived at once, as retrying is useless; see sysexits.h(3head). "
             "After all others it is retried."},
    {.name = "result_limit",
     .kind = SETTING_SIZE,
     .offset = COMMAND(max_result),
     .preset = "64kB",
     .max = 64 << 20,
     .help = "Maximum size of the result, which is the beginning of standard output."},
    {.name = "error_limit",
     .kind = SETTING_SIZE,
     .offset = COMMAND(max_error),
     .preset = "2kB",
     .max = 8000,
     .help = "Maximum size of the end of standard error that becomes part of the error."},
    {.name = "output",
     .kind = SETTING_GROUP,
     .offset = COMMAND(output),
     .group = output_table,
     .help = "Use of the command's output, standard output and error together."},
    {.name = "process",
     .kind = SETTING_GROUP,
     .offset = COMMAND(process),
     .group = process_table,
     .help = "Environment and limits of the process."},
    {0},
};

static int prepare_codes(settings *file, settings_node *node, const char *name, const setting_list *list, bool *codes,
                         asynq_error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        int64_t code;
        if (!text_read_number(list->items[i], &code) || code > 255)
            return settings_complain(file, node, error, "%s: \"%s\" is no exit status; they are 0 to 255", name,
                                     list->items[i]);
        codes[code] = true;
    }
    return ASYNQ_OK;
}

/* A value that a task says is a word of its own, or a part of one, but never a part of a program. */
static bool is_code_from_tasks(const command_options *options, size_t index)
{
    const setting_list before = {options->argv.items, index};
    return !options->shell && strstr(options->argv.items[index], "{{") && argv_code_is_next(&before);
}

static int prepare_words(settings *file, settings_node *node, command_options *options, asynq_error *error)
{
    const char *wrong = program_check_words(&options->argv);
    if (wrong)
        return settings_complain(file, node, error, "argv: \"%s\" %s", options->argv.items[0], wrong);
    options->words = arena_alloc(settings_memory(file), options->argv.count * sizeof *options->words + 1);
    if (!options->words)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    memset(options->words, 0, options->argv.count * sizeof *options->words);
    for (size_t i = 0; i < options->argv.count; i++) {
        asynq_error problem;
        if (is_code_from_tasks(options, i))
            return settings_complain(file, node, error,
                                     "argv[%zu]: is code with a placeholder, whose value could be a command; put it "
                                     "into a word behind the code, which a shell calls \"$1\" if a name is between "
                                     "them: [sh, -c, 'echo \"$1\"', sh, '{{payload.name}}']",
                                     i);
        if (template_new(&options->words[i], options->argv.items[i], TEMPLATE_TEXT, &problem))
            return settings_complain(file, node, error, "argv[%zu]: %s", i, problem.text);
    }
    return ASYNQ_OK;
}

const char *command_options_program(const command_options *options)
{
    return options->shell ? "/bin/sh" : options->argv.items[0];
}

int command_options_prepare(settings *file, settings_node *node, void *target, asynq_error *error)
{
    command_options *options = target;
    if (!options->argv.count && !options->shell)
        return settings_complain(file, node, error, "argv is missing");
    if (options->shell && strstr(options->shell, "{{"))
        return settings_complain(file, node, error,
                                 "shell: has a placeholder, whose value could be a command; put it into argv and write "
                                 "\"$1\"");
    int status = prepare_words(file, node, options, error);
    if (!status)
        status = prepare_codes(file, node, "success_statuses", &options->success, options->is_success, error);
    if (!status)
        status = prepare_codes(file, node, "permanent_statuses", &options->permanent, options->is_permanent, error);
    if (status)
        return status;
    settings_enter(file, "process");
    status = process_prepare(file, node, &options->process, error);
    settings_leave(file);
    options->process.is_remote =
        !status && remote_files_are_needed(&options->process, command_options_program(options));
    return status;
}

void command_options_look(const void *target, const outside *to)
{
    const command_options *options = target;
    program_look(to, &options->process, command_options_program(options));
}

void command_options_clear(void *target)
{
    command_options *options = target;
    for (size_t i = 0; options->words && i < options->argv.count; i++)
        template_free(options->words[i]);
}
