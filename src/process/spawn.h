/*
 * The start of a child's program. The child shares our memory until then, as with vfork(2), so that what it costs does
 * not grow with our size, and our thread waits for it, a fraction of a millisecond. Only a child that others can keep
 * waiting gets a copy, as with fork(2), and nobody waits for it: one that becomes another user, who could stop it, and
 * one whose program or directory is on a file system that may hang. A disk of this machine that hangs holds our thread.
 *
 * Thread: the one whose end is to end the child, too.
 */
#ifndef PROCESS_SPAWN_H
#define PROCESS_SPAWN_H

#include "process/child.h"

/* Which step failed, and why (errno). `problem` 0: none did. Final when the child has ended. */
typedef struct spawn_failure {
    int step;
    int problem;
} spawn_failure;

/* In memory that children share with us. NULL: out of memory. */
spawn_failure *spawn_failure_new(void);
/* Accepts NULL. */
void spawn_failure_free(spawn_failure *failure);

/*
 * Starts the program of `options` with `fds` as its standard streams. Returns its process, with a descriptor for it in
 * `pid_fd`, or -1 with errno: no process could be had. One that cannot run its program fills `failure` and ends.
 */
pid_t spawn_child(const child_options *options, const int *fds, int *pid_fd, spawn_failure *failure);

/* "cannot enter its working directory". */
const char *spawn_step_text(int step);

/* The limit of open files that children get; see child_raise_open_files(). */
void spawn_set_files(const struct rlimit *limit);

#endif
