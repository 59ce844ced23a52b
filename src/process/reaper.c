/* See reaper.h. */
#include "process/reaper.h"

#include "process/child.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 1000 };

static _Atomic int reaper_holds;

static bool reaper_is_needed(void)
{
    int is_subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper, 0, 0, 0);
    return getpid() == 1 || is_subreaper;
}

/* One of ours in front of the others is fetched by its owner, and they at the next look. */
static void reaper_look(void *arg)
{
    reaper *r = arg;
    siginfo_t info = {0};
    while (!reaper_holds && !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid &&
           !child_is_ours(info.si_pid)) {
        waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
    loop_timer_set(&r->look, LOOK_MS);
}

void reaper_start(reaper *r, loop *l)
{
    loop_timer_init(l, &r->look, reaper_look, r);
    if (reaper_is_needed())
        loop_timer_set(&r->look, LOOK_MS);
}

void reaper_stop(reaper *r)
{
    loop_timer_cancel(&r->look);
}

void reaper_hold(void)
{
    reaper_holds++;
}

void reaper_release(void)
{
    reaper_holds--;
}
