/*
 * Sessions: by which servers know that another one is gone.
 *
 * A server has a session as long as it renews it. It is a member of one sorted set: the server's number, which stands
 * in the tags of all leases that it takes, how long the session lasts without renewal, and who the server is; its score
 * is Redis's time of the last renewal. Others see that it is not renewed for that long, and put the tasks back that are
 * leased under that number. No task is leased under it any more by then: the server counts from when it sent the last
 * renewal that was answered, which is earlier, and begins a new session under another number.
 *
 * A number without a session says nothing: its server may have no right to write here. Its tasks are recovered when
 * their leases have expired.
 *
 * Calls and callbacks as in broker.h.
 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "broker/broker.h"

enum {
    BROKER_SESSIONS_LIFE_S = 30 * 24 * 3600,
    BROKER_SESSION_NUMBERS = 896, /* of LEASE_SERVER_MAX; those above are for servers that cannot have a session */
    BROKER_SESSION_ABANDONED_MS = 3600 * 1000, /* then its number may be given to another server */
    BROKER_SESSIONS_LATE_MAX = 256             /* in one answer */
};

typedef struct session_record {
    uint32_t number;
    int64_t renewed_ms; /* Redis's clock, Unix time */
    int64_t timeout_ms;
    bytes identity; /* host:pid:id */
} session_record;

/* reply: the number. */
ASYNQ_MUST_CHECK int broker_open_session(const broker *b, const session_record *own, broker_cb cb, void *arg);
ASYNQ_MUST_CHECK int broker_renew_session(const broker *b, const session_record *own, broker_cb cb, void *arg);
/* The member, and the life of the set: what the scripts that renew a session take. */
void broker_add_session(redis_args *args, const session_record *own);
/* The server has ended, and holds no task. */
ASYNQ_MUST_CHECK int broker_end_session(const broker *b, const session_record *own);

/* Those that were not renewed for so long. reply: Redis's time, and the sessions. */
ASYNQ_MUST_CHECK int broker_list_late_sessions(const broker *b, int64_t late_ms, broker_cb cb, void *arg);
bool broker_late_is_sound(const redis_value *reply);
int64_t broker_late_now_ms(const redis_value *reply);
size_t broker_late_count(const redis_value *reply);
/* False: this one is none. */
bool broker_late_at(const redis_value *reply, size_t index, session_record *session);

/* The number of the server in a score of a lease, as text; -1: it has none, as that of a server in Go. */
int broker_lease_server(bytes score);

/* ---- tasks of servers whose sessions are over ---- */

typedef struct take_back_order {
    int64_t now_ns;
    int64_t first;           /* place in the active list, the newest is 0 */
    int64_t max_losses;      /* a task that was lost so often is listed only; 0: any number */
    bool is_list_only;       /* put none back */
    const uint32_t *numbers; /* of the servers */
    size_t count;
} take_back_order;

typedef struct taken_back {
    bytes id;
    uint32_t number; /* of its server */
    int64_t losses;
} taken_back;

/* reply: where the next call goes on (below 0: that was all), what was put back, and what was only listed. */
ASYNQ_MUST_CHECK int broker_take_back(const broker *b, const queue_keys *keys, const take_back_order *order,
                                      broker_cb cb, void *arg);
bool broker_take_back_is_sound(const redis_value *reply);
int64_t broker_take_back_next(const redis_value *reply);
size_t broker_taken_back_count(const redis_value *reply);
taken_back broker_taken_back_at(const redis_value *reply, size_t index);
/* Read with broker_expired_count() and broker_expired_at(). */
const redis_value *broker_take_back_listed(const redis_value *reply);

#endif
