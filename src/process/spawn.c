/* See spawn.h. */
#include "process/spawn.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "process/search_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INHERITED_AS = 3, STREAM_COUNT = 3, STACK_BYTES = 128 << 10, KERNEL_SIGNAL_BYTES = 8, BEYOND_STANDARD = 16 };

enum { STEP_DESCRIPTORS, STEP_LIMITS, STEP_USER, STEP_DIRECTORY, STEP_PROGRAM };

static const char *const step_texts[] = {
    [STEP_DESCRIPTORS] = "cannot arrange its descriptors",
    [STEP_LIMITS] = "cannot set its limits",
    [STEP_USER] = "cannot become its user",
    [STEP_DIRECTORY] = "cannot enter its working directory",
    [STEP_PROGRAM] = "cannot run it",
};

static struct rlimit spawn_files; /* all zero: as it is */

/* All that the child needs, made before it exists, as it must not allocate. */
typedef struct spawn_order {
    const child_options *options;
    const int *fds;
    pid_t parent;
    buf paths;               /* where the program may be, each with its NUL byte */
    const char **shell_argv; /* for a script whose first line does not name its interpreter */
    spawn_failure *failure;
} spawn_order;

const char *spawn_step_text(int step)
{
    return step_texts[step];
}

void spawn_set_files(const struct rlimit *limit)
{
    spawn_files = *limit;
}

/*
 * ---- in the child, before its program runs ----
 *
 * It may have our memory, and our thread waits for it then. So it makes system calls and nothing else: libc's own forms
 * of some would change what our threads share, and sanitizers would take the child for one of them.
 */
#define SPAWN_RAW __attribute__((no_sanitize("address", "thread", "undefined")))

SPAWN_RAW static _Noreturn void spawn_fail(const spawn_order *order, int step)
{
    *order->failure = (spawn_failure){step, errno};
    for (;;)
        syscall(SYS_exit_group, 127);
}

/* Whatever the kernel's form of it is: all zero is the default action. */
SPAWN_RAW static void spawn_reset_signals(void)
{
    static const char default_action[64];
    static const char none[KERNEL_SIGNAL_BYTES];
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, default_action, NULL, KERNEL_SIGNAL_BYTES);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, KERNEL_SIGNAL_BYTES);
}

SPAWN_RAW static void spawn_close_later(unsigned fd)
{
    syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

/* Of an entry of /proc/self/fd; 0 for "." and "..". */
SPAWN_RAW static unsigned spawn_read_number(const char *text)
{
    unsigned number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (unsigned)(*text - '0');
    return number;
}

/* False: there is no /proc. */
SPAWN_RAW static bool spawn_close_listed(unsigned first)
{
    union {
        struct dirent64 entry;
        char bytes[4096];
    } room;
    long length, folder = syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return false;
    while ((length = syscall(SYS_getdents64, folder, &room, sizeof room)) > 0)
        for (const char *at = room.bytes; at < room.bytes + length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)at;
            unsigned fd = spawn_read_number(entry->d_name);
            if (fd >= first)
                spawn_close_later(fd);
            at += entry->d_reclen;
        }
    syscall(SYS_close, folder);
    return !length;
}

/* A kernel before 5.11, or a filter of a container, has no close_range. What we open ourselves is marked anyway. */
SPAWN_RAW static void spawn_close_from(unsigned first)
{
    enum { LISTLESS_MAX = 65536 };
    struct rlimit limit = {LISTLESS_MAX, LISTLESS_MAX};
    if (!syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) || spawn_close_listed(first))
        return;
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    for (unsigned fd = first; fd < limit.rlim_cur && fd < LISTLESS_MAX; fd++)
        spawn_close_later(fd);
}

/* All that is above its streams ends with the exec. */
SPAWN_RAW static void spawn_arrange_descriptors(const spawn_order *order)
{
    /* Out of the way first, as any of them may be one of the numbers that they are to get. */
    int inherited = order->options->inherited;
    unsigned count = inherited > 0 ? INHERITED_AS + 1 : STREAM_COUNT;
    long moved[INHERITED_AS + 1];
    bool is_wrong = false;
    for (unsigned i = 0; i < count; i++)
        moved[i] = syscall(SYS_fcntl, i < STREAM_COUNT ? order->fds[i] : inherited, F_DUPFD, BEYOND_STANDARD);
    for (unsigned i = 0; i < count && !is_wrong; i++)
        is_wrong = moved[i] < 0 || syscall(SYS_dup3, moved[i], i, 0) < 0;
    if (is_wrong)
        spawn_fail(order, STEP_DESCRIPTORS);
    spawn_close_from(count);
}

SPAWN_RAW static void spawn_set_limits(const spawn_order *order)
{
    const child_options *options = order->options;
    if (spawn_files.rlim_max)
        syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &spawn_files, NULL);
    for (size_t i = 0; i < options->limit_count; i++) {
        rlim_t max = (rlim_t)options->limits[i].max;
        const struct rlimit limit = {max, max};
        if (syscall(SYS_prlimit64, 0, options->limits[i].resource, &limit, NULL))
            spawn_fail(order, STEP_LIMITS);
    }
}

SPAWN_RAW static bool spawn_changes_user(const child_options *options)
{
    const child_user *user = &options->user;
    return user->name && (user->uid != geteuid() || user->gid != getegid());
}

SPAWN_RAW static void spawn_become_user(const spawn_order *order)
{
    const child_user *user = &order->options->user;
    if (!spawn_changes_user(order->options))
        return;
    if (syscall(SYS_setgroups, 1, &user->gid) || syscall(SYS_setgid, user->gid) || syscall(SYS_setuid, user->uid))
        spawn_fail(order, STEP_USER);
}

/* Has it end with its parent. */
SPAWN_RAW static void spawn_follow_parent(const spawn_order *order)
{
    int signal = order->options->death_signal;
    syscall(SYS_prctl, PR_SET_PDEATHSIG, signal ? signal : SIGKILL, 0, 0, 0);
    while (getppid() != order->parent)
        syscall(SYS_exit_group, 127); /* it died before we asked to be told */
}

/* As execvp(3) does: a path without the right does not hide the others, but it is the reason that is told. */
SPAWN_RAW static void spawn_exec(const spawn_order *order)
{
    const child_options *options = order->options;
    int problem = ENOENT;
    const char *end = order->paths.data + order->paths.length;
    for (const char *path = order->paths.data; path < end; path++) {
        syscall(SYS_execve, path, options->argv, options->environment);
        if (errno == ENOEXEC) {
            order->shell_argv[1] = path;
            syscall(SYS_execve, order->shell_argv[0], order->shell_argv, options->environment);
        }
        if (errno != ENOENT && errno != ENOTDIR)
            problem = errno;
        if (problem != ENOENT && problem != EACCES)
            break;
        while (*path)
            path++;
    }
    errno = problem;
}

SPAWN_RAW static int spawn_run(void *arg)
{
    const spawn_order *order = arg;
    const child_options *options = order->options;
    syscall(SYS_setpgid, 0, 0);
    spawn_reset_signals();
    spawn_follow_parent(order);
    spawn_arrange_descriptors(order);
    spawn_set_limits(order);
    spawn_become_user(order);
    spawn_follow_parent(order); /* again: the kernel forgets it when the user changes */
    if (options->directory && syscall(SYS_chdir, options->directory))
        spawn_fail(order, STEP_DIRECTORY);
    spawn_exec(order);
    spawn_fail(order, STEP_PROGRAM);
}

/* ---- in our process ---- */

spawn_failure *spawn_failure_new(void)
{
    void *page = mmap(NULL, sizeof(spawn_failure), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

void spawn_failure_free(spawn_failure *failure)
{
    if (failure)
        munmap(failure, sizeof *failure);
}

static bool spawn_prepare(spawn_order *order)
{
    size_t count = 0;
    while (order->options->argv[count])
        count++;
    order->shell_argv = mem_calloc(count + 2, sizeof *order->shell_argv);
    if (!order->shell_argv)
        return false;
    order->shell_argv[0] = "/bin/sh";
    for (size_t i = 1; i < count; i++)
        order->shell_argv[i + 1] = order->options->argv[i];
    buf_init(&order->paths, 0);
    search_path_list(order->options->environment, order->options->argv[0], &order->paths);
    return !buf_failed(&order->paths);
}

#ifdef __SANITIZE_THREAD__
/* The same, but the sanitizer does not take it for a fork of this process, in whose child it would allow no threads. */
extern int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

/* Signals wait meanwhile: a handler of ours must not run in the child. */
static pid_t spawn_clone(spawn_order *order, int *pid_fd)
{
    sigset_t all, before;
    char *stack = mem_alloc(STACK_BYTES);
    if (!stack)
        return errno = ENOMEM, -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_apart = order->options->may_hang || spawn_changes_user(order->options);
    int sharing = is_apart ? 0 : CLONE_VM | CLONE_VFORK;
    pid_t pid = clone(spawn_run, stack + STACK_BYTES, sharing | CLONE_PIDFD | SIGCHLD, order, pid_fd);
    int problem = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    mem_free(stack);
    errno = problem;
    return pid;
}

pid_t spawn_child(const child_options *options, const int *fds, int *pid_fd, spawn_failure *failure)
{
    spawn_order order = {.options = options, .fds = fds, .parent = getpid(), .failure = failure};
    *pid_fd = -1;
    errno = ENOMEM;
    pid_t pid = spawn_prepare(&order) ? spawn_clone(&order, pid_fd) : -1;
    int problem = errno;
    if (pid < 0)
        *pid_fd = -1;
    mem_free(order.shell_argv);
    buf_clear(&order.paths);
    errno = problem;
    return pid;
}
