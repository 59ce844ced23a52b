/* See worker_child.h. */
#include "process/worker_child.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* argv, ending with NULL, and the environment. False: out of memory. */
static bool fill_program(const worker_options *options, child_options *wanted, arena *memory)
{
    const char *own[] = {"ASYNQ_WORKER_FD=3", NULL};
    const char **argv = arena_alloc(memory, (options->argv.count + 1) * sizeof *argv);
    wanted->argv = argv;
    wanted->environment = process_environment(&options->process, own, memory);
    if (!argv || !wanted->environment)
        return false;
    memcpy(argv, options->argv.items, options->argv.count * sizeof *argv);
    argv[options->argv.count] = NULL;
    return true;
}

static child *start_with(loop *l, const worker_options *options, const worker_child_events *events, int theirs,
                         asynq_error *error)
{
    arena memory;
    child *started = NULL;
    child_options wanted = process_child_options(&options->process);
    wanted.inherited = theirs;
    wanted.on_output = events->on_output;
    wanted.on_end = events->on_end;
    wanted.arg = events->arg;
    arena_init(&memory, 0);
    if (fill_program(options, &wanted, &memory))
        started = child_start(l, &wanted, error);
    else
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    arena_clear(&memory);
    return started;
}

child *worker_child_start(loop *l, const worker_options *options, const worker_child_events *events, int *fd,
                          asynq_error *error)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return error_set(error, ASYNQ_E_SYSTEM, "socketpair: %s", strerror(errno)), NULL;
    child *started = start_with(l, options, events, ends[1], error);
    close(ends[1]);
    if (!started)
        close(ends[0]);
    *fd = ends[0];
    return started;
}

int64_t worker_child_memory(child *started)
{
    char path[64];
    long pages = 0, size = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)child_pid(started));
    FILE *in = fopen(path, "re");
    if (in && fscanf(in, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    if (in)
        fclose(in);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}
