/* See worker_pool.h. */
#include "process/worker_pool.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/error.h"
#include "handler/admission.h"
#include "handler/output.h"

#include <errno.h>
#include <inttypes.h>
#include <utlist.h>

enum {
    SHORTEST_PAUSE_MS = 500,
    LONGEST_PAUSE_MS = 30000,
    SURPLUS_AFTER_MS = 200, /* a task that has waited so long came by a wrong idea of the pace */
    STARTS_PER_TURN = 2,    /* as others wait for the loop */
    SETTLED_AFTER_MS = 200  /* a new process that lives for so long takes the place of an outdated one */
};

/* What call->work is while call->is_waiting; later it is the process that has the task. */
typedef struct waiting_call {
    handler_call *call;
    worker_pool *pool;
    int64_t since_ms; /* steady clock */
    struct waiting_call *prev, *next;
} waiting_call;

struct worker_pool {
    handler_host *host;
    const worker_options *options;
    worker_process *processes;
    size_t count;
    waiting_call *waiting;
    size_t waiting_count;
    int64_t pause_ms; /* before a process is started again; 0: the last start was good */
    loop_timer again;
    int last_number;
    int edition;      /* of the program; processes of another one are outdated */
    bool is_renewing; /* there are some, or were a moment ago */
    loop_timer settled;
    uint64_t stamp; /* of the program, when the edition began */
    uint64_t started, crashed;
    double ended_cpu_s;  /* of processes that have gone */
    admission admission; /* its places are those of the processes that are ready */
    bool is_limited;     /* by the concurrency, and that was told */
    bool is_stopping;
    void (*done)(void *arg); /* when it has stopped */
    void *done_arg;
};

/* ---- the work of a call ---- */

static void leave_waiting(handler_call *call)
{
    waiting_call *waiting = call->work;
    DL_DELETE(waiting->pool->waiting, waiting);
    waiting->pool->waiting_count--;
    call->is_waiting = false;
    mem_free(waiting);
}

/* The process with the fewest tasks. */
static worker_process *find_room(const worker_pool *pool)
{
    worker_process *process, *best = NULL;
    DL_FOREACH(pool->processes, process)
        if (worker_process_has_room(process) && (!best || process->task_count < best->task_count))
            best = process;
    return best;
}

static void pool_give(worker_pool *pool, worker_process *process, handler_call *call)
{
    call->work = process;
    admission_begin(&pool->admission);
    if (!handler_start(call)) {
        handler_end(call, ASYNQ_OUTCOME_REQUEUED);
        return;
    }
    if (call->output)
        handler_keep_output(call, call->output);
    worker_process_give(process, call);
}

static void pool_pump(worker_pool *pool)
{
    worker_process *process;
    while (pool->waiting && (process = find_room(pool))) {
        handler_call *call = pool->waiting->call;
        leave_waiting(call);
        pool_give(pool, process, call);
    }
}

/* Back to their queues, the newest first, so that the oldest is the next to run. They have not begun. */
static void requeue_newest(worker_pool *pool)
{
    handler_call *call = pool->waiting->prev->call;
    leave_waiting(call);
    handler_end(call, ASYNQ_OUTCOME_REQUEUED);
}

/* No process can be started: the tasks are for others, or for later. */
static void requeue_waiting(worker_pool *pool)
{
    while (pool->waiting)
        requeue_newest(pool);
}

/* Tasks that were taken for a pace that was, and which others may begin sooner. */
static bool requeue_surplus(void *arg)
{
    worker_pool *pool = arg;
    const worker_process *process;
    size_t running = 0;
    int64_t long_ago_ms = loop_steady_ms(pool->host->loop) - SURPLUS_AFTER_MS;
    while (pool->waiting_count > pool->admission.ahead && pool->waiting->prev->since_ms < long_ago_ms)
        requeue_newest(pool);
    DL_FOREACH(pool->processes, process)
        running += process->task_count;
    return pool->waiting_count + running > 0;
}

/* Processes with nothing to do while tasks wait are told of. What is one more during a renewal does not count. */
static void pool_compare_concurrency(worker_pool *pool)
{
    size_t places = pool->admission.places;
    bool was_limited = pool->is_limited;
    if (pool->is_renewing)
        return;
    pool->is_limited = places > (size_t)pool->host->concurrency;
    if (pool->is_limited && !was_limited)
        log_event(pool->host->log, LOG_POOL_LIMITED,
                  "%s: its processes have room for %zu tasks at the same time, and concurrency is %" PRId64,
                  pool->options->name, places, pool->host->concurrency);
}

static void pool_count_places(worker_pool *pool)
{
    const worker_process *process;
    size_t places = 0;
    DL_FOREACH(pool->processes, process)
        places += process->state == WORKER_READY ? process->capacity : 0;
    if (places != pool->admission.places)
        admission_set_places(&pool->admission, places);
    pool_compare_concurrency(pool);
}

void worker_pool_begin(worker_pool *pool, handler_call *call)
{
    waiting_call *waiting = mem_calloc(1, sizeof *waiting);
    if (!waiting) {
        handler_requeue(call, "no memory for a task of a worker pool", ENOMEM);
        return;
    }
    *waiting = (waiting_call){.call = call, .pool = pool, .since_ms = loop_steady_ms(pool->host->loop)};
    call->work = waiting;
    call->is_waiting = true;
    DL_APPEND(pool->waiting, waiting);
    pool->waiting_count++;
    if (pool->pause_ms && !pool->processes)
        requeue_waiting(pool);
    else
        pool_pump(pool);
}

void worker_pool_cancel(handler_call *call)
{
    if (call->is_waiting)
        leave_waiting(call);
    else
        worker_process_cancel(call->work, call);
}

asynq_capacity *worker_pool_capacity(const worker_pool *pool)
{
    return pool->admission.capacity;
}

/* ---- processes ---- */

static void start_processes(worker_pool *pool);

static bool worker_pool_is_outdated(const worker_pool *pool, const worker_process *process)
{
    return process->edition != pool->edition;
}

static size_t count_outdated(const worker_pool *pool)
{
    const worker_process *process;
    size_t count = 0;
    DL_FOREACH(pool->processes, process)
        count += worker_pool_is_outdated(pool, process);
    return count;
}

static size_t count_ready(const worker_pool *pool)
{
    const worker_process *process;
    size_t count = 0;
    DL_FOREACH(pool->processes, process)
        count += process->state == WORKER_READY;
    return count;
}

/* While there are outdated ones, one more than there are places for: the new one is there before an old one leaves. */
static size_t wanted_count(const worker_pool *pool)
{
    return (size_t)pool->options->size + (count_outdated(pool) > 0);
}

/* Those that are outdated may have ended by themselves, while none can be started. */
static void end_renewal(worker_pool *pool)
{
    if (!pool->is_renewing || count_outdated(pool) || count_ready(pool) < (size_t)pool->options->size ||
        pool->is_stopping)
        return;
    pool->is_renewing = false;
    log_event(pool->host->log, LOG_POOL_RESTARTED, "%s: all processes have been replaced", pool->options->name);
}

static void process_ready(worker_process *process, void *arg)
{
    worker_pool *pool = arg;
    (void)process;
    pool->pause_ms = 0;
    pool_count_places(pool);
    start_processes(pool);
    pool_pump(pool);
    if (pool->is_renewing)
        loop_timer_set(&pool->settled, SETTLED_AFTER_MS);
    end_renewal(pool);
}

static void process_has_room(worker_process *process, void *arg)
{
    (void)process;
    pool_count_places(arg); /* it may be about to be replaced */
    pool_pump(arg);
}

static void start_again_later(worker_pool *pool, const char *reason)
{
    pool->pause_ms = backoff_next_ms(pool->pause_ms, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
    log_event(pool->host->log, LOG_PROCESS_START_FAILED, "pool %s: %.900s; again in %.1f s", pool->options->name,
              reason, (double)pool->pause_ms / 1000);
    loop_timer_set(&pool->again, pool->pause_ms);
    if (!pool->processes)
        requeue_waiting(pool);
}

static void process_gone(worker_process *process, const char *reason, void *arg)
{
    worker_pool *pool = arg;
    bool is_useless = !reason && !process->done && !process->last_call; /* it ended without ever having had a task */
    bool was_told = process->is_told && !process->fault;
    DL_DELETE(pool->processes, process);
    pool->count--;
    pool->crashed += !reason && !was_told;
    pool->ended_cpu_s += process->cpu_s;
    worker_process_free(process);
    pool_count_places(pool);
    if (pool->is_stopping) {
        if (!pool->count)
            pool->done(pool->done_arg);
    } else if (reason || (is_useless && !was_told)) {
        start_again_later(pool, reason ? reason : "it said hello and ended");
    } else {
        start_processes(pool);
    }
    end_renewal(pool);
}

/* While the program is not known to work, one at a time. */
static bool may_start(const worker_pool *pool)
{
    const worker_process *process;
    if (pool->started && !pool->pause_ms)
        return true;
    DL_FOREACH(pool->processes, process)
        if (process->state == WORKER_STARTING)
            return false;
    return true;
}

static void start_processes(worker_pool *pool)
{
    asynq_error error;
    const worker_events events = {process_ready, process_has_room, process_gone, pool};
    for (int started = 0; !pool->is_stopping && pool->count < wanted_count(pool) && may_start(pool); started++) {
        if (started == STARTS_PER_TURN) {
            loop_timer_set(&pool->again, 0);
            return;
        }
        worker_process *process = worker_process_start(pool->host, pool->options, ++pool->last_number, &events, &error);
        if (!process) {
            start_again_later(pool, error.text);
            return;
        }
        process->edition = pool->edition;
        DL_APPEND(pool->processes, process);
        pool->count++;
        pool->started++;
    }
}

static void start_again(void *arg)
{
    start_processes(arg);
}

/* ---- replacing processes ---- */

/* The outdated process with the fewest tasks, if there are more that work than the pool has to have. */
static worker_process *find_surplus(const worker_pool *pool)
{
    worker_process *process, *best = NULL;
    DL_FOREACH(pool->processes, process)
        if (process->state == WORKER_READY && worker_pool_is_outdated(pool, process) &&
            (!best || process->task_count < best->task_count))
            best = process;
    return count_ready(pool) > (size_t)pool->options->size ? best : NULL;
}

static void drain_surplus(void *arg)
{
    worker_pool *pool = arg;
    worker_process *process = find_surplus(pool);
    if (!process)
        return; /* what was new has ended, or another is about to come */
    worker_process_drain(process);
    pool_count_places(pool);
}

/* New ones first, one at a time. If they cannot be started, the old ones go on. */
void worker_pool_renew(worker_pool *pool)
{
    if (pool->is_stopping)
        return;
    pool->edition++;
    pool->is_renewing = true;
    log_event(pool->host->log, LOG_POOL_RESTARTING, "%s: its processes are replaced, one after the other",
              pool->options->name);
    start_processes(pool);
}

void worker_pool_refresh(worker_pool *pool, uint64_t stamp)
{
    if (pool->stamp == stamp)
        return;
    pool->stamp = stamp;
    worker_pool_renew(pool);
}

/* ---- the whole ---- */

worker_pool *worker_pool_new(handler_host *host, const worker_options *options)
{
    worker_pool *pool = mem_calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (worker_pool){.host = host, .options = options, .stamp = options->stamp};
    loop_timer_init(host->loop, &pool->again, start_again, pool);
    loop_timer_init(host->loop, &pool->settled, drain_surplus, pool);
    if (!admission_init(&pool->admission, host->loop, 0, requeue_surplus, pool))
        return pool;
    mem_free(pool);
    return NULL;
}

void worker_pool_start(worker_pool *pool)
{
    start_processes(pool);
}

void worker_pool_stop(worker_pool *pool, void (*done)(void *arg), void *arg)
{
    worker_process *process;
    pool->is_stopping = true;
    pool->done = done;
    pool->done_arg = arg;
    loop_timer_cancel(&pool->again);
    loop_timer_cancel(&pool->settled);
    DL_FOREACH(pool->processes, process)
        worker_process_drain(process);
    if (!pool->count)
        done(arg);
}

void worker_pool_free(worker_pool *pool)
{
    if (!pool)
        return;
    loop_timer_cancel(&pool->again);
    loop_timer_cancel(&pool->settled);
    admission_clear(&pool->admission);
    while (pool->processes) {
        worker_process *process = pool->processes;
        DL_DELETE(pool->processes, process);
        worker_process_free(process);
    }
    mem_free(pool);
}

worker_pool_state worker_pool_get_state(const worker_pool *pool)
{
    const worker_process *process;
    worker_pool_state state = {.name = pool->options->name,
                               .size = (size_t)pool->options->size,
                               .processes = pool->count,
                               .ready = count_ready(pool),
                               .waiting = pool->waiting_count,
                               .started = pool->started,
                               .crashed = pool->crashed,
                               .cpu_s = pool->ended_cpu_s};
    DL_FOREACH(pool->processes, process) {
        state.cpu_s += process->cpu_s;
        state.resident_bytes += process->resident_bytes;
        state.running += process->task_count;
    }
    return state;
}

size_t worker_pool_each(worker_pool *pool, void (*visit)(worker_process *process, void *arg), void *arg)
{
    worker_process *process;
    if (visit)
        DL_FOREACH(pool->processes, process)
            visit(process, arg);
    return pool->count;
}
