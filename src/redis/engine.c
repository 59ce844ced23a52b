/* See engine.h. */
#include "redis/engine.h"

#include "base/error.h"
#include "base/process.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <unistd.h>

/* The orders in the order in which they came. */
static engine_order *engine_take_orders(engine *e)
{
    engine_order *last = atomic_exchange(&e->submitted, NULL), *first = NULL;
    while (last) {
        engine_order *order = last;
        last = order->next;
        order->next = first;
        first = order;
    }
    return first;
}

static void engine_run_orders(engine *e)
{
    engine_order *orders = engine_take_orders(e);
    while (orders) {
        engine_order *order = orders;
        orders = order->next; /* before the call, which may free it */
        order->run(order->arg);
    }
}

static void engine_woken(void *arg)
{
    engine *e = arg;
    engine_run_orders(e);
    if (e->options.ordered)
        e->options.ordered(e->options.arg);
}

int engine_open(engine *e, const engine_options *options, asynq_error *error)
{
    e->pid = getpid(); /* first: a child of a fork meanwhile must not take it for unused */
    e->options = *options;
    e->waker.fd = -1;
    e->loop = loop_new();
    int status = e->loop ? loop_waker_init(e->loop, &e->waker, engine_woken, e) : ASYNQ_E_NO_MEMORY;
    if (!status) {
        e->nodes = redis_nodes_new(&(redis_nodes_options){.loop = e->loop,
                                                          .uri = options->uri,
                                                          .log = options->log,
                                                          .name = options->name,
                                                          .key_prefix = options->key_prefix,
                                                          .events = options->events});
        status = e->nodes ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    }
    if (!status)
        return ASYNQ_OK;
    engine_close(e);
    return status == ASYNQ_E_SYSTEM
               ? error_set(error, status, "cannot make an event descriptor; are too many files open?")
               : error_set_code(error, status);
}

static void *engine_run(void *arg)
{
    engine *e = arg;
    loop_run(e->loop);
    return NULL;
}

int engine_start(engine *e, asynq_error *error)
{
    int status = thread_start(&e->thread, engine_run, e, error);
    e->has_thread = !status;
    return status;
}

void engine_submit(engine *e, engine_order *order)
{
    order->next = atomic_load(&e->submitted);
    while (!atomic_compare_exchange_weak(&e->submitted, &order->next, order))
        continue;
    loop_waker_wake(&e->waker);
}

void engine_wake(engine *e)
{
    loop_waker_wake(&e->waker);
}

void engine_stop(engine *e)
{
    redis_nodes_free(e->nodes);
    e->nodes = NULL;
    loop_stop(e->loop);
}

void engine_join(engine *e)
{
    if (e->has_thread)
        pthread_join(e->thread, NULL);
    e->has_thread = false;
}

void engine_run_left(engine *e)
{
    engine_run_orders(e);
}

void engine_close(engine *e)
{
    engine_join(e);
    if (e->loop) {
        redis_nodes_free(e->nodes); /* if the loop never ran; they go with the loop */
        loop_waker_clear(&e->waker);
        loop_free(e->loop);
    }
    e->nodes = NULL;
    e->loop = NULL;
    e->pid = 0;
}

bool engine_is_own_thread(const engine *e)
{
    return e->has_thread && pthread_equal(pthread_self(), e->thread);
}

int engine_check_process(const engine *e, const char *what, asynq_error *error)
{
    return process_check(e->pid, what, error);
}
