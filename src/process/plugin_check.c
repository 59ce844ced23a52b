/* Whether a plug-in can be loaded; see plugin.h. */
#include "base/clock.h"
#include "base/error.h"
#include "process/plugin.h"
#include "process/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHECK_FD = 3, /* not its standard output, where a plug-in may write */
    CHECK_WITHIN_MS = 5000,
    CHECK_LOOK_MS = 10, /* how often it is asked whether the process has ended */
    CHECK_KILLED_MS = 1000
};

#define CHECK_FINE "fine"

/* The process that looks, while it does. */
typedef struct plugin_check {
    pid_t pid;
    int fd; /* what it says; -1: it has closed it */
    char text[1024];
    size_t length;
    int status;
} plugin_check;

int plugin_check_run(const char *path)
{
    asynq_error error;
    void *library = NULL;
    structs_call structs;
    const asynq_plugin *found;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody else would end it if it hangs */
    int status = plugin_open(path, &library, &structs, &found, &error);
    bool is_told = dprintf(CHECK_FD, "%s\n", status ? error.text : CHECK_FINE) > 0;
    _exit(status || !is_told ? EXIT_FAILURE : EXIT_SUCCESS); /* what it would do at the end is of no interest */
}

/* ---- starting ---- */

/* A group of its own, so that what it starts ends with it; its signals are those of a fresh program. */
static int check_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int problem = posix_spawnattr_init(attributes);
    if (problem)
        return problem;
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int check_spawn(plugin_check *check, const char *path, int output)
{
    char *const words[] = {(char *)(uintptr_t)PLUGIN_PROGRAM, (char *)(uintptr_t)PLUGIN_CHECK_FLAG,
                           (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int problem = check_attributes(&attributes);
    if (problem)
        return problem;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, CHECK_FD);
    problem = posix_spawn(&check->pid, PLUGIN_PROGRAM, &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return problem;
}

static int check_start(plugin_check *check, const char *path, asynq_error *error)
{
    int ends[2];
    int problem = pipe2(ends, O_CLOEXEC) ? errno : 0;
    if (!problem) {
        problem = check_spawn(check, path, ends[1]);
        close(ends[1]);
        check->fd = ends[0];
        if (problem)
            close(ends[0]);
    }
    return problem ? error_set(error, ASYNQ_E_SYSTEM, "%s: it cannot be looked at: %s", path, strerror(problem))
                   : ASYNQ_OK;
}

/* ---- waiting ---- */

/* What it says beyond the room for it is read, and forgotten. */
static void check_read(plugin_check *check)
{
    char more[4096];
    ssize_t length = read(check->fd, more, sizeof more);
    if (length <= 0) {
        close(check->fd);
        check->fd = -1;
        return;
    }
    size_t room = sizeof check->text - 1 - check->length;
    size_t kept = (size_t)length < room ? (size_t)length : room;
    memcpy(check->text + check->length, more, kept);
    check->length += kept;
}

/* What is there is read at each turn, whether or not it goes on talking. */
static bool check_has_ended(plugin_check *check, int64_t within_ms)
{
    int64_t until_ms = clock_steady_ms() + within_ms;
    for (;;) {
        siginfo_t info = {0};
        bool has_ended = waitid(P_PID, (id_t)check->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
        struct pollfd output = {.fd = check->fd, .events = POLLIN};
        bool has_said = poll(&output, 1, has_ended ? 0 : CHECK_LOOK_MS) > 0;
        if (has_said)
            check_read(check);
        if (has_ended && !has_said)
            return true;
        if (clock_steady_ms() >= until_ms)
            return has_ended;
    }
}

/* False: it was not done in time. In any case nothing of it is left, unless the kernel keeps it. */
static bool check_wait(plugin_check *check)
{
    bool is_in_time = check_has_ended(check, CHECK_WITHIN_MS);
    kill(-check->pid, SIGKILL); /* it is not reaped yet, so that the group is still its own */
    if (!is_in_time)
        check_has_ended(check, CHECK_KILLED_MS);
    waitpid(check->pid, &check->status, WNOHANG);
    if (check->fd >= 0)
        close(check->fd);
    check->text[check->length] = '\0';
    check->text[strcspn(check->text, "\n")] = '\0';
    return is_in_time;
}

/* ---- telling ---- */

static int tell_check(const char *path, const plugin_check *check, asynq_error *error)
{
    int status = check->status;
    if (WIFSIGNALED(status))
        return error_set(error, ASYNQ_E_INVALID, "%s: it crashes when it is loaded: signal %d (%s)", path,
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (strcmp(check->text, CHECK_FINE) == 0)
        return ASYNQ_OK;
    if (!*check->text)
        return error_set(error, ASYNQ_E_INVALID, "%s: it ends the process that loads it, with status %d", path,
                         WEXITSTATUS(status));
    return error_set(error, ASYNQ_E_INVALID, "%s", check->text);
}

int plugin_check_apart(const char *path, asynq_error *error)
{
    plugin_check check = {.fd = -1};
    reaper_hold();
    int status = check_start(&check, path, error);
    bool is_in_time = !status && check_wait(&check);
    reaper_release();
    if (status)
        return status;
    if (is_in_time)
        return tell_check(path, &check, error);
    return error_set(error, ASYNQ_E_INVALID, "%s: it was not loaded within %d s", path, CHECK_WITHIN_MS / 1000);
}
