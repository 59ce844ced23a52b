/* See shortage.h. */
#include "handler/shortage.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/open_files.h"
#include "event/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_MIN_MS = 250,
    PAUSE_MAX_MS = 15000,
    LASTING_MS = 2000, /* so long without a shortage: the next pause is a short one again */
    GROW_MS = 1000,    /* from one step to the next */
    CALM_STEPS = 10,   /* after so many, and with room to spare, nothing is lacking any more */
    RESERVE_MAX = 32,  /* descriptors */
    RESERVE_SHARE = 8, /* and not more than one of so many */
};

struct shortage {
    shortage_options options;
    loop_timer timer;
    log_limit log_limit;
    backoff pauses;
    int64_t share; /* tasks that may run when the pause is over */
    int calm;      /* steps since the last shortage */
    bool is_lacking, is_paused;
    char text[256];
};

/* ---- descriptors ---- */

bool shortage_may_keep(int fd, bool for_process)
{
    if (fd < 0)
        return false;
    int64_t reserve = open_files_share(RESERVE_SHARE, 0, RESERVE_MAX) * (for_process ? 2 : 1);
    bool may_keep = fd + reserve < open_files_limit(); /* the kernel gives the lowest that is free */
    if (!may_keep)
        errno = EMFILE;
    return may_keep;
}

bool shortage_has_descriptor(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    bool has_one = shortage_may_keep(fd, false);
    int problem = errno;
    if (fd >= 0)
        close(fd);
    errno = problem;
    return has_one || problem == EBADF;
}

bool shortage_is_one(int problem)
{
    static const int problems[] = {EMFILE, ENFILE, EAGAIN, ENOMEM, ENOBUFS, ENOSPC, EDQUOT};
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        if (problems[i] == problem)
            return true;
    return false;
}

/* ---- its course ---- */

/*
 * The pause is over, or it went well for one more step. What is taken grows slowly, as each step too far costs a pause,
 * and tasks that go back.
 */
static void shortage_ease(void *arg)
{
    shortage *s = arg;
    if (!s->is_paused) {
        s->share += s->share / 16 + 1;
        s->calm++;
    }
    s->is_paused = false;
    s->is_lacking = s->calm < CALM_STEPS || s->share < 2 * s->options.running(s->options.arg);
    if (s->is_lacking)
        loop_timer_set(&s->timer, GROW_MS);
    s->options.changed(s->options.arg);
}

void shortage_tell(shortage *s, const char *what, int problem)
{
    snprintf(s->text, sizeof s->text, "%s: %s", what, strerror(problem));
    if (s->is_paused)
        return; /* those that were on their way when the first one failed */
    int64_t running = s->options.running(s->options.arg);
    int64_t share = (s->is_lacking && s->share < running ? s->share : running) / 2;
    int64_t pause_ms = backoff_pause_ms(&s->pauses, loop_steady_ms(s->options.loop));
    s->share = share > 1 ? share : 1;
    s->calm = 0;
    s->is_lacking = s->is_paused = true;
    log_event_repeated(s->options.log, &s->log_limit, LOG_RESOURCES_EXHAUSTED,
                       "%s; tasks wait in their queues: none are taken for %.2g s, then at most %" PRId64
                       " at the same "
                       "time, and slowly more",
                       s->text, (double)pause_ms / 1000, s->share);
    loop_timer_set(&s->timer, pause_ms);
    s->options.changed(s->options.arg);
}

int64_t shortage_limit(const shortage *s)
{
    return !s->is_lacking ? INT64_MAX : s->is_paused ? 0 : s->share;
}

const char *shortage_problem(const shortage *s)
{
    return s->is_lacking ? s->text : NULL;
}

bool shortage_is_paused(const shortage *s)
{
    return s->is_paused;
}

shortage *shortage_new(const shortage_options *options)
{
    shortage *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->options = *options;
    s->pauses = (backoff){.min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS, .lasting_ms = LASTING_MS};
    loop_timer_init(options->loop, &s->timer, shortage_ease, s);
    return s;
}

void shortage_free(shortage *s)
{
    if (!s)
        return;
    loop_timer_cancel(&s->timer);
    mem_free(s);
}
