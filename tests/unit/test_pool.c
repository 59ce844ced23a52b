/* Worker threads: what was given up before it began never begins. */
#include "unit.h"

#include "event/loop.h"
#include "server/job_port.h"
#include "server/pool.h"

#include <semaphore.h>
#include <sys/resource.h>
#include <unistd.h>

static _Atomic int begun;
static _Atomic bool may_end;

static int wait_for_the_end(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    begun++;
    while (!may_end)
        usleep(1000);
    return ASYNQ_OUTCOME_DONE;
}

static sem_t ended;

static int wait_for_the_mark(asynq_job *job, void *arg)
{
    (void)arg;
    begun++;
    bool is_cancelled = asynq_job_wait_cancelled(job, 60000);
    sem_post(&ended);
    return is_cancelled ? ASYNQ_OUTCOME_DONE : ASYNQ_OUTCOME_FAILED;
}

static asynq_handler handler = wait_for_the_end;
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
    const asynq_route route = {.pattern = "t", .handler = handler};
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
    job_cancel(jobs[1], ASYNQ_CANCEL_REQUESTED);
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
    job_cancel(first, ASYNQ_CANCEL_REQUESTED);
    ck_assert(job_begin(first)); /* it has begun, and is told to end */
    may_end = true;
    job_unref(first);
    job_unref(second);
    job_pool_flush(pool);
    teardown();
}
END_TEST

/* Those that wait for the cancel mark of their own job do not wake up at every other mark. */
START_TEST(each_is_woken_by_its_own_mark)
{
    enum { JOBS = 60 };
    handler = wait_for_the_mark;
    sem_init(&ended, 0, 0);
    setup(JOBS);
    asynq_job *jobs[JOBS];
    for (int i = 0; i < JOBS; i++)
        jobs[i] = give();
    job_pool_flush(pool);
    wait_for(&begun, JOBS);
    usleep(100000); /* the last one comes to wait */
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < JOBS; i++) {
        job_cancel(jobs[i], ASYNQ_CANCEL_REQUESTED);
        ck_assert_int_eq(sem_wait(&ended), 0); /* not by polling, which would be switches as well */
    }
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 10 * JOBS);
    returned();
    for (int i = 0; i < JOBS; i++)
        job_unref(jobs[i]);
    teardown();
}
END_TEST

Suite *suite_pool(void)
{
    const TTest *const list[] = {given_up_jobs_do_not_begin, beginning_is_decided_once, each_is_woken_by_its_own_mark,
                                 NULL};
    return suite_of("pool", list);
}
