/* See command.h. */
#include "process/command.h"

#include "base/alloc.h"
#include "base/error.h"
#include "event/timer.h"
#include "handler/resources.h"
#include "handler/route.h"
#include "handler/text_tail.h"
#include "process/call_files.h"
#include "process/command_options.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A run. */
typedef struct command_run {
    handler_call *call;
    const command_options *options;
    child *child;
    const char **argv;
    arena memory;
    buf output;
    text_tail error;
    loop_timer limit, kill; /* its own time limit; TERM has been sent */
    bool is_too_late;
    call_file *file; /* with the payload */
    bool is_cancelled;
} command_run;

/* ---- ending ---- */

static void run_free(command_run *run)
{
    loop_timer_cancel(&run->limit);
    loop_timer_cancel(&run->kill);
    child_free(run->child);
    if (run->file)
        call_file_remove(run->file);
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
        int outcome = ASYNQ_OUTCOME_DONE;
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
    if (end->failure && !run->options->process.limits.count && shortage_is_one(end->problem))
        handler_requeue(call, end->failure, end->problem);
    else if (end->failure)
        handler_fail(call, HANDLER_RETRY, end->problem == ECHILD ? "exit_status" : "start", -1, "%s: %s",
                     run->options->shell ? "sh" : "command", end->failure);
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
    size_t room = (size_t)run->options->max_result - run->output.length;
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

static void command_limit_reached(void *arg)
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
    run->is_cancelled = true;
    if (run->child)
        stop_child(run); /* else its file is being written */
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
    enum { MAX_OWN = 10 };
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
        {"ASYNQ_PAYLOAD_FILE", run->file ? call_file_path(run->file) : NULL},
        {"TRACEPARENT", asynq_job_header(job, "traceparent")},
        {"TRACESTATE", asynq_job_header(job, "tracestate")},
    };
    const char *own[MAX_OWN] = {0};
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

static int make_argv(command_run *run, asynq_error *error)
{
    const command_options *options = run->options;
    size_t at = 0;
    const char **argv = arena_alloc(&run->memory, (options->argv.count + 5) * sizeof *argv);
    if (!argv)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (options->shell) {
        const char *const start[] = {"/bin/sh", "-c", options->shell, "sh"};
        for (; at < sizeof start / sizeof *start; at++)
            argv[at] = start[at];
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
        if (!status && !(argv[at++] = arena_dup(&run->memory, word.data ? word.data : "", word.length)))
            status = error_set_code(error, ASYNQ_E_NO_MEMORY);
        buf_clear(&word);
        if (status)
            return status;
    }
    argv[at] = NULL;
    run->argv = argv;
    return ASYNQ_OK;
}

static int start_child(command_run *run, asynq_error *error)
{
    const command_options *options = run->options;
    bytes input = {0};
    if (options->input == INPUT_PAYLOAD)
        input.data = asynq_job_payload(run->call->job, &input.length);
    const char *const *environment = make_environment(run);
    if (!environment)
        return error_set_code(error, ASYNQ_E_NO_MEMORY); /* and errno says so */
    child_options wanted = process_child_options(&options->process);
    wanted.argv = run->argv;
    wanted.environment = environment;
    wanted.input = input;
    wanted.on_output = command_output;
    wanted.on_end = command_ended;
    wanted.arg = run;
    run->child = child_start(run->call->host->loop, &wanted, error);
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

/* All that it needs is there. */
static void command_start(command_run *run)
{
    asynq_error error;
    int status = start_child(run, &error);
    if (status) {
        command_refuse(run->call, status, errno, error.text);
        run_free(run);
    } else if (run->options->timeout_ms) {
        loop_timer_set(&run->limit, run->options->timeout_ms);
    }
}

static void file_written(void *arg, int problem)
{
    command_run *run = arg;
    char text[512];
    if (!problem && !run->is_cancelled) {
        command_start(run);
        return;
    }
    snprintf(text, sizeof text, "%s: %s", call_file_path(run->file), strerror(problem));
    if (run->is_cancelled)
        handler_fail(run->call, HANDLER_RETRY, "cancelled", -1, "cancelled");
    else
        command_refuse(run->call, ASYNQ_E_SYSTEM, problem, text);
    run_free(run);
}

/* The payload as a file that only the command's user can read. */
static int write_file(command_run *run, asynq_error *error)
{
    const process_options *process = &run->options->process;
    call_file_options options = {.has_owner = process->user != NULL,
                                 .uid = process->found_user.uid,
                                 .gid = process->found_user.gid,
                                 .written = file_written,
                                 .arg = run};
    options.content.data = asynq_job_payload(run->call->job, &options.content.length);
    run->file = call_file_write(run->call->host->files, &options);
    return run->file ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
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
    text_tail_init(&run->error, (size_t)run->options->max_error);
    loop_timer_init(call->host->loop, &run->limit, command_limit_reached, run);
    loop_timer_init(call->host->loop, &run->kill, kill_child, run);
    bool has_file = run->options->input == INPUT_FILE;
    int status = make_argv(run, &error);
    if (!status && has_file)
        status = write_file(run, &error);
    if (status) {
        command_refuse(call, status, ENOMEM, error.text);
        run_free(run);
    } else if (!has_file) {
        command_start(run);
    }
}

const handler_kind handler_command = {
    .name = "command",
    .table = command_table,
    .size = sizeof(command_options),
    .help = "Runs a program for each task.",
    .prepare = command_options_prepare,
    .clear = command_options_clear,
    .look = command_options_look,
    .starts_process = true,
    .capacity = command_capacity,
    .descriptors = 6, /* three of them while it is started */
    .begin = command_begin,
    .cancel = command_cancel,
};
