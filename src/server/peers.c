/*
 * The sessions of other servers. As long as a queue of ours has active tasks, those that are late are read once in
 * `session_renewal_ms`: not renewed for half of our own session's time, which no live server lets pass. One that was
 * not renewed for its time, as Redis counts it, and has not changed for a good part of that by our steady clock, is
 * over: then tasks that were leased under it are put back (recoverer.c).
 *
 * What was not seen does not count. While Redis stood still, or was away, nobody could renew: after a gap between two
 * readings each session has that part of its time again, and a live server needs a moment only.
 */
#include "server/peers.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/saturate.h"
#include "server/recoverer.h"
#include "server/server.h"

enum {
    PEERS_GAP_MS = 1000,
    PEERS_MARGIN_MS = 300,
    PEERS_FORGET_MS = 300000 /* after its end a session is deleted that its server has left */
};

typedef struct peer {
    UT_hash_handle hh; /* by number */
    uint32_t number;
    int64_t renewed_ms, timeout_ms; /* as it stands in Redis */
    int64_t since_ms;               /* steady clock: seen late, and not changed since */
    bool is_gone, is_told;
    unsigned look; /* the last one that found it */
    size_t identity_length;
    char identity[];
} peer;

/* ---- one of them ---- */

static bytes peer_identity(const peer *p)
{
    return (bytes){p->identity, p->identity_length};
}

static void peer_set_gone(asynq_server *server, peer *p, bool is_gone)
{
    if (p->is_gone == is_gone)
        return;
    p->is_gone = is_gone;
    p->is_told = false;
    server->peers.gone_count += is_gone ? 1 : (size_t)-1;
    server->peers.version += is_gone;
}

static void peer_forget(asynq_server *server, peer *p)
{
    peer_set_gone(server, p, false);
    HASH_DEL(server->peers.by_number, p);
    mem_free(p);
}

static peer *peer_add(asynq_server *server, const session_record *session)
{
    peer *p = mem_calloc(1, sizeof *p + session->identity.length + 1);
    if (!p)
        return NULL;
    p->number = session->number;
    p->identity_length = session->identity.length;
    memcpy(p->identity, session->identity.data, session->identity.length);
    HASH_ADD(hh, server->peers.by_number, number, sizeof p->number, p);
    if (HASH_HAS(p))
        return p;
    mem_free(p);
    return NULL;
}

static peer *peer_find(const asynq_server *server, uint32_t number)
{
    peer *p;
    HASH_FIND(hh, server->peers.by_number, &number, sizeof number, p);
    return p;
}

static bool peer_is_over(const asynq_server *server, const peer *p, int64_t late_ms)
{
    int64_t unchanged_ms = server->peers.asked_at_ms - p->since_ms;
    return late_ms >= p->timeout_ms + PEERS_MARGIN_MS && unchanged_ms >= p->timeout_ms / 5 * 2;
}

/* As the answer says that came just now. `late_ms` by Redis's clock; `is_gap`: nothing is known of the time before. */
static void peer_seen(asynq_server *server, const session_record *session, int64_t late_ms, bool is_gap)
{
    int64_t now_ms = clock_steady_ms();
    peer *p = peer_find(server, session->number);
    if (p && !bytes_equal(peer_identity(p), session->identity)) {
        peer_forget(server, p);
        p = NULL;
    }
    bool is_new = !p;
    p = p ? p : peer_add(server, session);
    if (!p)
        return; /* out of memory: the next look finds it again */
    p->look = server->peers.looks;
    if (is_new || is_gap || p->renewed_ms != session->renewed_ms) {
        p->renewed_ms = session->renewed_ms;
        p->timeout_ms = session->timeout_ms;
        p->since_ms = now_ms;
        peer_set_gone(server, p, false);
    }
    if (peer_is_over(server, p, late_ms))
        peer_set_gone(server, p, true);
    if (p->is_gone &&
        server->peers.asked_at_ms - p->since_ms >= p->timeout_ms + PEERS_FORGET_MS) /* or at the next look */
        (void)!broker_end_session(&server->broker, session);
}

/* ---- all of them ---- */

static void peers_note(asynq_server *server, const redis_value *reply)
{
    server_peers *own = &server->peers;
    bool is_gap = own->asked_at_ms - own->answered_at_ms > 2 * server->options.session_renewal_ms + PEERS_GAP_MS;
    own->looks++;
    for (size_t i = 0; i < broker_late_count(reply); i++) {
        session_record session;
        if (broker_late_at(reply, i, &session) && session.number != server->session.record.number)
            peer_seen(server, &session, saturating_sub(broker_late_now_ms(reply), session.renewed_ms), is_gap);
    }
    peer *p, *next;
    HASH_ITER(hh, own->by_number, p, next)
        if (p->look != own->looks)
            peer_forget(server, p);
    own->answered_at_ms = clock_steady_ms();
}

static void peers_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    (void)error; /* without the right to read them, tasks are recovered when their leases have expired */
    server->peers.is_asked = false;
    if (status || !broker_late_is_sound(reply))
        return;
    peers_note(server, reply);
    if (server->peers.gone_count)
        recoverer_take_back(server);
}

static bool peers_matter(const asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_IN_UPKEEP, queue, next)
    if (!parking_skips_upkeep(queue))
        return true;
    return false;
}

static void peers_fired(void *arg)
{
    asynq_server *server = arg;
    server_peers *own = &server->peers;
    if (!peers_matter(server) || server->phase >= SHUTDOWN_JOBS_RUN)
        return;
    if (!own->is_asked && broker_is_ready(&server->broker)) {
        own->asked_at_ms = clock_steady_ms();
        own->is_asked = broker_list_late_sessions(&server->broker, server->options.session_timeout_ms / 2,
                                                  peers_replied, server) == 0;
    }
    loop_timer_set(&own->timer, server->options.session_renewal_ms);
}

void peers_look_soon(asynq_server *server)
{
    if (!loop_timer_is_set(&server->peers.timer))
        loop_timer_set(&server->peers.timer, server_random_below(server, server->options.session_renewal_ms));
}

size_t peers_gone(const asynq_server *server, uint32_t *numbers)
{
    size_t count = 0;
    const peer *p, *next;
    HASH_ITER(hh, server->peers.by_number, p, next)
        if (p->is_gone && count < LEASE_SERVER_MAX)
            numbers[count++] = p->number;
    return count;
}

void peers_tell_gone(asynq_server *server, uint32_t number)
{
    peer *p = peer_find(server, number);
    if (!p || p->is_told)
        return;
    p->is_told = true;
    log_event(&server->log, LOG_SERVER_GONE, "%.*s has not renewed its session for %.3g s; its tasks are requeued",
              BYTES_ARGS(peer_identity(p)), (double)p->timeout_ms / MS_PER_SECOND);
}

bytes peers_identity(const asynq_server *server, int number)
{
    const peer *p = number < 0 ? NULL : peer_find(server, (uint32_t)number);
    return p ? peer_identity(p) : (bytes){0};
}

int peers_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->peers.timer, peers_fired, server);
    return ASYNQ_OK;
}

void peers_stop(asynq_server *server)
{
    peer *p, *next;
    loop_timer_cancel(&server->peers.timer);
    HASH_ITER(hh, server->peers.by_number, p, next)
        peer_forget(server, p);
}
