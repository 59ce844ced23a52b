/* See signal_watch.h. */
#include "event/signal_watch.h"

#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signal_watch_ready(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    signal_watch *w = arg;
    struct signalfd_siginfo info;
    while (read(w->fd, &info, sizeof info) == sizeof info)
        w->arrived((int)info.ssi_signo, w->arg);
}

int signal_watch_start(signal_watch *w, loop *l, const int *which, signal_watch_cb arrived, void *arg,
                       asynq_error *error)
{
    sigset_t taken;
    sigemptyset(&taken);
    for (; *which; which++)
        sigaddset(&taken, *which);
    if (pthread_sigmask(SIG_BLOCK, &taken, NULL) || (w->fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return error_set(error, ASYNQ_E_SYSTEM, "signalfd: %s", strerror(errno));
    w->arrived = arrived;
    w->arg = arg;
    loop_watch_init(l, &w->watch, w->fd, signal_watch_ready, w);
    loop_watch_set(&w->watch, true, false);
    return ASYNQ_OK;
}

void signal_watch_clear(signal_watch *w)
{
    if (!w->watch.cb)
        return;
    loop_watch_clear(&w->watch);
    close(w->fd);
}
