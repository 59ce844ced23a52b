/* See signals.h. */
#include "base/signals.h"

#include <stddef.h>
#include <time.h>

void signals_take(signals *taken, const int *which)
{
    sigemptyset(&taken->own);
    for (; *which; which++)
        sigaddset(&taken->own, *which);
    pthread_sigmask(SIG_BLOCK, &taken->own, &taken->before);
}

int signals_wait(const signals *taken)
{
    int signal;
    while ((signal = sigwaitinfo(&taken->own, NULL)) < 0)
        continue; /* interrupted by one that is not ours */
    return signal;
}

void signals_forget(const signals *taken)
{
    const struct timespec at_once = {0};
    while (sigtimedwait(&taken->own, NULL, &at_once) > 0)
        continue;
}

void signals_give_back(const signals *taken)
{
    pthread_sigmask(SIG_SETMASK, &taken->before, NULL);
}
