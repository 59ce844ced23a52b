/* How long a task waits for its next attempt. */
#include "server/server.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "server/hooks.h"
#include "server/outcome.h"

#include <stdatomic.h>

#define DEFAULT_MAX_MS ASYNQ_HOURS(1)

/* A task that comes back sooner keeps Redis and a slot busy with nothing, and has no retries left in a moment. */
enum { PAUSE_MIN_MS = 100 };

/* So that nothing overflows. */
enum { RETRIES_MAX = 9000 };

/* n^4 + 15 + random(0..29) * (n + 1) seconds. */
int64_t asynq_default_retry_delay_ms(int retry_count)
{
    /* splitmix64: threads need not agree on anything but the counter. */
    static _Atomic uint64_t counter;
    uint64_t random = (uint64_t)clock_now_ns() + atomic_fetch_add(&counter, UINT64_C(0x9e3779b97f4a7c15));
    random = (random ^ (random >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    random = (random ^ (random >> 27)) * UINT64_C(0x94d049bb133111eb);
    int64_t n = retry_count < 0 ? 0 : retry_count < RETRIES_MAX ? retry_count : RETRIES_MAX;
    return (n * n * n * n + 15 + (int64_t)((random >> 31) % 30) * (n + 1)) * MS_PER_SECOND;
}

static int64_t asynq_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    (void)job;
    return asynq_default_retry_delay_ms(failure->retry_count);
}

static int64_t server_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    int64_t pause_ms = hook_retry_delay_ms(job->queue->server, failure);
    return pause_ms < 0 ? asynq_pause_ms(job, failure) : pause_ms;
}

static int64_t with_jitter_ms(asynq_job *job, int64_t pause_ms)
{
    int64_t max_ms = pause_ms / 100 * job->policy->retry.jitter_percent;
    if (!max_ms)
        return pause_ms;
    int64_t width_ms = saturating_add(saturating_mul(max_ms, 2), 1);
    return saturating_add(pause_ms - max_ms, server_random_below(job->queue->server, width_ms));
}

static int64_t constant_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    (void)failure;
    return with_jitter_ms(job, job->policy->retry.delay_ms);
}

static int64_t exponential_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    (void)failure;
    const asynq_retry_policy *policy = &job->policy->retry;
    int64_t pause_ms = policy->delay_ms, max_ms = policy->max_delay_ms;
    if (!max_ms)
        max_ms = pause_ms > DEFAULT_MAX_MS ? pause_ms : DEFAULT_MAX_MS;
    for (int i = 0; i < job->message.retried && pause_ms < max_ms; i++)
        pause_ms = saturating_mul(pause_ms, 2);
    return with_jitter_ms(job, pause_ms < max_ms ? pause_ms : max_ms);
}

static int64_t wished_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    static int64_t (*const pauses[])(asynq_job * job, const asynq_failure *failure) = {
        [ASYNQ_RETRY_BY_SERVER] = server_pause_ms,
        [ASYNQ_RETRY_CONSTANT] = constant_pause_ms,
        [ASYNQ_RETRY_EXPONENTIAL] = exponential_pause_ms,
        [ASYNQ_RETRY_ASYNQ] = asynq_pause_ms,
    };
    if (job->result_is_ours && job->retry_in_ms != ASYNQ_NONE)
        return job->retry_in_ms;
    return pauses[job->policy ? job->policy->retry.kind : ASYNQ_RETRY_BY_SERVER](job, failure);
}

int64_t retry_pause_ms(asynq_job *job, const asynq_failure *failure)
{
    int64_t pause_ms = wished_pause_ms(job, failure);
    if (job->result_is_ours && pause_ms < job->min_retry_in_ms)
        pause_ms = job->min_retry_in_ms;
    return pause_ms > PAUSE_MIN_MS ? pause_ms : PAUSE_MIN_MS;
}
