/*
 * The worker process of an isolated plug-in: asynqd itself, started once more. It makes jobs of the frames that come,
 * so that a handler cannot tell where it runs.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/terminal.h"
#include "base/thread.h"
#include "event/watch.h"
#include "process/frame.h"
#include "process/plugin.h"
#include "server/job_port.h"
#include "server/mux.h"
#include "server/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOCKET = 3, READ_BYTES = 65536, PROGRESS_PERIOD_MS = 200 };

/* One task at a time, as asynqd has been told. */
typedef struct plugin_host {
    loop *loop;
    plugin *plugin;
    loop_watch socket;
    loop_waker returned;
    job_port *port;
    buf in;
    asynq_job *job; /* NULL: none */
    int64_t call;
    loop_timer progress; /* the next word of how far it is */
    bool is_ending;
    int status;
} plugin_host;

/* ---- writing ---- */

static void end_with(plugin_host *host, int status, const char *complaint)
{
    if (complaint)
        (void)terminal_line(stderr, "", "%s", complaint);
    host->status = status;
    loop_stop(host->loop);
}

/* Waits while the socket is full; asynqd always reads. */
static void send_frame(plugin_host *host, const frame *f)
{
    buf out;
    buf_init(&out, 0);
    frame_append(f, &out);
    fcntl(SOCKET, F_SETFL, 0);
    for (size_t sent = 0; out.data && sent < out.length;) {
        ssize_t more = write(SOCKET, out.data + sent, out.length - sent);
        if (more < 0 && errno != EINTR) {
            end_with(host, EXIT_FAILURE, NULL); /* asynqd is gone */
            break;
        }
        sent += more > 0 ? (size_t)more : 0;
    }
    fcntl(SOCKET, F_SETFL, O_NONBLOCK);
    if (!out.data)
        end_with(host, EXIT_FAILURE, "out of memory");
    buf_clear(&out);
}

/* ---- tasks ---- */

static frame describe_end(const plugin_host *host, const asynq_job *job)
{
    /* Any other outcome counts as ASYNQ_OUTCOME_FAILED, as in a server. */
    frame_failure failure = job->outcome == ASYNQ_OUTCOME_SKIP_RETRY ? FAILURE_PERMANENT
                            : job->outcome == ASYNQ_OUTCOME_REVOKED  ? FAILURE_REVOKE
                            : job->outcome == ASYNQ_OUTCOME_SNOOZED  ? FAILURE_SNOOZE
                                                                     : FAILURE_RETRY;
    if (job->outcome == ASYNQ_OUTCOME_DONE)
        return (frame){
            .type = FRAME_RESULT, .call = host->call, .result = {job->result.data, job->result.length}, .progress = -1};
    return (frame){.type = FRAME_ERROR,
                   .call = host->call,
                   .failure = failure,
                   .retry_in_ms = job->retry_in_ms == ASYNQ_NONE ? 0 : job->retry_in_ms,
                   .text = job->error_text.data ? (bytes){job->error_text.data, job->error_text.length}
                                                : bytes_of("the handler failed and gave no reason"),
                   .progress = -1};
}

static void job_ended(plugin_host *host)
{
    frame f = describe_end(host, host->job);
    send_frame(host, &f);
    job_unref(host->job);
    host->job = NULL;
    if (host->is_ending)
        end_with(host, EXIT_SUCCESS, NULL);
}

static void send_progress(void *arg)
{
    plugin_host *host = arg;
    job_progress said;
    if (host->job && progress_is_new(host->job) && progress_read(host->job, &said))
        send_frame(host, &(frame){.type = FRAME_HEARTBEAT,
                                  .call = host->call,
                                  .progress = said.fraction,
                                  .text = bytes_of(said.text)});
}

/* A handler may say it in a loop. */
static void look_for_progress(plugin_host *host)
{
    if (host->job && progress_is_new(host->job) && !loop_timer_is_set(&host->progress))
        loop_timer_set(&host->progress, PROGRESS_PERIOD_MS);
}

static void job_returned(void *arg)
{
    plugin_host *host = arg;
    for (asynq_job *job = job_port_take(host->port), *next; job; job = next) {
        next = job->port_next;
        job_unref(job); /* the handler's */
        job_ended(host);
    }
    look_for_progress(host);
}

static void *run_in_thread(void *arg)
{
    asynq_job *job = arg;
    int outcome = job->route->handler(job, job->route->arg);
    if (outcome != ASYNQ_OUTCOME_DEFERRED)
        job_hand_back(job, outcome);
    return NULL;
}

static void run_job(plugin_host *host, asynq_job *job)
{
    asynq_error error;
    pthread_t thread;
    host->job = job;
    job->route = mux_find(plugin_mux(host->plugin), job->type);
    job_ref(job); /* the handler's */
    if (job->route->kind == ASYNQ_HANDLER_THREAD) {
        if (thread_start(&thread, run_in_thread, job, &error))
            end_with(host, EXIT_FAILURE, error.text); /* the attempt fails with the process */
        else
            pthread_detach(thread);
        return;
    }
    int outcome = job->route->handler(job, job->route->arg);
    if (outcome != ASYNQ_OUTCOME_DEFERRED && job_claim(job, outcome)) {
        job_unref(job);
        job_ended(host);
    }
}

/* The message that the frame was made of, as far as handlers see it. */
static asynq_job *make_job(plugin_host *host, const frame *f, asynq_error *error)
{
    task_header headers[FRAME_MAX_HEADERS];
    for (size_t i = 0; i < f->header_count; i++)
        headers[i] = (task_header){f->headers[i].key, f->headers[i].value};
    task_message message = {.id = f->id,
                            .type = f->task_type,
                            .queue = f->queue,
                            .payload = f->payload,
                            .retried = (int32_t)f->retried,
                            .retry = (int32_t)f->max_retry,
                            .timeout = 1,
                            .headers = headers,
                            .header_count = f->header_count};
    buf encoded;
    buf_init(&encoded, 0);
    asynq_job *job = NULL;
    if (task_message_encode(&message, &encoded, error) == ASYNQ_OK)
        job = job_new(host->port, (bytes){encoded.data, encoded.length}, error);
    buf_clear(&encoded);
    if (job)
        job->deadline_ns = f->deadline_ms * NS_PER_MS;
    return job;
}

/* ---- reading ---- */

static bool plugin_host_take_frame(void *arg, const frame *f)
{
    plugin_host *host = arg;
    asynq_error error;
    if (f->type == FRAME_TASK && !host->job) {
        asynq_job *job = make_job(host, f, &error);
        host->call = f->call;
        if (job)
            run_job(host, job);
        else
            send_frame(host,
                       &(frame){.type = FRAME_ERROR, .call = f->call, .text = bytes_of(error.text), .progress = -1});
    } else if (f->type == FRAME_CANCEL && host->job && f->call == host->call) {
        bool is_late = asynq_job_deadline_ms(host->job) <= floor_div(clock_now_ns(), NS_PER_MS);
        job_cancel(host->job, is_late ? ASYNQ_CANCEL_DEADLINE : ASYNQ_CANCEL_REQUESTED);
    } else if (f->type == FRAME_SHUTDOWN) {
        host->is_ending = true;
        if (!host->job)
            end_with(host, EXIT_SUCCESS, NULL);
    }
    return true;
}

static void socket_readable(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    plugin_host *host = arg;
    asynq_error error;
    char *room = buf_reserve(&host->in, READ_BYTES);
    ssize_t length = room ? read(SOCKET, room, READ_BYTES) : 0;
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) {
        end_with(host, EXIT_FAILURE, room ? NULL : "out of memory"); /* asynqd is gone */
        return;
    }
    host->in.length += (size_t)length;
    if (frame_take_all(&host->in, plugin_host_take_frame, host, &error))
        end_with(host, EXIT_FAILURE, error.text);
}

/* ---- the whole ---- */

int plugin_host_run(const char *path, const char *config)
{
    asynq_error error;
    plugin_host host = {.status = EXIT_FAILURE, .returned.fd = -1};
    if (!getenv("ASYNQ_WORKER_FD")) {
        fputs("asynqd: " PLUGIN_HOST_FLAG " is for asynqd itself\n", stderr);
        return EXIT_FAILURE;
    }
    host.loop = loop_new();
    if (!host.loop || loop_waker_init(host.loop, &host.returned, job_returned, &host) ||
        !(host.port = job_port_new(&host.returned))) {
        fputs("out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    loop_timer_init(host.loop, &host.progress, send_progress, &host);
    buf_init(&host.in, FRAME_MAX + READ_BYTES);
    host.plugin = plugin_load(path, config, &error);
    if (host.plugin) {
        fcntl(SOCKET, F_SETFL, O_NONBLOCK);
        send_frame(&host, &(frame){.type = FRAME_HELLO,
                                   .version = FRAME_VERSION,
                                   .name = bytes_of(plugin_name(host.plugin)),
                                   .capacity = 1,
                                   .progress = -1});
        loop_watch_init(host.loop, &host.socket, SOCKET, socket_readable, &host);
        loop_watch_set(&host.socket, true, false);
        loop_run(host.loop);
    } else {
        (void)terminal_line(stderr, "", "%s", error.text);
    }
    if (host.job)
        _exit(host.status); /* its handler is still running */
    plugin_stop(host.plugin);
    loop_timer_cancel(&host.progress);
    loop_watch_clear(&host.socket);
    loop_waker_clear(&host.returned);
    job_port_close(host.port);
    job_port_unref(host.port);
    loop_free(host.loop);
    buf_clear(&host.in);
    return host.status;
}
