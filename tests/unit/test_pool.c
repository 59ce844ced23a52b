/* Worker threads: what was given up before it began never begins. */
#include "unit.h"

#include "event/loop.h"
#include "server/pool.h"

#include <unistd.h>

static _Atomic int begun;
static _Atomic bool may_end;

static int wait_for_the_end(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    begun++;
    while (!may_end)
        usleep(1000);
    return ASYNQ_DONE;
}

static asynq_mux *mux;
static loop *turns;
static loop_waker returns;
static job_port *port;
static job_pool *pool;

static void nothing(void *arg)
{
    (void)arg;
}

static void setup(int max_threads)
{
    const asynq_route route = {.pattern = "t", .handler = wait_for_the_end};
    mux = asynq_mux_new();
    ck_assert_int_eq(asynq_mux_handle(mux, &route, NULL), 0);
    turns = loop_new();
    ck_assert_int_eq(loop_waker_init(turns, &returns, nothing, NULL), 0);
    port = job_port_new(&returns);
    pool = job_pool_new(max_threads, mux, NULL);
}

static void teardown(void)
{
    job_port_close(port);
    job_port_unref(port);
    job_pool_shutdown(pool);
    loop_waker_clear(&returns);
    loop_free(turns);
    asynq_mux_free(mux);
}

static asynq_job *give(void)
{
    static const char raw[] = "\x0a\x01t\x12\x01p\x1a\x01i\x22\x01q";
    asynq_job *job = job_new(port, (bytes){raw, sizeof raw - 1}, NULL);
    job->route = mux_find(mux, job->type);
    job_ref(job); /* the handler's */
    ck_assert_int_eq(job_pool_run(pool, job), 0);
    return job;
}

static void wait_for(const _Atomic int *number, int wanted)
{
    for (int ms = 0; *number != wanted && ms < 10000; ms++)
        usleep(1000);
    ck_assert_int_eq(*number, wanted);
}

/* Takes back what was handed back. */
static int returned(void)
{
    int count = 0;
    for (asynq_job *job = job_port_take(port), *next; job; job = next, count++) {
        next = job->port_next;
        job_unref(job);
    }
    return count;
}

START_TEST(given_up_jobs_do_not_begin)
{
    setup(1);
    asynq_job *jobs[3];
    jobs[0] = give();
    job_pool_flush(pool);
    wait_for(&begun, 1);
    jobs[1] = give();
    jobs[2] = give();
    job_pool_flush(pool);
    job_cancel(jobs[1]);
    may_end = true;
    int back = 0;
    for (int ms = 0; back < 3 && ms < 10000; ms++, usleep(1000))
        back += returned();
    ck_assert_int_eq(back, 3);
    ck_assert_int_eq(begun, 2);
    for (int i = 0; i < 3; i++)
        job_unref(jobs[i]);
    teardown();
}
END_TEST

/* Who comes first decides, and only once. */
START_TEST(beginning_is_decided_once)
{
    setup(2);
    asynq_job *first = give(), *second = give();
    ck_assert(job_begin(first));
    ck_assert(!job_withdraw(first));
    ck_assert(job_withdraw(second));
    ck_assert(!job_begin(second));
    job_cancel(first);
    ck_assert(job_begin(first)); /* it has begun, and is told to end */
    may_end = true;
    job_unref(first);
    job_unref(second);
    job_pool_flush(pool);
    teardown();
}
END_TEST

Suite *suite_pool(void)
{
    const TTest *const list[] = {given_up_jobs_do_not_begin, beginning_is_decided_once, NULL};
    return suite_of("pool", list);
}
