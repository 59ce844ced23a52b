/* See worker_process.h. */
#include "process/worker_process.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"
#include "handler/output.h"
#include "process/call_frame.h"
#include "process/worker_child.h"
#include "server/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

enum { LOOK_PERIOD_MS = 1000, MAX_LINE = 1000 };

/* ---- what it writes ---- */

/* The only task that it has, whose output this is; NULL: there is none, or nobody could say whose. */
static handler_call *only_call(const worker_process *process)
{
    return process->task_count == 1 ? process->tasks->call : NULL;
}

/* What it wrote before it ended the task is there by now. */
static void worker_process_read_output(const worker_task *task)
{
    handler_call *call = task->call;
    if (!call || !call->note || !call->note->output)
        return;
    child_read(task->process->child);
    handler_end_output(call);
}

/* ---- ending tasks ---- */

/* The task is off the process's hands. */
static void task_free(worker_task *task)
{
    worker_process *process = task->process;
    DL_DELETE(process->tasks, task);
    process->task_count--;
    process->done++;
    loop_timer_cancel(&task->kill);
    mem_free(task);
}

static worker_task *find_task(const worker_process *process, int64_t number)
{
    worker_task *task;
    DL_FOREACH(process->tasks, task)
        if (task->number == number)
            return task;
    return NULL;
}

/* Kills it for a reason that its tasks are told. */
static void kill_for(worker_process *process, const char *fault, const char *format, ...) ASYNQ_PRINTF(3, 4);
static void kill_for(worker_process *process, const char *fault, const char *format, ...)
{
    va_list args;
    if (process->fault)
        return;
    va_start(args, format);
    vsnprintf(process->fault_text, sizeof process->fault_text, format, args);
    va_end(args);
    process->fault = fault;
    process->state = WORKER_ENDING;
    frame_link_shut(&process->link); /* what it says now does not count */
    child_signal(process->child, SIGKILL);
}

/* ---- what it says in frames ---- */

static void take_hello(worker_process *process, const frame *f)
{
    if (process->state != WORKER_STARTING) {
        kill_for(process, "protocol", "it said hello twice");
        return;
    }
    if (f->version != FRAME_VERSION) {
        kill_for(process, "protocol", "it speaks version %" PRId64 " of the worker protocol, asynqd version %d",
                 f->version, FRAME_VERSION);
        return;
    }
    snprintf(process->name, sizeof process->name, "%.*s", BYTES_ARGS(f->name));
    process->capacity = f->capacity < 1 ? 1 : (size_t)f->capacity;
    if (process->capacity > (size_t)process->options->max_tasks)
        process->capacity = (size_t)process->options->max_tasks;
    process->state = WORKER_READY;
    loop_timer_cancel(&process->start_limit);
    frame_link_send(
        &process->link,
        &(frame){.type = FRAME_WELCOME, .version = FRAME_VERSION, .name = bytes_of(process->options->name)});
    process->events.ready(process, process->events.arg);
}

static void worker_process_take_answer(worker_task *task, const frame *f)
{
    handler_call *call = task->call;
    size_t max_result = (size_t)task->process->options->max_result;
    worker_process_read_output(task);
    task_free(task);
    if (call)
        call_frame_end(call, f, max_result);
}

static void take_log(worker_process *process, const frame *f)
{
    const worker_task *task = find_task(process, f->call);
    asynq_log_level level = ASYNQ_LOG_INFO;
    char name[16];
    snprintf(name, sizeof name, "%.*s", BYTES_ARGS(f->level));
    (void)!asynq_log_level_parse(name, &level, NULL);
    if (!log_wants(process->host->log, level) || !line_limit_pass(&process->lines))
        return;
    log_event_at(process->host->log, level, LOG_WORKER_OUTPUT, "worker %s.%d%s%s: %.*s", process->options->name,
                 process->number, task && task->call ? " task " : "",
                 task && task->call ? asynq_job_id(task->call->job) : "", BYTES_ARGS(f->text));
}

/* That it came is a sign of life in any case. Who has only one task need not say which. */
static void take_progress(const worker_process *process, const worker_task *task, const frame *f)
{
    handler_call *call = f->call ? (task ? task->call : NULL) : only_call(process);
    if (call && (f->progress >= 0 || f->text.length))
        progress_say(call->job, f->progress, f->text.length ? f->text : (bytes){0});
}

/* After each task: it may be old enough, or has room for another. */
static void look_after_task(worker_process *process)
{
    if (process->state != WORKER_READY || process->fault)
        return;
    if (process->options->max_tasks_per_process && process->done >= process->options->max_tasks_per_process)
        worker_process_drain(process);
    else
        process->events.has_room(process, process->events.arg);
}

/* False: it is to be killed. */
static bool worker_process_take_frame(void *arg, const frame *f)
{
    worker_process *process = arg;
    worker_task *task = find_task(process, f->call);
    if (process->state == WORKER_STARTING && f->type != FRAME_HELLO) {
        kill_for(process, "protocol", "its first frame is \"%s\", not \"hello\"", frame_type_name(f->type));
        return false;
    }
    bool ends_task = f->type == FRAME_RESULT || f->type == FRAME_ERROR;
    if (ends_task && !task) {
        kill_for(process, "protocol", "it ended call %" PRId64 ", which it does not have", f->call);
        return false;
    }
    switch (f->type) {
    case FRAME_HELLO:
        take_hello(process, f);
        break;
    case FRAME_RESULT:
    case FRAME_ERROR:
        worker_process_take_answer(task, f);
        break;
    case FRAME_LOG:
        take_log(process, f);
        break;
    case FRAME_HEARTBEAT:
        take_progress(process, task, f);
        break;
    default:
        kill_for(process, "protocol", "it sent a frame \"%s\", which is asynqd's", frame_type_name(f->type));
    }
    if (ends_task && process->state == WORKER_DRAINING && !process->tasks)
        worker_process_drain(process);
    else if (ends_task)
        look_after_task(process);
    return !process->fault;
}

static void link_broken(void *arg, const char *why)
{
    kill_for(arg, "protocol", "%s", why);
}

/* ---- its end ---- */

static void end_tasks(worker_process *process, const char *reason, const char *error_class)
{
    worker_task *task, *next;
    DL_FOREACH_SAFE(process->tasks, task, next) {
        handler_call *call = task->call;
        if (call)
            handler_end_output(call);
        bool is_culprit = !process->fault || strcmp(process->fault, "cancelled") != 0;
        task_free(task);
        if (call && is_culprit)
            handler_fail(call, HANDLER_RETRY, error_class, -1, "%s", reason);
        else if (call) /* another task of the process was, and had to be killed */
            handler_end(call, asynq_snooze(call->job, 0, "%s", reason));
    }
}

static void process_ended(void *arg, const child_end *end)
{
    worker_process *process = arg;
    char reason[9000], how[64];
    const char *tail = text_tail_get(&process->error);
    bool has_started = process->capacity > 0;
    if (has_started)
        process->state = WORKER_ENDING; /* gets no more tasks */
    if (has_started)
        frame_link_read_last(&process->link);
    if (end->failure)
        snprintf(reason, sizeof reason, "%s", end->failure);
    else
        snprintf(reason, sizeof reason, "worker %s: %s%s%s%s%s", process->options->name,
                 process->fault ? process->fault_text : "", process->fault ? "; " : "", child_describe_end(end, how),
                 *tail ? ": " : "", tail);
    end_tasks(process, reason, process->fault ? process->fault : end->signal ? "signal" : "exit_status");
    process->state = WORKER_ENDING;
    process->events.gone(process, has_started ? NULL : reason, process->events.arg);
}

static void log_line(worker_process *process, const char *stream, const char *line, size_t length)
{
    if (log_wants(process->host->log, ASYNQ_LOG_INFO) && line_limit_pass(&process->lines))
        log_event(process->host->log, LOG_WORKER_OUTPUT, "worker %s.%d %s: %.*s", process->options->name,
                  process->number, stream, (int)(length < MAX_LINE ? length : MAX_LINE), line);
}

static void stdout_line(void *arg, const char *line, size_t length)
{
    log_line(arg, "stdout", line, length);
}

static void stderr_line(void *arg, const char *line, size_t length)
{
    log_line(arg, "stderr", line, length);
}

/* What it prints is for the log; the end of it for its tasks, should it crash. */
static void process_output(void *arg, int stream, const char *data, size_t length)
{
    worker_process *process = arg;
    handler_call *call = only_call(process);
    if (call)
        handler_add_output(call, stream, data, length);
    if (stream == 2)
        text_tail_add(&process->error, data, length);
    text_each_line(data, length, stream == 2 ? stderr_line : stdout_line, process);
}

/* ---- once a second ---- */

static void look(void *arg)
{
    worker_process *process = arg;
    const worker_options *options = process->options;
    int64_t memory = options->max_memory || options->soft_memory_limit ? worker_child_memory(process->child) : 0;
    int64_t silent_ms = frame_link_silent_ms(&process->link);
    if (options->max_memory && memory > options->max_memory)
        kill_for(process, "memory", "it had %" PRId64 " MB of memory, more than memory_limit", memory / 1000000);
    else if (options->silence_ms && process->tasks && silent_ms > options->silence_ms)
        kill_for(process, "silence", "it was silent for %.3g s", (double)silent_ms / MS_PER_SECOND);
    else if (options->soft_memory_limit && memory > options->soft_memory_limit && process->state == WORKER_READY)
        worker_process_drain(process);
    loop_timer_set(&process->look, LOOK_PERIOD_MS);
}

static void start_limit_reached(void *arg)
{
    worker_process *process = arg;
    kill_for(process, "start", "it did not say hello within %.3g s",
             (double)process->options->start_timeout_ms / MS_PER_SECOND);
}

/* ---- tasks ---- */

static bool send_task(worker_process *process, const worker_task *task)
{
    frame_pair pairs[FRAME_MAX_HEADERS];
    frame f;
    call_frame_make(task->call, task->number, pairs, &f);
    return frame_link_send(&process->link, &f);
}

static void kill_late(void *arg)
{
    worker_task *task = arg;
    kill_for(task->process, "cancelled", "a task had to end, and did not within %.3g s",
             (double)task->process->options->grace_ms / MS_PER_SECOND);
}

bool worker_process_has_room(const worker_process *process)
{
    return process->state == WORKER_READY && process->task_count < process->capacity;
}

bool worker_process_give(worker_process *process, handler_call *call)
{
    size_t length;
    asynq_job_payload(call->job, &length);
    if (length > CALL_FRAME_MAX_PAYLOAD) {
        handler_fail(call, HANDLER_PERMANENT, "payload", -1,
                     "the payload of %zu bytes is too large for a worker; the maximum is %d", length,
                     CALL_FRAME_MAX_PAYLOAD);
        return false;
    }
    worker_task *task = mem_calloc(1, sizeof *task);
    if (!task) {
        handler_requeue(call, "no memory for a task of a worker process", ENOMEM);
        return false;
    }
    if (!process->tasks)
        frame_link_expect(&process->link);
    *task = (worker_task){.call = call, .process = process, .number = ++process->last_call};
    loop_timer_init(process->host->loop, &task->kill, kill_late, task);
    DL_APPEND(process->tasks, task);
    process->task_count++;
    return send_task(process, task);
}

void worker_process_cancel(worker_process *process, handler_call *call)
{
    worker_task *task;
    DL_FOREACH(process->tasks, task)
        if (task->call == call) {
            task->call = NULL;
            frame_link_send(&process->link, &(frame){.type = FRAME_CANCEL, .call = task->number});
            loop_timer_set(&task->kill, process->options->grace_ms);
            return;
        }
}

static void kill_slow(void *arg)
{
    child_signal(((worker_process *)arg)->child, SIGKILL);
}

void worker_process_drain(worker_process *process)
{
    if (process->state == WORKER_ENDING)
        return;
    process->state = process->tasks ? WORKER_DRAINING : WORKER_ENDING;
    if (process->tasks)
        return;
    process->is_told = true;
    frame_link_send(&process->link, &(frame){.type = FRAME_SHUTDOWN});
    loop_timer_set(&process->kill, process->options->grace_ms);
}

/* ---- starting ---- */

worker_process *worker_process_start(handler_host *host, const worker_options *options, int number,
                                     const worker_events *events, asynq_error *error)
{
    char who[80];
    int fd;
    worker_process *process = mem_calloc(1, sizeof *process);
    if (!process)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    *process = (worker_process){.options = options, .host = host, .number = number, .events = *events};
    snprintf(who, sizeof who, "worker %.60s.%d", options->name, number);
    line_limit_init(&process->lines, host->loop, host->log, who);
    text_tail_init(&process->error, (size_t)options->max_error);
    loop_timer_init(host->loop, &process->start_limit, start_limit_reached, process);
    loop_timer_init(host->loop, &process->look, look, process);
    loop_timer_init(host->loop, &process->kill, kill_slow, process);
    process->child = worker_child_start(host->loop, options,
                                        &(worker_child_events){process_output, process_ended, process}, &fd, error);
    if (!process->child) {
        worker_process_free(process);
        return NULL;
    }
    frame_link_open(&process->link, host->loop, fd,
                    &(frame_link_events){worker_process_take_frame, link_broken, process});
    loop_timer_set(&process->start_limit, options->start_timeout_ms);
    loop_timer_set(&process->look, LOOK_PERIOD_MS);
    return process;
}

void worker_process_free(worker_process *process)
{
    if (!process)
        return;
    loop_timer_cancel(&process->start_limit);
    loop_timer_cancel(&process->look);
    loop_timer_cancel(&process->kill);
    line_limit_end(&process->lines);
    frame_link_close(&process->link);
    child_free(process->child);
    while (process->tasks)
        task_free(process->tasks);
    text_tail_clear(&process->error);
    mem_free(process);
}
