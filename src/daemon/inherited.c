/* See inherited.h. */
#include "daemon/inherited.h"

#include <signal.h>
#include <stddef.h>

typedef struct disposition {
    int signal;
    void (*handler)(int);
} disposition;

static const disposition dispositions[] = {
    {SIGCHLD, SIG_DFL}, /* if it is ignored, nobody learns how a child has ended, or that its number is free */
    {SIGPIPE, SIG_IGN},
    {SIGXFSZ, SIG_IGN},
};

void inherited_reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof dispositions / sizeof *dispositions; i++)
        signal(dispositions[i].signal, dispositions[i].handler);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void inherited_postpone_signals(void)
{
    sigset_t postpone;
    sigemptyset(&postpone);
    sigaddset(&postpone, SIGHUP);
    sigaddset(&postpone, SIGTSTP);
    sigprocmask(SIG_BLOCK, &postpone, NULL);
}
