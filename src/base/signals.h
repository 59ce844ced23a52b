/* Signals of a program that runs until it is told to end. Nothing else in the library touches them. */
#ifndef BASE_SIGNALS_H
#define BASE_SIGNALS_H

#include <signal.h>

typedef struct signals {
    sigset_t own, before;
} signals;

/* Takes these signals, up to a 0, from this thread and those that it starts later: they come to signals_wait() only. */
void signals_take(signals *taken, const int *which);
/* Waits for one of them and returns it. */
int signals_wait(const signals *taken);
/* Forgets those that have arrived since. */
void signals_forget(const signals *taken);
/* The thread has its mask back. */
void signals_give_back(const signals *taken);

#endif
