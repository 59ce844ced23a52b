/* See child.h. */
#include "process/child.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "event/timer.h"
#include "event/watch.h"
#include "handler/shortage.h"
#include "process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

enum { READ_BYTES = 65536, STREAM_COUNT = 3, LOOK_AGAIN_MS = 200 };

struct child {
    loop *loop;
    pid_t pid;
    int pid_fd;
    spawn_failure *failure;
    int fds[STREAM_COUNT]; /* our ends; -1: closed */
    loop_watch watches[STREAM_COUNT];
    loop_watch end_watch;
    loop_timer look; /* for its end, once more */
    buf input;
    size_t input_sent;
    void (*on_output)(void *arg, int stream, const char *data, size_t length);
    void (*on_end)(void *arg, const child_end *end); /* NULL: it was freed before it had ended */
    void *arg;
    struct child *prev, *next;
};

static child *child_all;

void child_raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (!setrlimit(RLIMIT_NOFILE, &raised))
        spawn_set_files(&limit);
}

/* ---- streams ---- */

static void close_stream(child *c, int stream)
{
    loop_watch_clear(&c->watches[stream]);
    if (c->fds[stream] >= 0)
        close(c->fds[stream]);
    c->fds[stream] = -1;
}

static void input_writable(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    child *c = arg;
    ssize_t written = write(c->fds[0], c->input.data + c->input_sent, c->input.length - c->input_sent);
    if (written > 0)
        c->input_sent += (size_t)written;
    if (c->input_sent == c->input.length || (written < 0 && errno != EAGAIN && errno != EINTR))
        close_stream(c, 0); /* all of it, or the child does not want it */
}

/* True if there may be more. */
static bool child_read_output(child *c, int stream)
{
    char data[READ_BYTES];
    ssize_t length = read(c->fds[stream], data, sizeof data);
    if (length > 0)
        c->on_output(c->arg, stream, data, (size_t)length);
    else if (length == 0 || (errno != EAGAIN && errno != EINTR))
        close_stream(c, stream);
    return length > 0;
}

static void output_readable(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    child_read_output(arg, 1);
}

static void error_readable(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    child_read_output(arg, 2);
}

/* ---- its end ---- */

/* What is in the pipes now, and not what comes meanwhile: a process that left the group may write for ever. */
void child_read(child *c)
{
    for (int stream = 1; stream < STREAM_COUNT; stream++) {
        int there = 0;
        if (c->fds[stream] >= 0 && ioctl(c->fds[stream], FIONREAD, &there))
            there = READ_BYTES;
        for (; there > 0 && c->fds[stream] >= 0 && child_read_output(c, stream); there -= READ_BYTES)
            continue;
    }
}

/* Takes its end from the kernel, and kills what it left behind, before its number is free for others. 0 or an errno. */
static int child_reap(child *c, int *status, struct rusage *usage)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT))
        return errno; /* ECHILD: somebody else has taken it, so the number may be anybody's */
    if (!info.si_pid)
        return EAGAIN;
    kill(-c->pid, SIGKILL);
    return wait4(c->pid, status, WNOHANG, usage) == c->pid ? 0 : ECHILD;
}

static void describe_failure(const child *c, int problem, char *text, size_t size, child_end *end)
{
    int step = c->failure->problem;
    if (step)
        snprintf(text, size, "%s: %s", spawn_step_text(c->failure->step), strerror(step));
    else if (problem)
        snprintf(text, size,
                 "how it ended is not known, as another part of asynqd, such as a plug-in, has waited for it");
    else
        return;
    end->failure = text;
    end->problem = step ? step : problem;
}

static void ended(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    child *c = arg;
    child_end end = {0};
    char text[256];
    int status = 0;
    int problem = child_reap(c, &status, &end.usage);
    if (problem && problem != ECHILD) { /* a debugger has it, and may keep it */
        loop_watch_set(&c->end_watch, false, false);
        loop_timer_set(&c->look, LOOK_AGAIN_MS);
        return;
    }
    loop_watch_clear(&c->end_watch);
    DL_DELETE(child_all, c);
    c->pid = 0;
    if (!c->on_end) {
        child_free(c);
        return;
    }
    child_read(c);
    describe_failure(c, problem, text, sizeof text, &end);
    if (WIFSIGNALED(status))
        end.signal = WTERMSIG(status);
    else
        end.code = WEXITSTATUS(status);
    c->on_end(c->arg, &end);
}

static void child_look_again(void *arg)
{
    ended(arg, true, false);
}

/* Its end, which may take its time where a file system hangs, is waited for by the loop. */
static void leave_to_loop(child *c)
{
    c->on_end = NULL;
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL); /* it may not have made its group yet */
}

void child_free(child *c)
{
    if (!c)
        return;
    for (int stream = 0; stream < STREAM_COUNT; stream++)
        close_stream(c, stream);
    if (c->pid > 0) {
        leave_to_loop(c);
        return;
    }
    loop_watch_clear(&c->end_watch);
    loop_timer_cancel(&c->look);
    if (c->pid_fd >= 0)
        close(c->pid_fd);
    spawn_failure_free(c->failure);
    buf_clear(&c->input);
    mem_free(c);
}

void child_leave_all(int64_t within_ms)
{
    int64_t until_ms = clock_steady_ms() + within_ms;
    child *c, *next;
    DL_FOREACH_SAFE(child_all, c, next) {
        int64_t left_ms = until_ms - clock_steady_ms();
        struct pollfd end = {.fd = c->pid_fd, .events = POLLIN};
        leave_to_loop(c);
        (void)poll(&end, 1, left_ms > 0 ? (int)left_ms : 0);
        waitpid(c->pid, NULL, WNOHANG);
        DL_DELETE(child_all, c);
        c->pid = 0;
        child_free(c);
    }
}

void child_signal(child *c, int signal)
{
    if (c->pid > 0 && kill(-c->pid, signal))
        kill(c->pid, signal);
}

pid_t child_pid(const child *c)
{
    return c->pid;
}

bool child_is_ours(pid_t pid)
{
    const child *c;
    DL_FOREACH(child_all, c)
        if (c->pid == pid)
            return true;
    return false;
}

/* ---- starting ---- */

typedef struct pipes {
    int theirs[STREAM_COUNT], ours[STREAM_COUNT];
} pipes;

static bool open_pipe(int *reading, int *writing)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return false;
    *reading = ends[0];
    *writing = ends[1];
    return true;
}

static bool open_pipes(pipes *p, bool has_input)
{
    for (int i = 0; i < STREAM_COUNT; i++)
        p->theirs[i] = p->ours[i] = -1;
    if (!has_input)
        p->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool is_open = has_input ? open_pipe(&p->theirs[0], &p->ours[0]) : p->theirs[0] >= 0;
    is_open = is_open && open_pipe(&p->ours[1], &p->theirs[1]) && open_pipe(&p->ours[2], &p->theirs[2]) &&
              shortage_may_keep(p->theirs[2], true);
    for (int i = 0; i < STREAM_COUNT; i++)
        if (p->ours[i] >= 0)
            fcntl(p->ours[i], F_SETFL, O_NONBLOCK);
    return is_open;
}

static void close_fds(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void watch_child(child *c)
{
    static const loop_watch_cb callbacks[] = {input_writable, output_readable, error_readable};
    for (int i = 0; i < STREAM_COUNT; i++) {
        if (c->fds[i] < 0)
            continue;
        loop_watch_init(c->loop, &c->watches[i], c->fds[i], callbacks[i], c);
        loop_watch_set(&c->watches[i], i != 0, i == 0);
    }
    loop_timer_init(c->loop, &c->look, child_look_again, c);
    loop_watch_init(c->loop, &c->end_watch, c->pid_fd, ended, c);
    loop_watch_set(&c->end_watch, true, false);
}

static child *child_new(loop *l, const child_options *options)
{
    child *c = mem_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->loop = l;
    c->pid_fd = -1;
    c->on_output = options->on_output;
    c->on_end = options->on_end;
    c->arg = options->arg;
    for (int i = 0; i < STREAM_COUNT; i++)
        c->fds[i] = -1;
    buf_init(&c->input, 0);
    buf_append(&c->input, options->input.data, options->input.length);
    c->failure = spawn_failure_new();
    if (c->failure && !buf_failed(&c->input))
        return c;
    child_free(c);
    return NULL;
}

child *child_start(loop *l, const child_options *options, asynq_error *error)
{
    pipes own;
    child *c = child_new(l, options);
    if (!c)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), errno = ENOMEM, NULL;
    c->pid =
        open_pipes(&own, options->input.length > 0) ? spawn_child(options, own.theirs, &c->pid_fd, c->failure) : -1;
    int problem = errno;
    memcpy(c->fds, own.ours, sizeof c->fds);
    close_fds(own.theirs, STREAM_COUNT);
    if (c->pid > 0) {
        DL_APPEND(child_all, c);
        watch_child(c);
        return c;
    }
    error_set(error, ASYNQ_E_SYSTEM, "cannot start a process: %s", strerror(problem));
    child_free(c);
    errno = problem;
    return NULL;
}

/* ---- helpers ---- */

int child_find_user(const char *name, child_user *user, asynq_error *error)
{
    struct passwd entry, *found = NULL;
    char room[4096];
    int problem = getpwnam_r(name, &entry, room, sizeof room, &found);
    if (!found)
        return error_set(error, problem ? ASYNQ_E_SYSTEM : ASYNQ_E_NOT_FOUND, "there is no user \"%s\"%s%s", name,
                         problem ? ": " : "", problem ? strerror(problem) : "");
    *user = (child_user){.name = name, .uid = entry.pw_uid, .gid = entry.pw_gid};
    snprintf(user->home, sizeof user->home, "%s", entry.pw_dir);
    return ASYNQ_OK;
}

const char *child_describe_end(const child_end *end, char *text)
{
    if (end->signal)
        snprintf(text, 64, "killed by signal %d (%s)", end->signal, strsignal(end->signal));
    else
        snprintf(text, 64, "exit status %d", end->code);
    return text;
}
