/* One worker process; see worker_pool.h. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"
#include "handler/frame.h"
#include "handler/worker_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum { READ_BYTES = 65536, LOOK_PERIOD_MS = 1000, MOST_LINE = 1000 };

/* ---- what it writes ---- */

/* The only task that it has, whose output this is; NULL: there is none, or nobody could say whose. */
static handler_call *only_call(const worker_process *process)
{
    return process->task_count == 1 ? process->tasks->call : NULL;
}

/* What it wrote before it ended the task is there by now. */
static void read_output(const worker_task *task)
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
    loop_watch_set(&process->watch, false, false); /* what it says now does not count */
    child_signal(process->child, SIGKILL);
}

/* ---- writing ---- */

static void send_more(worker_process *process)
{
    while (process->out_sent < process->out.length) {
        ssize_t more = send(process->fd, process->out.data + process->out_sent, process->out.length - process->out_sent,
                            MSG_NOSIGNAL);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            break; /* full; or closed: then its end is about to be told */
        process->out_sent += (size_t)more;
    }
    bool is_done = process->out_sent == process->out.length;
    if (is_done) {
        buf_clear(&process->out);
        process->out_sent = 0;
    }
    loop_watch_set(&process->watch, true, !is_done);
}

static bool send_frame(worker_process *process, const frame *f)
{
    if (process->fd < 0 || process->fault)
        return false;
    frame_append(f, &process->out);
    if (buf_failed(&process->out)) {
        kill_for(process, "protocol", "out of memory for what is to be sent");
        return false;
    }
    send_more(process);
    return true;
}

/* ---- reading ---- */

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
    if (process->capacity > (size_t)process->options->most_tasks)
        process->capacity = (size_t)process->options->most_tasks;
    process->state = WORKER_READY;
    loop_timer_cancel(&process->start_limit);
    send_frame(process,
               &(frame){.type = FRAME_WELCOME, .version = FRAME_VERSION, .name = bytes_of(process->options->name)});
    process->events.ready(process, process->events.arg);
}

static void take_result(worker_task *task, const frame *f)
{
    handler_call *call = task->call;
    size_t most = (size_t)task->process->options->most_result;
    read_output(task);
    task_free(task);
    if (!call)
        return;
    int outcome = ASYNQ_DONE;
    if (f->result.length > most)
        handler_note(call)->is_cut = true;
    if (f->result.data)
        outcome = asynq_write_result(call->job, f->result.data, f->result.length < most ? f->result.length : most);
    handler_end(call, outcome);
}

/* "ValueError: what it says" */
static void take_error(worker_task *task, const frame *f)
{
    handler_call *call = task->call;
    char output[8192];
    read_output(task);
    task_free(task);
    if (!call)
        return;
    buf text;
    buf_init(&text, 0);
    if (f->name.length)
        buf_append_format(&text, "%.*s: ", BYTES_ARGS(f->name));
    buf_append(&text, f->text.data, f->text.length);
    if (f->failure != FAILURE_REVOKE && f->failure != FAILURE_SNOOZE && handler_keeps_output(call))
        buf_append_text(&text, attempt_output_complaint(call, output, sizeof output));
    const char *reason = text.data ? text.data : "the worker gave no reason";
    int64_t pause_ms = f->retry_in_ms > 0 ? f->retry_in_ms : -1;
    if (f->failure == FAILURE_REVOKE)
        handler_end(call, asynq_revoke(call->job, "%s", reason));
    else if (f->failure == FAILURE_SNOOZE)
        handler_end(call, asynq_snooze(call->job, pause_ms < 0 ? 0 : pause_ms, "%s", reason));
    else
        handler_fail(call, f->failure == FAILURE_PERMANENT ? HANDLER_PERMANENT : HANDLER_RETRY, "worker_error",
                     pause_ms, "%s", reason);
    buf_clear(&text);
}

static void take_log(worker_process *process, const frame *f)
{
    const worker_task *task = find_task(process, f->call);
    asynq_log_level level = ASYNQ_LOG_INFO;
    char name[16];
    snprintf(name, sizeof name, "%.*s", BYTES_ARGS(f->level));
    (void)!asynq_log_level_parse(name, &level, NULL);
    log_at(process->host->log, level, "worker %s.%d%s%s: %.*s", process->options->name, process->number,
           task && task->call ? " task " : "", task && task->call ? asynq_job_id(task->call->job) : "",
           BYTES_ARGS(f->text));
}

/* After each task: it may be old enough, or has room for another. */
static void look_after_task(worker_process *process)
{
    if (process->state != WORKER_READY || process->fault)
        return;
    if (process->options->recycle_after && process->done >= process->options->recycle_after)
        worker_process_drain(process);
    else
        process->events.has_room(process, process->events.arg);
}

/* False: it is to be killed. */
static bool take_frame(void *arg, const frame *f)
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
        take_result(task, f);
        break;
    case FRAME_ERROR:
        take_error(task, f);
        break;
    case FRAME_LOG:
        take_log(process, f);
        break;
    case FRAME_HEARTBEAT:
        break; /* that it came is all */
    default:
        kill_for(process, "protocol", "it sent a frame \"%s\", which is asynqd's", frame_type_name(f->type));
    }
    if (ends_task && process->state == WORKER_DRAINING && !process->tasks)
        worker_process_drain(process);
    else if (ends_task)
        look_after_task(process);
    return !process->fault;
}

static void take_frames(worker_process *process)
{
    asynq_error error;
    if (!process->fault && frame_take_all(&process->in, take_frame, process, &error))
        kill_for(process, "protocol", "%s", error.text);
}

/* True if there may be more. */
static bool read_socket(worker_process *process)
{
    char *room = buf_reserve(&process->in, READ_BYTES);
    if (!room) {
        kill_for(process, "protocol", "out of memory for a frame");
        return false;
    }
    ssize_t length = read(process->fd, room, READ_BYTES);
    if (length <= 0) {
        if (length == 0 || (errno != EAGAIN && errno != EINTR))
            loop_watch_set(&process->watch, false, false); /* closed: its end is about to be told, or it is silent */
        return false;
    }
    process->in.length += (size_t)length;
    process->heard_at_ms = loop_steady_ms(process->host->loop);
    take_frames(process);
    return !process->fault;
}

static void socket_ready(void *arg, bool can_read, bool can_write)
{
    worker_process *process = arg;
    if (can_write)
        send_more(process);
    if (can_read)
        read_socket(process);
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
    while (has_started && !process->fault && read_socket(process))
        continue; /* what it said before it ended counts */
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
    log_info(process->host->log, "worker %s.%d %s: %.*s", process->options->name, process->number, stream,
             (int)(length < MOST_LINE ? length : MOST_LINE), line);
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

static int64_t memory_of(const worker_process *process)
{
    char path[64];
    long pages = 0, size = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)child_pid(process->child));
    FILE *in = fopen(path, "re");
    if (in && fscanf(in, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    if (in)
        fclose(in);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void look(void *arg)
{
    worker_process *process = arg;
    const worker_options *options = process->options;
    int64_t memory = options->most_memory || options->recycle_memory ? memory_of(process) : 0;
    int64_t silent_ms = loop_steady_ms(process->host->loop) - process->heard_at_ms;
    if (options->most_memory && memory > options->most_memory)
        kill_for(process, "memory", "it had %" PRId64 " MB of memory, more than memory_limit", memory / 1000000);
    else if (options->silence_ms && process->tasks && silent_ms > options->silence_ms)
        kill_for(process, "silence", "it was silent for %.3g s", (double)silent_ms / MS_PER_SECOND);
    else if (options->recycle_memory && memory > options->recycle_memory && process->state == WORKER_READY)
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

static const frame_pair *headers_of(const asynq_job *job, frame_pair *pairs, size_t *count)
{
    *count = asynq_job_header_count(job) < FRAME_MOST_HEADERS ? asynq_job_header_count(job) : FRAME_MOST_HEADERS;
    for (size_t i = 0; i < *count; i++) {
        asynq_header header = asynq_job_header_at(job, i);
        pairs[i] = (frame_pair){bytes_of(header.key), bytes_of(header.value)};
    }
    return pairs;
}

static bool send_task(worker_process *process, const worker_task *task)
{
    const asynq_job *job = task->call->job;
    frame_pair pairs[FRAME_MOST_HEADERS];
    frame f = {
        .type = FRAME_TASK,
        .call = task->number,
        .id = bytes_of(asynq_job_id(job)),
        .task_type = bytes_of(asynq_job_type(job)),
        .queue = bytes_of(asynq_job_queue(job)),
        .retried = asynq_job_retry_count(job),
        .max_retry = asynq_job_max_retry(job),
        .deadline_ms = asynq_job_deadline_ms(job),
    };
    f.payload.data = asynq_job_payload(job, &f.payload.length);
    f.headers = headers_of(job, pairs, &f.header_count);
    return send_frame(process, &f);
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
    if (length > FRAME_MOST / 2) {
        handler_fail(call, HANDLER_PERMANENT, "payload", -1,
                     "the payload of %zu bytes is too large for a worker; the "
                     "most are %d",
                     length, FRAME_MOST / 2);
        return false;
    }
    worker_task *task = mem_calloc(1, sizeof *task);
    if (!task) {
        handler_requeue(call, "no memory for a task of a worker process", ENOMEM);
        return false;
    }
    if (!process->tasks)
        process->heard_at_ms = loop_steady_ms(process->host->loop);
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
            send_frame(process, &(frame){.type = FRAME_CANCEL, .call = task->number});
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
    send_frame(process, &(frame){.type = FRAME_SHUTDOWN});
    loop_timer_set(&process->kill, process->options->grace_ms);
}

/* ---- starting ---- */

static int start_child(worker_process *process, int theirs, asynq_error *error)
{
    const worker_options *options = process->options;
    const char *own[] = {"ASYNQ_WORKER_FD=3", NULL};
    arena memory;
    arena_init(&memory, 0);
    const char **argv = arena_alloc(&memory, (options->argv.count + 1) * sizeof *argv);
    const char *const *environment = process_environment(&options->process, own, &memory);
    if (argv && environment) {
        memcpy(argv, options->argv.items, options->argv.count * sizeof *argv);
        argv[options->argv.count] = NULL;
        process->child = child_start(process->host->loop,
                                     &(child_options){.argv = argv,
                                                      .environment = environment,
                                                      .directory = options->process.directory,
                                                      .user = options->process.found_user,
                                                      .limits = options->process.found_limits,
                                                      .limit_count = options->process.limit_count,
                                                      .inherited = theirs,
                                                      .on_output = process_output,
                                                      .on_end = process_ended,
                                                      .arg = process},
                                     error);
    } else {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    arena_clear(&memory);
    return process->child ? ASYNQ_OK : ASYNQ_E_SYSTEM;
}

worker_process *worker_process_start(handler_host *host, const worker_options *options, int number,
                                     const worker_events *events, asynq_error *error)
{
    int ends[2];
    worker_process *process = mem_calloc(1, sizeof *process);
    if (!process)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    *process = (worker_process){.options = options, .host = host, .number = number, .events = *events, .fd = -1};
    buf_init(&process->in, FRAME_MOST + READ_BYTES);
    buf_init(&process->out, 0);
    text_tail_init(&process->error, (size_t)options->most_error);
    loop_timer_init(host->loop, &process->start_limit, start_limit_reached, process);
    loop_timer_init(host->loop, &process->look, look, process);
    loop_timer_init(host->loop, &process->kill, kill_slow, process);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        error_set(error, ASYNQ_E_SYSTEM, "socketpair: %s", strerror(errno));
        worker_process_free(process);
        return NULL;
    }
    process->fd = ends[0];
    fcntl(process->fd, F_SETFL, O_NONBLOCK);
    int status = start_child(process, ends[1], error);
    close(ends[1]);
    if (status) {
        worker_process_free(process);
        return NULL;
    }
    process->heard_at_ms = loop_steady_ms(host->loop);
    loop_watch_init(host->loop, &process->watch, process->fd, socket_ready, process);
    loop_watch_set(&process->watch, true, false);
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
    loop_watch_clear(&process->watch);
    child_free(process->child);
    while (process->tasks)
        task_free(process->tasks);
    if (process->fd >= 0)
        close(process->fd);
    buf_clear(&process->in);
    buf_clear(&process->out);
    text_tail_clear(&process->error);
    mem_free(process);
}
