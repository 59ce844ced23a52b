/* See lookup.h. The thread and the loop share the lookup; the last of the two frees it. */
#include "redis/lookup.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "event/watch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct redis_lookup {
    _Atomic int refs;
    int done_fd; /* readable when the thread has an answer */
    loop_watch watch;
    redis_lookup_cb cb;
    void *arg;
    char port[16];
    int problem;
    struct addrinfo *addresses;
    char host[];
};

static void lookup_unref(redis_lookup *lookup)
{
    if (--lookup->refs)
        return;
    if (lookup->addresses)
        freeaddrinfo(lookup->addresses);
    close(lookup->done_fd);
    mem_free(lookup);
}

static void *lookup_run(void *arg)
{
    redis_lookup *lookup = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uint64_t one = 1;
    lookup->problem = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->addresses);
    (void)!write(lookup->done_fd, &one, sizeof one); /* the loop sees what was written before */
    lookup_unref(lookup);
    return NULL;
}

static void lookup_done(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    redis_lookup *lookup = arg;
    struct addrinfo *addresses = lookup->addresses;
    uint64_t count;
    (void)!read(lookup->done_fd, &count, sizeof count);
    lookup->addresses = NULL;
    redis_lookup_cb cb = lookup->cb;
    void *owner = lookup->arg;
    int problem = lookup->problem;
    redis_lookup_abandon(lookup);
    cb(owner, problem, addresses);
}

redis_lookup *redis_lookup_start(loop *l, const char *host, int port, redis_lookup_cb cb, void *arg, asynq_error *error)
{
    redis_lookup *lookup = mem_calloc(1, sizeof *lookup + strlen(host) + 1);
    if (!lookup) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    lookup->refs = 2;
    lookup->cb = cb;
    lookup->arg = arg;
    strcpy(lookup->host, host);
    snprintf(lookup->port, sizeof lookup->port, "%d", port);
    lookup->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->done_fd < 0) {
        error_set(error, ASYNQ_E_SYSTEM, "cannot look up the host: %s", strerror(errno));
        mem_free(lookup);
        return NULL;
    }
    pthread_t thread;
    if (thread_start(&thread, lookup_run, lookup, error)) {
        close(lookup->done_fd);
        mem_free(lookup);
        return NULL;
    }
    pthread_detach(thread); /* getaddrinfo() cannot be told to stop, so nobody may have to wait for it */
    loop_watch_init(l, &lookup->watch, lookup->done_fd, lookup_done, lookup);
    loop_watch_set(&lookup->watch, true, false);
    return lookup;
}

void redis_lookup_abandon(redis_lookup *lookup)
{
    if (!lookup)
        return;
    loop_watch_clear(&lookup->watch);
    lookup_unref(lookup);
}

struct addrinfo *redis_lookup_number(const char *host, int port)
{
    char text[16];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address = NULL;
    snprintf(text, sizeof text, "%d", port);
    return getaddrinfo(host, text, &hints, &address) == 0 ? address : NULL;
}
