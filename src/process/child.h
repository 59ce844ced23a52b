/*
 * A child process: started without a shell, with what it may have and nothing else, watched by the loop.
 *
 * It gets a process group of its own, default signals with an empty mask, no descriptors but those named here, and a
 * signal when we die. Thread: that of the loop.
 */
#ifndef PROCESS_CHILD_H
#define PROCESS_CHILD_H

#include "base/bytes.h"
#include "event/loop.h"

#include <asynq/error.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef struct child child;

/* What became of it. */
typedef struct child_end {
    const char *failure; /* it could not be started: why; else NULL */
    int problem;         /* its errno */
    int code;            /* exit status, if `signal` is 0 */
    int signal;          /* that ended it */
    struct rusage usage;
} child_end;

typedef struct child_limit {
    int resource; /* RLIMIT_... */
    int64_t max;
} child_limit;

typedef struct child_user {
    const char *name; /* NULL: ours */
    uid_t uid;
    gid_t gid;
    char home[256]; /* its directory */
} child_user;

typedef struct child_options {
    const char *const *argv;        /* ends with NULL; argv[0] is looked for in the PATH of its environment */
    const char *const *environment; /* "NAME=value", ends with NULL: all there is */
    const char *directory;          /* NULL: ours */
    bool may_hang;                  /* what its start needs is where one may have to wait for it */
    child_user user;
    const child_limit *limits;
    size_t limit_count;
    int death_signal; /* when our process ends; default KILL */
    bytes input;      /* for its standard input, copied; the input ends behind it */
    int inherited;    /* a descriptor that it gets as number 3; below 1: none. Stays ours as well */

    /* What it writes to standard output (1) and error (2). */
    void (*on_output)(void *arg, int stream, const char *data, size_t length);
    /* It has ended, and so has everything in its group. The child must be freed afterwards; it may be from here. */
    void (*on_end)(void *arg, const child_end *end);
    void *arg;
} child_options;

/*
 * Starts it. Returns NULL with `error` and errno if there are no descriptors, memory or processes left; a program that
 * cannot be run is told by on_end.
 */
child *child_start(loop *l, const child_options *options, asynq_error *error);
/* Kills what is still running, without on_end; the loop, and child_leave_all(), see to its end. Accepts NULL. */
void child_free(child *c);
/*
 * Kills what there still is, and waits up to so long for it to end; what the kernel keeps is left behind. Before the
 * loop goes, when nobody has a child any more.
 */
void child_leave_all(int64_t within_ms);

/* Has on_output told now what it has written so far. */
void child_read(child *c);
/* Sends a signal to its group. */
void child_signal(child *c, int signal);
pid_t child_pid(const child *c);
/* Whether a process was started here, and its end is still to be told. */
bool child_is_ours(pid_t pid);

/*
 * Lets our process have as many open files as the kernel allows it; children get the limit that there was before, as
 * programs that use select() cannot bear more. Once, at the start.
 */
void child_raise_open_files(void);

/* Fills `user`. Returns 0, ASYNQ_E_NOT_FOUND or ASYNQ_E_SYSTEM. */
ASYNQ_MUST_CHECK int child_find_user(const char *name, child_user *user, asynq_error *error);

/* "exit status 3", "killed by signal 9 (Killed)". `text` holds 64 bytes. Returns `text`. */
const char *child_describe_end(const child_end *end, char *text);

#endif
