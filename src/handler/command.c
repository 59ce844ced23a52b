/* See command.h. */
#include "handler/command.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "event/timer.h"
#include "handler/output.h"
#include "handler/outside.h"
#include "handler/resources.h"
#include "handler/route.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum command_input { INPUT_PAYLOAD, INPUT_FILE, INPUT_NONE } command_input;

static const char *const input_names[] = {
    [INPUT_PAYLOAD] = "payload", [INPUT_FILE] = "file", [INPUT_NONE] = "none", NULL};

typedef struct command_options {
    setting_list argv;
    const char *shell;
    int input; /* command_input */
    bool takes_options;
    process_options process;
    setting_list success, permanent;
    int64_t timeout_ms, grace_ms, most_result, most_error;
    output_options output;

    /* Made by prepare(). */
    template **words;
    bool is_success[256], is_permanent[256];
} command_options;

/* A run. */
typedef struct command_run {
    handler_call *call;
    const command_options *options;
    child *child;
    arena memory;
    buf output;
    text_tail error;
    loop_timer limit, kill; /* its own time limit; TERM has been sent */
    bool is_too_late;
    char *file; /* with the payload */
} command_run;

/* ---- ending ---- */

static void run_free(command_run *run)
{
    loop_timer_cancel(&run->limit);
    loop_timer_cancel(&run->kill);
    child_free(run->child);
    if (run->file)
        unlink(run->file);
    buf_clear(&run->output);
    text_tail_clear(&run->error);
    arena_clear(&run->memory);
    mem_free(run);
}

/* ": what it wrote last to standard error", or all that is kept of what it wrote, or nothing. */
static const char *complaint_of(command_run *run, char *room, size_t size)
{
    if (handler_keeps_output(run->call))
        return attempt_output_complaint(run->call, room, size);
    const char *text = text_tail_get(&run->error);
    snprintf(room, size, "%s%s", *text ? ": " : "", text);
    return room;
}

static void finish_exit(handler_call *call, command_run *run, int code, const char *complaint)
{
    if (run->options->is_success[code]) {
        int outcome = ASYNQ_DONE;
        if (run->output.length)
            outcome = asynq_write_result(call->job, run->output.data, run->output.length);
        handler_end(call, outcome);
        return;
    }
    handler_fail(call, run->options->is_permanent[code] ? HANDLER_PERMANENT : HANDLER_RETRY, "exit_status", -1,
                 "exit status %d%s", code, complaint);
}

static void command_ended(void *arg, const child_end *end)
{
    command_run *run = arg;
    handler_call *call = run->call;
    char complaint[8192], how[64];
    handler_end_output(call);
    complaint_of(run, complaint, sizeof complaint);
    if (end->failure && !run->options->process.limit_count && shortage_is_one(end->problem))
        handler_requeue(call, end->failure, end->problem);
    else if (end->failure)
        handler_fail(call, HANDLER_RETRY, "start", -1, "%s: %s", run->options->shell ? "sh" : "command", end->failure);
    else if (run->is_too_late)
        handler_fail(call, HANDLER_RETRY, "timeout", -1, "no end within %.3g s, %s%s",
                     (double)run->options->timeout_ms / 1000, child_describe_end(end, how), complaint);
    else if (end->signal)
        handler_fail(call, HANDLER_RETRY, "signal", -1, "%s%s", child_describe_end(end, how), complaint);
    else
        finish_exit(call, run, end->code, complaint);
    run_free(run);
}

/* ---- while it runs ---- */

static void command_output(void *arg, int stream, const char *data, size_t length)
{
    command_run *run = arg;
    handler_add_output(run->call, stream, data, length);
    if (stream == 2) {
        text_tail_add(&run->error, data, length);
        return;
    }
    size_t room = (size_t)run->options->most_result - run->output.length;
    if (length > room)
        handler_note(run->call)->is_cut = true;
    buf_append(&run->output, data, length < room ? length : room);
}

static void stop_child(command_run *run)
{
    child_signal(run->child, SIGTERM);
    if (!loop_timer_is_set(&run->kill))
        loop_timer_set(&run->kill, run->options->grace_ms);
}

static void limit_reached(void *arg)
{
    command_run *run = arg;
    run->is_too_late = true;
    stop_child(run);
}

static void kill_child(void *arg)
{
    command_run *run = arg;
    child_signal(run->child, SIGKILL);
}

static void command_cancel(handler_call *call)
{
    command_run *run = call->work;
    handler_note(call)->error_class = "cancelled";
    stop_child(run);
}

/* ---- starting ---- */

static const char *own_variable(arena *memory, const char *name, const char *value)
{
    buf text;
    buf_init(&text, 0);
    buf_append_format(&text, "%s=%s", name, value);
    const char *made = text.data ? arena_dup(memory, text.data, text.length) : NULL;
    buf_clear(&text);
    return made;
}

static const char *const *make_environment(command_run *run)
{
    enum { MOST_OWN = 10 };
    asynq_job *job = run->call->job;
    char number[3][24];
    snprintf(number[0], sizeof number[0], "%d", asynq_job_retry_count(job));
    snprintf(number[1], sizeof number[1], "%d", asynq_job_max_retry(job));
    snprintf(number[2], sizeof number[2], "%" PRId64, asynq_job_deadline_ms(job));
    const struct {
        const char *name, *value;
    } rows[] = {
        {"ASYNQ_TASK_ID", asynq_job_id(job)},
        {"ASYNQ_TASK_TYPE", asynq_job_type(job)},
        {"ASYNQ_QUEUE", asynq_job_queue(job)},
        {"ASYNQ_RETRIED", number[0]},
        {"ASYNQ_MAX_RETRY", number[1]},
        {"ASYNQ_DEADLINE_MS", number[2]},
        {"ASYNQ_PAYLOAD_FILE", run->file},
        {"TRACEPARENT", asynq_job_header(job, "traceparent")},
        {"TRACESTATE", asynq_job_header(job, "tracestate")},
    };
    const char *own[MOST_OWN] = {0};
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value && !(own[count++] = own_variable(&run->memory, rows[i].name, rows[i].value)))
            return NULL;
    return process_environment(&run->options->process, own, &run->memory);
}

/*
 * What a task says must not become an option of the program, as "--output=/etc/passwd" would: where it begins a word,
 * it may begin with '-' only behind a "--".
 */
static bool is_forged_option(const command_options *options, size_t index, const char *word)
{
    if (options->takes_options || options->shell || *word != '-' || !template_begins_variable(options->words[index]))
        return false;
    for (size_t i = 0; i < index; i++)
        if (strcmp(options->argv.items[i], "--") == 0)
            return false;
    return true;
}

static int make_argv(command_run *run, const char ***argv, asynq_error *error)
{
    const command_options *options = run->options;
    size_t at = 0;
    *argv = arena_alloc(&run->memory, (options->argv.count + 5) * sizeof **argv);
    if (!*argv)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (options->shell) {
        const char *const start[] = {"/bin/sh", "-c", options->shell, "sh"};
        for (; at < sizeof start / sizeof *start; at++)
            (*argv)[at] = start[at];
    }
    for (size_t i = 0; i < options->argv.count; i++) {
        buf word;
        buf_init(&word, 0);
        int status = template_fill(options->words[i], &run->call->values, &word, error);
        if (!status && word.data && strlen(word.data) != word.length)
            status = error_set(error, ASYNQ_E_INVALID, "argv[%zu] would have a NUL byte", i);
        if (!status && word.data && is_forged_option(options, i, word.data))
            status = error_set(error, ASYNQ_E_INVALID,
                               "argv[%zu]: \"%.100s\" begins with \"-\" and would be an option; put a \"--\" before "
                               "it in argv, or set options_from_tasks",
                               i, word.data);
        if (!status && !((*argv)[at++] = arena_dup(&run->memory, word.data ? word.data : "", word.length)))
            status = error_set_code(error, ASYNQ_E_NO_MEMORY);
        buf_clear(&word);
        if (status)
            return status;
    }
    (*argv)[at] = NULL;
    return ASYNQ_OK;
}

/* The payload as a file that only the command's user can read. */
static int write_file(command_run *run, asynq_error *error)
{
    char path[4096];
    size_t length, written = 0;
    const char *payload = asynq_job_payload(run->call->job, &length);
    snprintf(path, sizeof path, "%s/payload-XXXXXX", run->call->host->directory);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", path, strerror(errno));
    run->file = arena_dup(&run->memory, path, strlen(path));
    bool is_wrong = !run->file;
    while (!is_wrong && written < length) {
        ssize_t more = write(fd, payload + written, length - written);
        is_wrong = more < 0 && errno != EINTR;
        written += more > 0 ? (size_t)more : 0;
    }
    if (!is_wrong && run->options->process.user)
        is_wrong = fchown(fd, run->options->process.found_user.uid, run->options->process.found_user.gid) != 0;
    int problem = errno;
    close(fd);
    if (is_wrong && !run->file)
        unlink(path);
    errno = problem;
    return is_wrong ? error_set(error, ASYNQ_E_SYSTEM, "%s: %s", path, strerror(problem)) : ASYNQ_OK;
}

static int start_child(command_run *run, asynq_error *error)
{
    const command_options *options = run->options;
    bytes input = {0};
    const char **argv;
    int status = make_argv(run, &argv, error);
    if (!status && options->input == INPUT_FILE)
        status = write_file(run, error);
    if (status)
        return status;
    if (options->input == INPUT_PAYLOAD)
        input.data = asynq_job_payload(run->call->job, &input.length);
    const char *const *environment = make_environment(run);
    if (!environment)
        return error_set_code(error, ASYNQ_E_NO_MEMORY); /* and errno says so */
    run->child = child_start(run->call->host->loop,
                             &(child_options){.argv = argv,
                                              .environment = environment,
                                              .directory = options->process.directory,
                                              .user = options->process.found_user,
                                              .limits = options->process.found_limits,
                                              .limit_count = options->process.limit_count,
                                              .input = input,
                                              .on_output = command_output,
                                              .on_end = command_ended,
                                              .arg = run},
                             error);
    return run->child ? ASYNQ_OK : ASYNQ_E_SYSTEM;
}

/* `problem`: errno. */
static void command_refuse(handler_call *call, int status, int problem, const char *text)
{
    if (status == ASYNQ_E_NO_MEMORY || (status == ASYNQ_E_SYSTEM && shortage_is_one(problem)))
        handler_requeue(call, "a command cannot be started", status == ASYNQ_E_NO_MEMORY ? ENOMEM : problem);
    else if (status == ASYNQ_E_INVALID) /* the task lacks what the command needs */
        handler_fail(call, HANDLER_PERMANENT, "payload", -1, "%s", text);
    else
        handler_fail(call, HANDLER_RETRY, "start", -1, "%s", text);
}

static asynq_capacity *command_capacity(handler_host *host, const route *r)
{
    (void)r;
    return resources_processes(host->resources);
}

static void command_begin(handler_call *call)
{
    asynq_error error;
    command_run *run = mem_calloc(1, sizeof *run);
    if (!run) {
        command_refuse(call, ASYNQ_E_NO_MEMORY, 0, NULL);
        return;
    }
    run->call = call;
    run->options = call->route->options;
    call->work = run;
    handler_keep_output(call, &run->options->output);
    arena_init(&run->memory, 0);
    buf_init(&run->output, 0);
    text_tail_init(&run->error, (size_t)run->options->most_error);
    loop_timer_init(call->host->loop, &run->limit, limit_reached, run);
    loop_timer_init(call->host->loop, &run->kill, kill_child, run);
    int status = start_child(run, &error);
    if (status) {
        command_refuse(call, status, errno, error.text);
        run_free(run);
    } else if (run->options->timeout_ms) {
        loop_timer_set(&run->limit, run->options->timeout_ms);
    }
}

/* ---- options ---- */

#define COMMAND(field) offsetof(command_options, field)
static const setting command_table[] = {
    {.name = "argv",
     .kind = SETTING_LIST,
     .offset = COMMAND(argv),
     .value = "[WORD, ...]",
     .example = "[convert, \"{{payload.file}}\", out.png]",
     .help = "The program and its arguments, run as they are, without a shell. Placeholders are filled from the task."},
    {.name = "options_from_tasks",
     .kind = SETTING_SWITCH,
     .offset = COMMAND(takes_options),
     .preset = "false",
     .help = "Whether a word of `argv` that begins with a placeholder may begin with \"-\", as an option of the "
             "program does. "
             "Without it such a task fails for good, unless a \"--\" stands before the word."},
    {.name = "shell",
     .kind = SETTING_TEXT,
     .offset = COMMAND(shell),
     .value = "TEXT",
     .is_literal = true,
     .help = "Instead: a text for /bin/sh, which knows `${NAME}` itself. It can have no placeholders; the words of "
             "`argv` are its $1, $2, ..."},
    {.name = "input",
     .kind = SETTING_CHOICE,
     .offset = COMMAND(input),
     .choices = input_names,
     .preset = "payload",
     .help = "What the command reads: the payload on its standard input; or a file, whose path is in "
             "$ASYNQ_PAYLOAD_FILE; or nothing."},
    {.name = "timeout",
     .kind = SETTING_DURATION,
     .offset = COMMAND(timeout_ms),
     .preset = "0",
     .help = "The longest run; 0: as long as the task may run. In any case it ends at the task's deadline."},
    {.name = "grace",
     .kind = SETTING_DURATION,
     .offset = COMMAND(grace_ms),
     .preset = "5s",
     .help =
         "At its end, on cancellation and at the deadline the process group gets the signal TERM, and so much later "
         "KILL."},
    {.name = "success",
     .kind = SETTING_LIST,
     .offset = COMMAND(success),
     .has_numbers = true,
     .preset = "0",
     .value = "[NUMBER, ...]",
     .help = "Exit statuses of success."},
    {.name = "permanent",
     .kind = SETTING_LIST,
     .offset = COMMAND(permanent),
     .has_numbers = true,
     .preset = "64,65,66,77,78",
     .value = "[NUMBER, ...]",
     .help = "Exit statuses after which the task is archived at once, as another attempt would end like this one; see "
             "sysexits.h(3head). After all others it is retried."},
    {.name = "result_limit",
     .kind = SETTING_SIZE,
     .offset = COMMAND(most_result),
     .preset = "64kB",
     .most = 64 << 20,
     .help = "The beginning of standard output is the result, up to so much."},
    {.name = "error_limit",
     .kind = SETTING_SIZE,
     .offset = COMMAND(most_error),
     .preset = "2kB",
     .most = 8000,
     .help = "The end of standard error is part of the error, up to so much."},
    {.name = "output",
     .kind = SETTING_GROUP,
     .offset = COMMAND(output),
     .group = output_table,
     .help = "What becomes of what it writes, standard output and error together."},
    {.name = "process",
     .kind = SETTING_GROUP,
     .offset = COMMAND(process),
     .group = process_table,
     .help = "What the process may have."},
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

static int prepare_words(settings *file, settings_node *node, command_options *options, asynq_error *error)
{
    const char *wrong = outside_check_words(&options->argv);
    if (wrong)
        return settings_complain(file, node, error, "argv: \"%s\" %s", options->argv.items[0], wrong);
    options->words = arena_alloc(settings_memory(file), options->argv.count * sizeof *options->words + 1);
    if (!options->words)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    memset(options->words, 0, options->argv.count * sizeof *options->words);
    for (size_t i = 0; i < options->argv.count; i++) {
        asynq_error problem;
        if (template_new(&options->words[i], options->argv.items[i], TEMPLATE_TEXT, &problem))
            return settings_complain(file, node, error, "argv[%zu]: %s", i, problem.text);
    }
    return ASYNQ_OK;
}

static int command_prepare(settings *file, settings_node *node, void *target, asynq_error *error)
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
        status = prepare_codes(file, node, "success", &options->success, options->is_success, error);
    if (!status)
        status = prepare_codes(file, node, "permanent", &options->permanent, options->is_permanent, error);
    if (status)
        return status;
    settings_enter(file, "process");
    status = process_prepare(file, node, &options->process, error);
    settings_leave(file);
    return status;
}

static void command_look(const void *target, const outside *to)
{
    const command_options *options = target;
    outside_program(to, &options->process, options->shell ? "/bin/sh" : options->argv.items[0]);
}

static void command_clear(void *target)
{
    command_options *options = target;
    for (size_t i = 0; options->words && i < options->argv.count; i++)
        template_free(options->words[i]);
}

const handler_kind handler_command = {
    .name = "command",
    .table = command_table,
    .size = sizeof(command_options),
    .help = "Runs a program for each task.",
    .prepare = command_prepare,
    .clear = command_clear,
    .look = command_look,
    .starts_process = true,
    .capacity = command_capacity,
    .descriptors = 6, /* three of them while it is started */
    .begin = command_begin,
    .cancel = command_cancel,
};
