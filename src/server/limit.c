/*
 * Limits of routes, which hold for all servers together. A job needs a token of its scope, of which Redis keeps the
 * account.
 *
 *   limit_enter() --> waiting --> asked --granted--> held --handler returned--> to be given back --> free
 *                        |  ^        |
 *                        |  +--none--+
 *                        +--> postponed, when too many wait here or it has waited for long: among the retries
 *
 * One call per scope is under way: it gives tokens back, prolongs those that are held, and takes others, so a token
 * passes from one job to the next in one round trip. While all are taken we ask again at the pace at which tokens
 * were had lately; and tasks that are postponed come back one after the other, instead of all at once.
 *
 * A token is held until the deadline of the attempt in Go. Ours are held for some seconds and prolonged, so that those
 * of a dead server are free when its leases are.
 */
#include "server/limit.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "broker/semaphore.h"
#include "server/attempt.h"
#include "server/outcome.h"
#include "server/server.h"

#include <utlist.h>

enum {
    CALL_TOKENS = 64, /* of each kind in one call */
    PROLONG_EVERY_S = 5,
    ASK_MIN_MS = 50, /* between two calls while all tokens are taken */
    ASK_MAX_MS = 1000,
    WAIT_MAX_MS = 5000,   /* in a server that holds no token that could be passed on */
    WAITING_FOR_MS = 200, /* so much work waits here; if this server dies, each of these has failed once */
    POSTPONE_MIN_MS = 100,
    POSTPONE_PACE_MS = 5,    /* at least so often one comes back, so that a wrong idea of the pace costs no time */
    POSTPONE_LONG_MS = 1000, /* after a long wait, so that other servers take the task */
    FIRST_PACE_MS = 4,       /* until it is known; a mistake in this direction costs Redis some work, and no time */
    PACE_SAMPLE_MAX_MS = 5000
};

/* The lists of jobs, by what they have to do with tokens. */
typedef struct route_limit {
    UT_hash_handle hh;
    asynq_server *server;
    char *scope;
    int max;
    asynq_job *waiting, *asked, *held, *back;
    size_t waiting_count, back_sent;
    bool in_flight;
    bool is_full;    /* as far as we know, all tokens are taken */
    bool is_resting; /* after an error, until it asks again */
    bool must_prolong;
    error_pause pause;
    loop_timer ask, prolong;

    double pace_ms; /* between two tokens that were had */
    bool is_measured;
    int64_t had_at_ms;
    int64_t postponed_until_ms; /* the last that was postponed comes back then */
} route_limit;

/* ---- the pace ---- */

static double limit_at_most(double value, double max)
{
    return value < max ? value : max;
}

static double at_least(double value, double min)
{
    return value > min ? value : min;
}

static void pace_measure(route_limit *limit, size_t had)
{
    int64_t now_ms = loop_steady_ms(limit->server->loop);
    double sample_ms = limit_at_most((double)(now_ms - limit->had_at_ms) / (double)had, PACE_SAMPLE_MAX_MS);
    if (limit->had_at_ms && limit->waiting) {
        limit->pace_ms = limit->is_measured ? 0.8 * limit->pace_ms + 0.2 * sample_ms : sample_ms;
        limit->is_measured = true;
    }
    limit->had_at_ms = now_ms;
}

static size_t waiting_max(const route_limit *limit)
{
    return (size_t)at_least(WAITING_FOR_MS / at_least(limit->pace_ms, 1), limit->max);
}

/*
 * How long until the next of the tasks that are too many here comes back. All of them together cost Redis no more than
 * 200 leases per second, however many they are.
 */
static int64_t back_in_ms(route_limit *limit)
{
    int64_t now_ms = loop_steady_ms(limit->server->loop);
    int64_t next_ms = limit->postponed_until_ms + (int64_t)at_least(limit_at_most(limit->pace_ms, POSTPONE_PACE_MS), 1);
    int64_t soonest_ms = now_ms + (int64_t)at_least(limit_at_most(limit->pace_ms, POSTPONE_LONG_MS), POSTPONE_MIN_MS);
    limit->postponed_until_ms = next_ms > soonest_ms ? next_ms : soonest_ms;
    return limit->postponed_until_ms - now_ms;
}

/* ---- jobs come and go ---- */

/* The list in which a job stands; NULL: none. */
static asynq_job **token_list(route_limit *limit, job_token token)
{
    asynq_job **const lists[] = {
        [TOKEN_WAITING] = &limit->waiting,
        [TOKEN_ASKED] = &limit->asked,
        [TOKEN_HELD] = &limit->held,
        [TOKEN_BACK] = &limit->back,
    };
    return lists[token];
}

/*
 * The only place where a job changes what it has to do with tokens; lists, counts and slots go with it. A job that
 * waits takes no slot. One that has asked in vain waits before the others.
 */
static void token_move(asynq_job *job, job_token to)
{
    route_limit *limit = job->limit;
    asynq_job **before = token_list(limit, job->token), **after = token_list(limit, to);
    if (before)
        DL_DELETE2(*before, job, token_prev, token_next);
    if (after && job->token == TOKEN_ASKED && to == TOKEN_WAITING)
        DL_PREPEND2(*after, job, token_prev, token_next);
    else if (after)
        DL_APPEND2(*after, job, token_prev, token_next);
    limit->waiting_count += (to == TOKEN_WAITING) - (job->token == TOKEN_WAITING);
    job->token = to;
    if (to == TOKEN_WAITING)
        slot_free(job);
    else if (to == TOKEN_ASKED)
        slot_take(job);
}

/* Among the retries, without a failed attempt. */
static void postpone(asynq_job *job, int64_t pause_ms)
{
    route_limit *limit = job->limit;
    buf text;
    buf_init(&text, 0);
    buf_append_format(&text, "waits for one of %d tokens of the semaphore \"%s\"", limit->max, limit->scope);
    outcome_postpone(job, pause_ms, text.data ? text.data : "");
    buf_clear(&text);
}

/* What is to be done is done by the pump in this turn. */
static void ask_fired(void *arg)
{
    route_limit *limit = arg;
    limit->is_full = limit->is_resting = false;
}

static void prolong_fired(void *arg)
{
    ((route_limit *)arg)->must_prolong = true;
}

static route_limit *limit_of(asynq_server *server, const asynq_limit *given)
{
    route_limit *limit;
    HASH_FIND_STR(server->limits, given->scope, limit);
    if (limit)
        return limit;
    limit = mem_calloc(1, sizeof *limit);
    if (!limit)
        return NULL;
    limit->server = server;
    limit->scope = mem_strdup(given->scope);
    limit->max = given->max;
    limit->pace_ms = FIRST_PACE_MS;
    if (limit->scope)
        HASH_ADD_KEYPTR(hh, server->limits, limit->scope, strlen(limit->scope), limit);
    if (!limit->scope || !HASH_HAS(limit)) {
        mem_free(limit->scope);
        mem_free(limit);
        return NULL;
    }
    loop_timer_init(server->loop, &limit->ask, ask_fired, limit);
    loop_timer_init(server->loop, &limit->prolong, prolong_fired, limit);
    return limit;
}

void limit_enter(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    job->started_at_ns = loop_now_ns(server->loop);
    job->deadline_ns = job_effective_deadline_ns(&job->message, job->started_at_ns); /* counted from the start later */
    job->limit = limit_of(server, &job->policy->limit);
    if (!job->limit) { /* out of memory */
        attempt_requeue(job);
        return;
    }
    job->waiting_since_ms = loop_steady_ms(server->loop);
    token_move(job, TOKEN_WAITING);
}

void limit_leave(asynq_job *job)
{
    if (job->token == TOKEN_WAITING)
        token_move(job, TOKEN_NONE);
}

void limit_give_back(asynq_job *job)
{
    if (job->token != TOKEN_HELD)
        return;
    /* If the task is not ours any more, another attempt at it may have a token under the same name. */
    job->token_score = job->state == JOB_RUNNING ? SEMAPHORE_ANY : job->token_until_s;
    token_move(job, TOKEN_BACK);
    job_ref(job);
}

static void forget_back(route_limit *limit)
{
    asynq_job *job = limit->back;
    token_move(job, TOKEN_NONE);
    job_unref(job);
}

/* ---- answers ---- */

static void granted(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    token_move(job, TOKEN_HELD);
    job->token_unsure = false;
    if (job->state == JOB_RUNNING && server->fetching) {
        attempt_start(job);
        return;
    }
    limit_give_back(job);
    if (job->state == JOB_RUNNING) /* else it ended meanwhile */
        attempt_requeue(job);
}

static void refused(asynq_job *job, bool is_unsure)
{
    job->token_unsure |= is_unsure;
    token_move(job, job->state == JOB_RUNNING ? TOKEN_WAITING : TOKEN_NONE);
}

/* Those that got no token wait again; from the last to the first, so that they wait in their old order. */
static size_t sort_answers(route_limit *limit, const redis_value *reply, int status, asynq_job **taken)
{
    size_t had = 0, count;
    asynq_job *job, *before;
    bool is_unsure = redis_error_is_unsure(status);
    DL_COUNT2(limit->asked, job, count, token_next);
    for (job = limit->asked ? limit->asked->token_prev : NULL; job; job = before) {
        before = job == limit->asked ? NULL : job->token_prev;
        if (!status && broker_token_taken(reply, --count)) {
            taken[had++] = job;
            continue;
        }
        limit->is_full = true;
        refused(job, is_unsure);
        job_unref(job);
    }
    return had;
}

static void rest_after_error(route_limit *limit, const asynq_error *error)
{
    asynq_server *server = limit->server;
    if (!redis_error_is_passing(error->code))
        log_event_repeated(&server->log, &server->complaint, LOG_LIMIT_FAILED, "scope \"%s\": %s", limit->scope,
                           error->text);
    if (!broker_is_ready(&server->broker))
        return; /* the next connection asks again */
    limit->is_resting = true;
    loop_timer_set(&limit->ask, error_pause_next_ms(server, &limit->pause));
}

static void replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    route_limit *limit = arg;
    asynq_error odd;
    size_t asked;
    const asynq_job *job;
    asynq_job *taken[CALL_TOKENS];
    DL_COUNT2(limit->asked, job, asked, token_next);
    if (!status && (status = broker_check_results(reply, asked + 1, &odd)))
        error = &odd;
    limit->in_flight = false;
    limit->is_full = status != 0;
    if (status)
        rest_after_error(limit, error);
    else
        error_pause_end(&limit->pause);
    for (; !status && limit->back_sent; limit->back_sent--)
        forget_back(limit);
    limit->back_sent = 0;
    size_t had = sort_answers(limit, reply, status, taken);
    if (had)
        pace_measure(limit, had);
    while (had) {
        granted(taken[--had]);
        job_unref(taken[had]);
    }
}

/* ---- calls ---- */

static int64_t hold_until_s(const asynq_job *job, int64_t now_s)
{
    int64_t deadline_s = floor_div(job->deadline_ns, NS_PER_SECOND);
    return deadline_s < now_s + BROKER_LEASE_S ? deadline_s : now_s + BROKER_LEASE_S;
}

static size_t collect_back(const route_limit *limit, semaphore_token *tokens)
{
    size_t count = 0;
    for (asynq_job *job = limit->back; job && count < CALL_TOKENS; job = job->token_next)
        tokens[count++] = (semaphore_token){.holder = job_id(job), .until_s = job->token_score};
    return count;
}

static size_t collect_held(route_limit *limit, semaphore_token *tokens, int64_t now_s)
{
    size_t count = 0;
    for (asynq_job *job = limit->must_prolong ? limit->held : NULL; job; job = job->token_next) {
        int64_t until_s = job->state == JOB_RUNNING ? hold_until_s(job, now_s) : 0;
        if (until_s - job->token_until_s < PROLONG_EVERY_S)
            continue;
        if (count == CALL_TOKENS)
            return count; /* the others with the next call */
        job->token_until_s = until_s;
        tokens[count++] = (semaphore_token){.holder = job_id(job), .until_s = until_s};
    }
    limit->must_prolong = false;
    return count;
}

static size_t collect_wanted(route_limit *limit, semaphore_token *tokens, int64_t now_ns)
{
    asynq_server *server = limit->server;
    size_t count = 0;
    while (limit->waiting && count < CALL_TOKENS && server->slots_free > 0) {
        asynq_job *job = limit->waiting;
        job->deadline_ns = job_effective_deadline_ns(&job->message, now_ns);
        if (job->deadline_ns <= now_ns) {
            attempt_give_up(job, ASYNQ_CANCEL_DEADLINE, "context deadline exceeded");
            continue;
        }
        token_move(job, TOKEN_ASKED);
        job_ref(job);
        job->token_until_s = hold_until_s(job, floor_div(now_ns, NS_PER_SECOND));
        tokens[count++] =
            (semaphore_token){.holder = job_id(job), .until_s = job->token_until_s, .again = job->token_unsure};
    }
    return count;
}

static void call(route_limit *limit)
{
    asynq_server *server = limit->server;
    int64_t now_ns = loop_now_ns(server->loop), now_s = floor_div(now_ns, NS_PER_SECOND);
    semaphore_token back[CALL_TOKENS], held[CALL_TOKENS], wanted[CALL_TOKENS];
    size_t back_count = collect_back(limit, back), held_count = collect_held(limit, held, now_s);
    size_t wanted_count = limit->is_full && !back_count ? 0 : collect_wanted(limit, wanted, now_ns);
    if (!back_count && !held_count && !wanted_count)
        return;
    limit->in_flight = true;
    limit->back_sent = back_count;
    semaphore_call order = {
        .scope = bytes_of(limit->scope),
        .max = limit->max,
        .back = {back, back_count},
        .prolong = {held, held_count},
        .take = {wanted, wanted_count},
    };
    int status = broker_semaphore(&server->broker, &order, now_ns, replied, limit);
    if (status) {
        asynq_error error = {.code = status};
        replied(limit, status, &error, NULL);
    }
}

static void postpone_some(route_limit *limit)
{
    int64_t long_ago_ms = loop_steady_ms(limit->server->loop) - WAIT_MAX_MS;
    while (limit->is_full && limit->waiting_count > waiting_max(limit))
        postpone(limit->waiting->token_prev, back_in_ms(limit)); /* the newest */
    while (!limit->held && limit->waiting && limit->waiting->waiting_since_ms < long_ago_ms)
        postpone(limit->waiting, POSTPONE_LONG_MS + server_random_below(limit->server, POSTPONE_LONG_MS));
}

/* Each timer keeps its time until it fires. */
static void limit_set_timer(loop_timer *timer, bool is_needed, int64_t delay_ms)
{
    if (!is_needed)
        loop_timer_cancel(timer);
    else if (!loop_timer_is_set(timer))
        loop_timer_set(timer, delay_ms);
}

static void limit_pump(route_limit *limit)
{
    asynq_server *server = limit->server;
    int64_t now_s = floor_div(loop_now_ns(server->loop), NS_PER_SECOND);
    while (!server->fetching && limit->waiting)
        attempt_requeue(limit->waiting->token_prev); /* the newest first, so that the oldest is the next to run */
    while (!limit->in_flight && limit->back && limit->back->token_until_s < now_s)
        forget_back(limit); /* it is over by itself */
    if (!limit->in_flight && !limit->is_resting && broker_is_ready(&server->broker))
        call(limit);
    postpone_some(limit);
    if (!limit->waiting && !limit->asked)
        limit->had_at_ms = 0;
    limit_set_timer(&limit->ask, limit->waiting || limit->is_resting,
                    (int64_t)limit_at_most(at_least(limit->pace_ms, ASK_MIN_MS), ASK_MAX_MS));
    limit_set_timer(&limit->prolong, limit->held, PROLONG_EVERY_S * MS_PER_SECOND);
}

void limit_turn(asynq_server *server)
{
    for (route_limit *limit = server->limits; limit; limit = limit->hh.next)
        limit_pump(limit);
}

bool limit_is_busy(const asynq_server *server)
{
    for (const route_limit *limit = server->limits; limit; limit = limit->hh.next)
        if (limit->back || limit->in_flight)
            return true;
    return false;
}

void limit_stop(asynq_server *server)
{
    route_limit *limit, *next;
    HASH_ITER(hh, server->limits, limit, next) {
        while (limit->back)
            forget_back(limit);
        loop_timer_cancel(&limit->ask);
        loop_timer_cancel(&limit->prolong);
        HASH_DEL(server->limits, limit);
        mem_free(limit->scope);
        mem_free(limit);
    }
}
