/*
 * Loaded into asynqd by the soak test: writes each second into the file ASYNQ_HELD_FILE how many bytes the program has
 * allocated and not freed. With the address sanitizer the memory of the process does not show that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t held_bytes(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void *write_held(void *arg)
{
    char line[32];
    for (;; sleep(1)) {
        int length = snprintf(line, sizeof line, "%20zu\n", held_bytes()); /* as long each time */
        (void)!pwrite(*(int *)arg, line, (size_t)length, 0);
    }
    return NULL;
}

__attribute__((constructor)) static void held_begin(void)
{
    static int fd;
    pthread_t thread;
    sigset_t all, before;
    const char *file = getenv("ASYNQ_HELD_FILE");
    unsetenv("LD_PRELOAD"); /* it is not for the processes that asynqd starts */
    if (!file || strcmp(program_invocation_short_name, "asynqd") != 0)
        return;
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    if (fd >= 0 && !pthread_create(&thread, NULL, write_held, &fd))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
