/* See errands.h. */
#include "event/errands.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "event/waker.h"

/* In the order of their coming. */
typedef struct errand_queue {
    errand *first, **end;
} errand_queue;

struct errands {
    pthread_t thread;
    loop_waker finished;
    pthread_mutex_t lock;
    pthread_cond_t sent;
    errand_queue waiting, ended; /* under the lock, as is_ending */
    bool is_ending;
};

static void queue_clear(errand_queue *q)
{
    *q = (errand_queue){.end = &q->first};
}

static void errands_queue_add(errand_queue *q, errand *one)
{
    one->next = NULL;
    *q->end = one;
    q->end = &one->next;
}

/* NULL: it is empty. */
static errand *queue_take(errand_queue *q)
{
    errand *one = q->first;
    if (one && !(q->first = one->next))
        q->end = &q->first;
    return one;
}

static void *run_errands(void *arg)
{
    errands *e = arg;
    pthread_mutex_lock(&e->lock);
    while (!e->is_ending) {
        errand *one = queue_take(&e->waiting);
        if (!one) {
            pthread_cond_wait(&e->sent, &e->lock);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        one->run(one);
        pthread_mutex_lock(&e->lock);
        errands_queue_add(&e->ended, one);
        loop_waker_wake(&e->finished);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static void tell_done(errand *list)
{
    while (list) {
        errand *one = list;
        list = one->next;
        one->done(one);
    }
}

static void errands_finished(void *arg)
{
    errands *e = arg;
    pthread_mutex_lock(&e->lock);
    errand *list = e->ended.first;
    queue_clear(&e->ended);
    pthread_mutex_unlock(&e->lock);
    tell_done(list);
}

bool errands_send(errands *e, errand *one)
{
    pthread_mutex_lock(&e->lock);
    bool is_taken = !e->is_ending;
    if (is_taken) {
        errands_queue_add(&e->waiting, one);
        pthread_cond_signal(&e->sent);
    }
    pthread_mutex_unlock(&e->lock);
    return is_taken;
}

static void errands_clear(errands *e)
{
    loop_waker_clear(&e->finished);
    pthread_cond_destroy(&e->sent);
    pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

errands *errands_new(loop *l, asynq_error *error)
{
    errands *e = mem_calloc(1, sizeof *e);
    if (!e)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    queue_clear(&e->waiting);
    queue_clear(&e->ended);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->sent, NULL);
    e->finished.fd = -1;
    int status = loop_waker_init(l, &e->finished, errands_finished, e);
    if (status)
        error_set_code(error, status);
    else
        status = thread_start(&e->thread, run_errands, e, error);
    if (!status)
        return e;
    errands_clear(e);
    return NULL;
}

void errands_free(errands *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->is_ending = true;
    pthread_cond_signal(&e->sent);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    tell_done(e->ended.first);
    tell_done(e->waiting.first);
    errands_clear(e);
}
