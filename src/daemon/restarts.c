/* See restarts.h. */
#include "daemon/restarts.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/name_set.h"
#include "event/waker.h"

#include <pthread.h>
#include <string.h>

enum { RESTARTS_MAX = 64000 /* bytes of names that wait; whoever sends more is not meant well */ };

#define RESTART_POOL "restart-pool "

struct restarts {
    void (*restart)(void *arg, const char *pool);
    void *arg;
    loop_waker wake;
    pthread_mutex_t lock;
    buf names; /* each ends with a NUL; under the lock */
};

static void restart_all(void *arg)
{
    restarts *r = arg;
    pthread_mutex_lock(&r->lock);
    buf names = r->names;
    buf_init(&r->names, RESTARTS_MAX);
    pthread_mutex_unlock(&r->lock);
    name_set told = {0}; /* who says it twice at once means it once */
    for (size_t at = 0; at < names.length; at += strlen(names.data + at) + 1) {
        const char *name = names.data + at;
        if (name_set_find(&told, name))
            continue;
        (void)name_set_add(&told, name);
        r->restart(r->arg, name);
    }
    name_set_clear(&told);
    buf_clear(&names);
}

void restarts_take(restarts *r, const char *text, size_t length)
{
    const size_t skipped = sizeof RESTART_POOL - 1;
    if (length <= skipped || memcmp(text, RESTART_POOL, skipped) != 0 || memchr(text, '\0', length))
        return;
    pthread_mutex_lock(&r->lock);
    if (r->names.length + length < RESTARTS_MAX) {
        buf_append(&r->names, text + skipped, length - skipped);
        buf_append(&r->names, "", 1);
    }
    pthread_mutex_unlock(&r->lock);
    loop_waker_wake(&r->wake);
}

restarts *restarts_new(loop *l, void (*restart)(void *arg, const char *pool), void *arg)
{
    restarts *r = mem_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->restart = restart;
    r->arg = arg;
    pthread_mutex_init(&r->lock, NULL);
    buf_init(&r->names, RESTARTS_MAX);
    if (!loop_waker_init(l, &r->wake, restart_all, r))
        return r;
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
    return NULL;
}

void restarts_free(restarts *r)
{
    if (!r)
        return;
    loop_waker_clear(&r->wake);
    pthread_mutex_destroy(&r->lock);
    buf_clear(&r->names);
    mem_free(r);
}
