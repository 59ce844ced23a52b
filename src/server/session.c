/*
 * The session of this server, as broker/session.h has it. While tasks are held it is renewed each
 * `session_renewal_ms`; else with the heartbeat, or, where that is too seldom or goes apart, when half its time is
 * over.
 *
 *   no number --Redis is there--> open --not renewed in time--> over: running tasks are given up --> no number
 *                             \-> without a session, when Redis refuses to keep one: it ends never, and nobody puts its
 *                                 tasks back before their leases have expired
 */
#include "server/session.h"

#include "base/clock.h"
#include "server/attempt.h"
#include "server/server.h"

#include <utlist.h>

enum { SESSION_COMPLAIN_PERIOD_MS = 600000 };

static int64_t session_timeout_ms(const asynq_server *server)
{
    return server->options.session_timeout_ms;
}

bool session_is_open(const asynq_server *server)
{
    return server->session.is_known && clock_steady_ms() < server->session.ends_at_ms;
}

bool session_covers(const asynq_server *server, uint32_t tag, int64_t now_ms)
{
    const server_session *own = &server->session;
    return own->is_known && now_ms < own->ends_at_ms && tag >> LEASE_CALL_BITS == own->record.number;
}

/* ---- when ---- */

/* A heartbeat comes each five seconds, with the default before this. */
static int64_t session_idle_ms(const asynq_server *server)
{
    return session_timeout_ms(server) / 2 + session_timeout_ms(server) / 20;
}

/* INT64_MAX: an answer, or Redis, has to come first. */
static int64_t session_due_ms(const asynq_server *server)
{
    const server_session *own = &server->session;
    if (own->is_asked || !broker_is_ready(&server->broker))
        return INT64_MAX;
    int64_t last_ms = own->asked_at_ms > own->renewed_at_ms ? own->asked_at_ms : own->renewed_at_ms;
    return last_ms + (server->job_count ? server->options.session_renewal_ms : session_idle_ms(server));
}

static void session_schedule(asynq_server *server)
{
    server_session *own = &server->session;
    if (!own->is_known || own->ends_at_ms == INT64_MAX)
        return;
    int64_t now_ms = clock_steady_ms(), due_ms = session_due_ms(server);
    if (due_ms < now_ms) /* a task after an idle time: most are over by then, and need no renewal */
        due_ms = now_ms + server->options.session_renewal_ms;
    int64_t at_ms = due_ms < own->ends_at_ms ? due_ms : own->ends_at_ms;
    if (loop_timer_is_set(&own->timer) && own->timer_at_ms <= at_ms)
        return;
    own->timer_at_ms = at_ms;
    loop_timer_set(&own->timer, at_ms - now_ms);
}

/* ---- opening ---- */

static void session_renewed(asynq_server *server, int64_t sent_at_ms)
{
    server->session.renewed_at_ms = sent_at_ms;
    server->session.ends_at_ms = sent_at_ms + session_timeout_ms(server);
}

/* Chance is good enough: a clash matters only for a settle that comes too late. */
static void session_do_without(asynq_server *server, const asynq_error *error)
{
    server_session *own = &server->session;
    int64_t numbers = LEASE_SERVER_MAX - BROKER_SESSION_NUMBERS;
    own->record.number = (uint32_t)(BROKER_SESSION_NUMBERS + server_random_below(server, numbers));
    own->ends_at_ms = INT64_MAX;
    log_event_repeated(&server->log, &own->complaint, LOG_SESSION_REFUSED,
                       "%s; if this server is killed, its tasks run again only when their leases have expired",
                       error ? error->text : "Redis answered with something else than a number");
}

static void session_opened(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    server_session *own = &server->session;
    own->is_asked = false;
    if (redis_error_is_passing(status)) {
        loop_timer_set(&own->timer, server->options.session_renewal_ms);
        return;
    }
    bool is_number =
        !status && reply->type == REDIS_INTEGER && reply->integer >= 0 && reply->integer < BROKER_SESSION_NUMBERS;
    if (is_number) {
        own->record.number = (uint32_t)reply->integer;
        session_renewed(server, own->asked_at_ms);
    } else {
        session_do_without(server, status ? error : NULL);
    }
    own->is_known = true;
    session_schedule(server);
}

static void session_open(asynq_server *server)
{
    server_session *own = &server->session;
    if (own->is_known || own->is_asked || !broker_is_ready(&server->broker))
        return;
    own->asked_at_ms = clock_steady_ms();
    own->is_asked = broker_open_session(&server->broker, &own->record, session_opened, server) == 0;
    if (!own->is_asked)
        loop_timer_set(&own->timer, server->options.session_renewal_ms);
}

/* ---- keeping ---- */

static void session_renew_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    (void)reply;
    server->session.is_asked = false;
    if (!server->session.is_known) { /* too late */
        session_open(server);
        return;
    }
    if (!status)
        session_renewed(server, server->session.asked_at_ms);
    else if (!redis_error_is_passing(status))
        log_event_repeated(&server->log, &server->session.complaint, LOG_SESSION_REFUSED, "%s", error->text);
    session_schedule(server);
}

/* It is due, so nothing is asked, and Redis is there. */
static void session_renew(asynq_server *server)
{
    server_session *own = &server->session;
    own->asked_at_ms = clock_steady_ms();
    own->is_asked = broker_renew_session(&server->broker, &own->record, session_renew_replied, server) == 0;
}

const session_record *session_beat(asynq_server *server)
{
    const server_session *own = &server->session;
    return session_is_open(server) && own->ends_at_ms != INT64_MAX ? &own->record : NULL;
}

void session_beaten(asynq_server *server, int64_t sent_at_ms, bool has_renewed)
{
    if (has_renewed && session_is_open(server) && sent_at_ms > server->session.renewed_at_ms)
        session_renewed(server, sent_at_ms);
}

/* ---- the end ---- */

/* In a cluster the sessions may be out of reach, and the queue is not: then its leases are renewed, or found lost. */
static bool session_gives_up(const served_queue *queue)
{
    return !broker_is_cluster(queue->broker) || !broker_has_queue(queue->broker, &queue->keys);
}

static void session_give_up_queue(served_queue *queue)
{
    asynq_job *job, *next;
    DL_FOREACH_SAFE(queue->books.running, job, next)
        attempt_lease_ended(job, "the session of the server has expired");
}

static void session_over(asynq_server *server)
{
    server_session *own = &server->session;
    own->is_known = false;
    if (server->running_count)
        log_event(
            &server->log, LOG_SESSION_EXPIRED,
            "it could not be renewed for %.3g s; %zu running tasks are given up, as other servers may run them now",
            (double)session_timeout_ms(server) / MS_PER_SECOND, server->running_count);
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    if (session_gives_up(queue))
        session_give_up_queue(queue);
}

static void session_fired(void *arg)
{
    asynq_server *server = arg;
    server_session *own = &server->session;
    int64_t now_ms = clock_steady_ms();
    if (own->is_known && now_ms >= own->ends_at_ms)
        session_over(server);
    if (!own->is_known)
        session_open(server);
    else if (now_ms >= session_due_ms(server))
        session_renew(server);
    session_schedule(server);
}

void session_end(asynq_server *server)
{
    if (session_beat(server)) /* if it cannot be sent, it expires */
        (void)!broker_end_session(&server->broker, &server->session.record);
    server->session.is_known = false;
}

/* ---- from outside ---- */

int session_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->session.timer, session_fired, server);
    server->session.complaint.min_ms = SESSION_COMPLAIN_PERIOD_MS;
    server->session.record.identity = identity_text(&server->process);
    server->session.record.timeout_ms = session_timeout_ms(server);
    return ASYNQ_OK;
}

void session_ready(asynq_server *server)
{
    loop_timer_set(&server->session.timer, 0);
    session_open(server);
}

void session_turn(asynq_server *server)
{
    if (server->job_count && server->session.timer_at_ms > session_due_ms(server))
        session_schedule(server);
}

void session_stop(asynq_server *server)
{
    loop_timer_cancel(&server->session.timer);
}
