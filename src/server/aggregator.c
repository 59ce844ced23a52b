/* The aggregator's thread; see aggregation.h. */
#include "server/aggregation.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <utlist.h>

struct aggregator {
    pthread_mutex_t lock;
    pthread_cond_t work; /* something waits, or it is over */
    int refs;            /* the server's and the thread's; under the lock */
    bool is_closed;
    bool is_busy; /* in user code */
    pthread_t thread;
    asynq_aggregation *waiting, *returned;
    loop_waker *waker; /* NULL once closed */
    int (*run)(asynq_aggregation *aggregation, void *arg);
    void *arg;
};

/* Under the lock, which is given up. */
static void aggregator_unref(aggregator *a)
{
    bool is_last = --a->refs == 0;
    pthread_mutex_unlock(&a->lock);
    if (!is_last)
        return;
    asynq_aggregation *aggregation, *next;
    LL_CONCAT(a->waiting, a->returned);
    LL_FOREACH_SAFE(a->waiting, aggregation, next)
    {
        aggregation_free(aggregation);
    }
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

static void *aggregator_thread(void *arg)
{
    aggregator *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->is_closed) {
        asynq_aggregation *aggregation = a->waiting;
        if (!aggregation) {
            pthread_cond_wait(&a->work, &a->lock);
            continue;
        }
        LL_DELETE(a->waiting, aggregation);
        a->is_busy = true;
        pthread_mutex_unlock(&a->lock);
        aggregation->outcome = a->run(aggregation, a->arg);
        pthread_mutex_lock(&a->lock);
        a->is_busy = false;
        LL_APPEND(a->returned, aggregation);
        if (a->waker)
            loop_waker_wake(a->waker);
    }
    aggregator_unref(a);
    return NULL;
}

aggregator *aggregator_new(const asynq_server_options *options, loop_waker *returned)
{
    aggregator *a = mem_calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    a->waker = returned;
    a->run = options->aggregate;
    a->arg = options->arg;
    a->refs = 2;
    if (thread_start(&a->thread, aggregator_thread, a, NULL)) {
        pthread_mutex_lock(&a->lock);
        a->refs = 1;
        aggregator_unref(a);
        return NULL;
    }
    return a;
}

void aggregator_close(aggregator *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->is_closed = true;
    a->waker = NULL;
    bool is_busy = a->is_busy;
    pthread_t thread = a->thread;
    pthread_cond_signal(&a->work);
    aggregator_unref(a);
    if (is_busy)
        pthread_detach(thread); /* it ends when the aggregator returns */
    else
        pthread_join(thread, NULL);
}

void aggregator_run(aggregator *a, asynq_aggregation *aggregation)
{
    pthread_mutex_lock(&a->lock);
    LL_APPEND(a->waiting, aggregation);
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

asynq_aggregation *aggregator_take(aggregator *a)
{
    pthread_mutex_lock(&a->lock);
    asynq_aggregation *first = a->returned;
    if (first)
        LL_DELETE(a->returned, first);
    pthread_mutex_unlock(&a->lock);
    return first;
}
