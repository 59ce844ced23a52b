#include "unit.h"

#include "event/timer.h"
#include "process/child.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/* A child, and the loop that waits for its end. */
typedef struct scene {
    loop *loop;
    loop_timer patience;
    child *child;
    int ends, code, signal, problem;
    size_t length;     /* of what it wrote */
    unsigned pause_us; /* after each part of it */
} scene;

static void lose_patience(void *arg)
{
    loop_stop(((scene *)arg)->loop);
}

static void take_output(void *arg, int stream, const char *data, size_t length)
{
    (void)stream, (void)data;
    scene *s = arg;
    s->length += length;
    if (s->pause_us)
        usleep(s->pause_us);
}

static void take_end(void *arg, const child_end *end)
{
    scene *s = arg;
    s->ends++;
    s->code = end->code;
    s->signal = end->signal;
    s->problem = end->problem;
    child_free(s->child);
    s->child = NULL;
    loop_stop(s->loop);
}

static void scene_begin(scene *s, const char *script)
{
    static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"sh", "-c", script, NULL};
    asynq_error error;
    *s = (scene){.loop = loop_new()};
    loop_timer_init(s->loop, &s->patience, lose_patience, s);
    loop_timer_set(&s->patience, PATIENCE_MS);
    s->child = child_start(
        s->loop,
        &(child_options){
            .argv = argv, .environment = environment, .on_output = take_output, .on_end = take_end, .arg = s},
        &error);
    ck_assert_msg(s->child != NULL, "%s", error.text);
}

static void scene_end(scene *s)
{
    loop_timer_cancel(&s->patience);
    child_free(s->child);
    child_leave_all(PATIENCE_MS);
    loop_free(s->loop);
}

START_TEST(ends)
{
    scene s;
    scene_begin(&s, "echo said; exit 3");
    loop_run(s.loop);
    ck_assert(s.ends == 1 && s.code == 3 && !s.problem && s.length == 5);
    scene_end(&s);
    scene_begin(&s, "kill -9 $$");
    loop_run(s.loop);
    ck_assert(s.ends == 1 && s.signal == SIGKILL && !s.problem);
    scene_end(&s);
}
END_TEST

/* Its end is told, and is no success. */
START_TEST(ends_that_others_take)
{
    scene s;
    signal(SIGCHLD, SIG_IGN); /* then it is the kernel */
    scene_begin(&s, "exit 0");
    loop_run(s.loop);
    ck_assert(s.ends == 1 && s.problem == ECHILD);
    scene_end(&s);
    signal(SIGCHLD, SIG_DFL);
    scene_begin(&s, "exit 0");
    ck_assert_int_eq(waitpid(-1, NULL, 0), child_pid(s.child));
    loop_run(s.loop);
    ck_assert(s.ends == 1 && s.problem == ECHILD);
    scene_end(&s);
}
END_TEST

/* Sleeps with our child in its hand, which so can be killed, but not waited for. */
static pid_t trace(pid_t pid)
{
    int told[2];
    char is_traced = 0;
    ck_assert(!pipe(told));
    pid_t tracer = fork();
    if (!tracer) {
        is_traced = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
        (void)!write(told[1], &is_traced, 1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(told[0], &is_traced, 1), 1);
    ck_assert_msg(is_traced, "no process may be traced here");
    return tracer;
}

/* One that is held in the kernel holds nobody here. */
START_TEST(freed_before_it_ends)
{
    scene s;
    scene_begin(&s, "exec sleep 600");
    pid_t pid = child_pid(s.child), tracer = trace(pid);
    child_free(s.child);
    s.child = NULL;
    ck_assert(child_is_ours(pid));
    loop_timer_set(&s.patience, 300);
    loop_run(s.loop);
    ck_assert(child_is_ours(pid) && !s.ends);
    kill(tracer, SIGKILL);
    waitpid(tracer, NULL, 0);
    while (child_is_ours(pid)) {
        loop_timer_set(&s.patience, 10);
        loop_run(s.loop);
    }
    ck_assert(kill(pid, 0) && errno == ESRCH && !s.ends);
    scene_end(&s);
}
END_TEST

/* What is there is read, not what comes meanwhile. */
START_TEST(endless_output)
{
    enum { TRIES = 5, PIPE_BYTES = 65536 };
    scene s;
    scene_begin(&s, "exec yes");
    s.pause_us = 5000; /* there is more by then */
    for (int i = 0; i < TRIES; i++) {
        usleep(s.pause_us);
        s.length = 0;
        child_read(s.child);
        ck_assert_uint_le(s.length, PIPE_BYTES);
    }
    scene_end(&s);
}
END_TEST

static void forbid_close_range(int problem)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)problem),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    ck_assert(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* No child has a descriptor of ours, also where the kernel, or a filter, has no call that closes them all. */
START_TEST(descriptors)
{
    scene s;
    int many = 0;
    while (many < 500)
        many = dup(STDERR_FILENO); /* not marked to be closed */
    ck_assert_int_ge(many, 500);
    static const int problems[] = {0, ENOSYS, EPERM};
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        if (problems[i])
            forbid_close_range(problems[i]);
        scene_begin(&s, "set /proc/self/fd/*; exit $#"); /* with the one that looks */
        loop_run(s.loop);
        ck_assert(s.ends == 1 && !s.problem);
        ck_assert_int_eq(s.code, 4);
        scene_end(&s);
    }
}
END_TEST

Suite *suite_child(void)
{
    const TTest *const tests[] = {ends, ends_that_others_take, freed_before_it_ends, endless_output, descriptors, NULL};
    return suite_of("child", tests);
}
