/*
 * The broker: one function per transition of a task, each for n tasks of one queue in one script. Nothing else in the
 * library changes the state of a task.
 *
 *   state        stands in (asynq:{q}: + )       leaves it by
 *   -----------  ------------------------------  -------------------------------------------------------------
 *   (none)                                       broker_enqueue   -> pending | scheduled | aggregating
 *   pending      pending (list, right is next)   broker_lease     -> active
 *   scheduled    scheduled (zset, due time)      broker_forward   -> pending | aggregating
 *   retry        retry (zset, due time)          broker_forward   -> pending | aggregating
 *   active       active (list) and               broker_settle    -> (none)    done, unlock
 *                lease (zset, end of lease)                       -> completed complete
 *                                                                 -> retry     retry, again
 *                                                                 -> archived  archive
 *                                                                 -> pending   requeue, lost (right end: next to run)
 *                                                broker_take_back -> pending, see session.h
 *                                                broker_renew     -> active, with a later end of lease
 *   completed    completed (zset, end of life)   broker_expire    -> (none)
 *   archived     archived (zset, archived at)    broker_settle trims the oldest when it archives others
 *   aggregating  g:<group> (zset)                broker_finish_set -> (none), see group.h
 *
 * Every function sends one command and returns 0, or a negative status; then its callback is never called. After 0 the
 * callback comes exactly once. `status` in a callback is 0, ASYNQ_E_UNAVAILABLE (certainly not run),
 * ASYNQ_E_OUTCOME_UNKNOWN (may have run), or another status with Redis's own text (not run, or stopped by Redis).
 *
 * Thread: loop. Items and keys are borrowed for the call; replies live during the callback.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/bytes.h"
#include "redis/nodes.h"
#include "wire/keys.h"

#include <stdint.h>

enum {
    BROKER_CHUNK_TASKS = 64, /* in one script: about 1 ms of Redis with 10 kB messages */
    BROKER_CHUNK_BYTES = 256 * 1024,
    BROKER_LEASE_S = 30,
    BROKER_STALE_SOON_S = 14, /* a lease that is renewed in time never ends so soon */
    BROKER_STALE_MAX = 256,
    BROKER_RECORDS_MAX = 1000,
    BROKER_RECOVERY_ALLOWANCE_S = 30, /* clocks may differ by this much (as in Go) */
    BROKER_COUNTERS_LIFE_S = 90 * 24 * 3600,
    BROKER_ARCHIVE_LIFE_S = 90 * 24 * 3600,
    BROKER_ARCHIVE_MAX = 9999,
    BROKER_CLIENT_MEMORY_S = 600
};

/*
 * The Redis servers that keep the tasks of a key space. It owns neither, and is copied freely. Without servers (before
 * the connections are made, after their end) nothing may be called.
 */
typedef struct broker {
    redis_nodes *nodes;
    const key_space *space;
} broker;

/* Whether the keys of a queue with this name stand in one slot, as all calls want it. */
static inline bool broker_can_keep(const broker *b, bytes queue)
{
    return !redis_nodes_is_cluster(b->nodes) || !queue.length || queue.data[0] != '}';
}
#define BROKER_CANNOT_KEEP "a Redis Cluster cannot keep a queue whose name begins with \"}\""

/* Whether keys of several queues stand in several slots, so that no script can have them all. */
static inline bool broker_is_cluster(const broker *b)
{
    return redis_nodes_is_cluster(b->nodes);
}

/* Calls that concern no queue may be sent; of a cluster perhaps not all of them. */
static inline bool broker_is_ready(const broker *b)
{
    return redis_nodes_is_any_ready(b->nodes);
}

/* Calls for this queue may be sent. */
static inline bool broker_has_queue(const broker *b, const queue_keys *keys)
{
    return redis_nodes_is_ready(b->nodes, keys->slot);
}

/* ---- lease scores ---- */

/*
 * The score of a lease: the whole second that Go would write, plus tag / 2^22. The tag names the server (10 bits) and
 * the call (12 bits) that took the lease; 0 is a lease of Go. 31 + 22 bits are exact in a double. The tag is the
 * fence: it stays through renewals and tells whether a task is still ours.
 */
typedef struct lease_score {
    int64_t second;
    uint32_t tag;
} lease_score;

enum { LEASE_TAG_BITS = 22, LEASE_CALL_BITS = 12, LEASE_SERVER_MAX = 1 << (LEASE_TAG_BITS - LEASE_CALL_BITS) };

uint32_t lease_tag(uint32_t server_number, uint32_t call_number);

/*
 * The score as text, in 7 decimals: enough to be read as exactly this number (until 2038, doubles of this size are
 * 2^-22 apart), and not more, because Redis spends its time on reading and writing them. `text` holds at least 48
 * bytes.
 */
void lease_score_format(lease_score score, char *text);

/* ---- enqueue ---- */

typedef enum enqueue_kind { ENQUEUE_PENDING = 'p', ENQUEUE_SCHEDULED = 's', ENQUEUE_GROUPED = 'g' } enqueue_kind;

typedef struct enqueue_item {
    enqueue_kind kind;
    bytes id;
    bytes message;
    int64_t process_at_ms; /* Unix ms, for ENQUEUE_SCHEDULED */
    bytes lock;            /* full key name, or empty */
    int64_t lock_life_s;
    bytes group; /* for ENQUEUE_GROUPED */
} enqueue_item;

typedef enum enqueue_result { ENQUEUE_CREATED = 1, ENQUEUE_CONFLICT = 0, ENQUEUE_DUPLICATE = -1 } enqueue_result;

/* What callers are told of it. */
int broker_enqueue_status(int result);

typedef struct enqueue_batch {
    const enqueue_item *const *items;
    size_t count;
    int64_t now_ns;
    bytes client_id; /* empty: remember nothing, then a repeat cannot be told from a conflict */
    uint64_t number; /* of this batch, unique for the client */
    int place;       /* where it is remembered; batches of one queue that are under way together differ in it */
    bool is_repeat;  /* sent before with unknown outcome: answer what came of it */
} enqueue_batch;

/* reply: an enqueue_result for each item, see broker_result_at(). */
typedef void (*broker_cb)(void *arg, int status, const asynq_error *error, const redis_value *reply);

ASYNQ_MUST_CHECK int broker_enqueue(const broker *b, const queue_keys *keys, const enqueue_batch *batch, broker_cb cb,
                                    void *arg);

/* ---- lease ---- */

typedef struct leased_task {
    bytes id;
    bytes message;         /* data NULL: the id had no message and was dropped, or it was left out */
    bool is_left_out;      /* the message is to be read with broker_read_message() */
    int64_t pending_since; /* Unix ns; 0: unknown */
} leased_task;

enum { BROKER_QUEUE_PAUSED = -1 };

typedef struct lease_order {
    size_t max_tasks;
    lease_score score;
    bool wake_others;   /* servers that are parked, if tasks are left */
    size_t max_message; /* larger messages are left out, which costs Redis less; 0: none */
} lease_order;

/* reply: read with broker_lease_waiting() and broker_lease_task(). */
ASYNQ_MUST_CHECK int broker_lease(const broker *b, const queue_keys *keys, const lease_order *order, broker_cb cb,
                                  void *arg);
/* reply: the message as a string; nil: there is none. */
ASYNQ_MUST_CHECK int broker_read_message(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg);

/* A place in `pending`: behind the oldest tasks of this number, of which this is the newest. */
typedef struct pending_place {
    int64_t passed; /* below 0: there is none */
    bytes last_id;  /* empty with 0 */
} pending_place;

/* Types that begin with a pattern, and what their tasks take of. */
typedef struct lease_rule {
    bytes pattern;
    size_t capacity; /* 1 for the first of `rooms`; 0: of none */
} lease_rule;

/* Which tasks may be taken; the others are passed over. */
typedef struct lease_choice {
    const lease_rule *rules; /* the longest pattern first */
    size_t rule_count;
    const int *rooms; /* of each capacity */
    size_t capacity_count;
    size_t max_looked; /* tasks */
    pending_place from;
} lease_choice;

/*
 * Takes some of the tasks only. reply: of what was taken broker_some_tasks(), read as the reply of broker_lease(), and
 * where the next call can go on.
 */
ASYNQ_MUST_CHECK int broker_lease_some(const broker *b, const queue_keys *keys, const lease_order *order,
                                       const lease_choice *choice, broker_cb cb, void *arg);
bool broker_some_is_sound(const redis_value *reply, size_t capacity_count);
const redis_value *broker_some_tasks(const redis_value *reply);
/* Up to where tasks have been looked at. */
pending_place broker_some_end(const redis_value *reply);
/* Before the oldest task that was passed over for this capacity, from 0 on. */
pending_place broker_some_first(const redis_value *reply, size_t capacity);

/* Tasks left in `pending`, or BROKER_QUEUE_PAUSED. */
bool broker_lease_is_sound(const redis_value *reply); /* else it is not this script's, and tells nothing */
int64_t broker_lease_waiting(const redis_value *reply);
size_t broker_lease_count(const redis_value *reply);
leased_task broker_lease_task(const redis_value *reply, size_t index);
size_t broker_lease_message_size(const redis_value *reply, size_t index);

/* The tasks of a lease whose outcome is unknown; reply: read with broker_read_back_count() and _task(). */
ASYNQ_MUST_CHECK int broker_read_back(const broker *b, const queue_keys *keys, lease_score score, broker_cb cb,
                                      void *arg);
size_t broker_read_back_count(const redis_value *reply);
leased_task broker_read_back_task(const redis_value *reply, size_t index);

/* ---- settle ---- */

typedef enum settle_way {
    SETTLE_DONE,
    SETTLE_COMPLETE,
    SETTLE_RETRY, /* a failure */
    SETTLE_AGAIN, /* retried without being counted */
    SETTLE_ARCHIVE,
    SETTLE_REQUEUE,
    SETTLE_LOST /* put back from a server that is gone; its losses are counted */
} settle_way;

typedef struct settle_item {
    settle_way way;
    bytes id;
    uint32_t tag;      /* the fence */
    bytes exact_score; /* when not empty, the whole score is compared instead of the fence */
    bool from_tail;    /* search the active list from its old end */
    bytes lock;        /* released by SETTLE_DONE and SETTLE_COMPLETE; empty: none */
    bytes message;     /* the rewritten message; not for SETTLE_DONE, SETTLE_REQUEUE, SETTLE_LOST */
    bytes result;      /* written if not empty; not for SETTLE_DONE and SETTLE_LOST */
    int64_t at_ms;     /* Unix ms: end of retention, or time of the retry */
} settle_item;

typedef enum settle_result { SETTLE_OK = 1, SETTLE_NOT_FOUND = 0, SETTLE_FENCED = -1 } settle_result;

/* reply: a settle_result for each item, see broker_result_at(). At most BROKER_CHUNK_TASKS items. */
ASYNQ_MUST_CHECK int broker_settle(const broker *b, const queue_keys *keys, const settle_item *items, size_t count,
                                   int64_t now_ns, broker_cb cb, void *arg);

/* The result of a task that runs, if its lease has that tag. reply: a settle_result. */
ASYNQ_MUST_CHECK int broker_write_result(const broker *b, const queue_keys *keys, bytes id, uint32_t tag, bytes result,
                                         broker_cb cb, void *arg);

typedef struct renew_item {
    bytes id;
    uint32_t tag;
} renew_item;

/* Moves the leases to end at `second`. reply: a settle_result for each item. */
ASYNQ_MUST_CHECK int broker_renew(const broker *b, const queue_keys *keys, const renew_item *items, size_t count,
                                  int64_t second, broker_cb cb, void *arg);

/* Whether a reply has a result for each of so many items. If not, it is not our script's, and tells nothing. */
ASYNQ_MUST_CHECK int broker_check_results(const redis_value *reply, size_t count, asynq_error *error);
/* The result of one item of broker_enqueue, broker_settle or broker_renew. */
int broker_result_at(const redis_value *reply, size_t index);

/* ---- upkeep ---- */

/* Moves at most BROKER_CHUNK_TASKS due tasks from `source` (QUEUE_KEY_SCHEDULED or QUEUE_KEY_RETRY). */
ASYNQ_MUST_CHECK int broker_forward(const broker *b, const queue_keys *keys, queue_key source, int64_t now_ns,
                                    broker_cb cb, void *arg);
/* reply of forward and expire: how many were moved or deleted, and when the next is due (Unix s; false: none). */
size_t broker_upkeep_moved(const redis_value *reply);
bool broker_upkeep_next(const redis_value *reply, double *next_due);
/* reply of forward: ids that had no task behind them and were dropped. */
bool broker_forward_is_sound(const redis_value *reply);
const redis_value *broker_forward_dropped(const redis_value *reply);

ASYNQ_MUST_CHECK int broker_expire(const broker *b, const queue_keys *keys, int64_t now_ns, size_t max, broker_cb cb,
                                   void *arg);

typedef struct expired_lease {
    bytes id;
    bytes score;   /* as text, for settle_item.exact_score */
    bytes message; /* data NULL: no message */
    int64_t losses;
} expired_lease;

/*
 * Leases that ended BROKER_RECOVERY_ALLOWANCE_S ago by our clock and by Redis's, skipping the first `skip`; at most
 * BROKER_CHUNK_TASKS.
 */
ASYNQ_MUST_CHECK int broker_list_expired(const broker *b, const queue_keys *keys, int64_t now_ns, size_t skip,
                                         broker_cb cb, void *arg);
size_t broker_expired_count(const redis_value *reply);
expired_lease broker_expired_at(const redis_value *reply, size_t index);

/*
 * Leases of servers in Go that end within BROKER_STALE_SOON_S or have ended since BROKER_RECOVERY_ALLOWANCE_S. reply:
 * the earlier of our time and Redis's (Unix s), then id and score of each.
 */
ASYNQ_MUST_CHECK int broker_list_stale(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb,
                                       void *arg);

typedef struct lease_seen {
    bytes id;
    bytes score; /* as text */
} lease_seen;

/* Those that are still as they were seen end at `second`. At most BROKER_CHUNK_TASKS. */
ASYNQ_MUST_CHECK int broker_end_leases(const broker *b, const queue_keys *keys, int64_t second,
                                       const lease_seen *leases, size_t count, broker_cb cb, void *arg);

/* Active ids without lease among places [first, last] of the active list. reply: places looked at, then ids. */
ASYNQ_MUST_CHECK int broker_list_orphans(const broker *b, const queue_keys *keys, int64_t first, int64_t last,
                                         broker_cb cb, void *arg);
/* Gives an id without lease one that ended at `second`. `place`: about where it stands in the active list. */
ASYNQ_MUST_CHECK int broker_adopt(const broker *b, const queue_keys *keys, int64_t second, int64_t place, bytes id,
                                  broker_cb cb, void *arg);
/* Removes an active id that has no message. */
ASYNQ_MUST_CHECK int broker_drop_active(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg);

/* ---- roles of idle servers (see server/parking.c) ---- */

enum { BROKER_WATCHERS_MAX = 2, BROKER_ROLE_LIFE_S = 15, BROKER_BEAT_ROLES = 64 };

typedef enum queue_role {
    ROLE_UNKNOWN = -1, /* it could not be renewed with a beat */
    ROLE_PARKED = 0,
    ROLE_WATCHER = 1,
    ROLE_NONE = 2,  /* tasks wait: look */
    ROLE_DEPUTY = 3 /* a watcher that leaves the upkeep to the other one */
} queue_role;

/* Asks for a role in a queue, or renews it. reply: broker_role(). */
ASYNQ_MUST_CHECK int broker_take_role(const broker *b, bytes server_id, const queue_keys *keys, broker_cb cb,
                                      void *arg);
queue_role broker_role(const redis_value *reply);
/* Gives the role in a queue up; a parked server is woken to take it. */
ASYNQ_MUST_CHECK int broker_leave_role(const broker *b, bytes server_id, const queue_keys *keys);

/* ---- server records (spec 7.8) ---- */

typedef struct server_beat {
    bytes identity; /* host:pid:id */
    bytes server_info;
    const bytes *started; /* field and value alternating: tasks that run since the last beat */
    size_t started_count; /* pairs */
    const bytes *ended;   /* ids that ran at the last beat and do not any more */
    size_t ended_count;
    bool rewrite; /* `started` is all that runs: replace the record */
    int64_t now_ns;
    int64_t life_s;
    bytes server_id;
    const queue_keys *const *roles;       /* queues in which the server keeps its role; none in a cluster */
    size_t role_count;                    /* at most BROKER_BEAT_ROLES */
    bool is_apart;                        /* in a call for each slot, as in a cluster */
    const struct session_record *session; /* to be renewed as well, unless it goes apart; NULL: none */
} server_beat;

typedef struct broker_beat_reply {
    int64_t workers_recorded;
    int64_t redis_ms; /* Redis's clock, Unix time */
    int64_t servers_alive;
    bool can_wake;           /* servers, by what is published to them */
    bool has_renewed;        /* the session */
    const queue_role *roles; /* of each queue asked for; ROLE_UNKNOWN: it must be asked for by itself */
} broker_beat_reply;

typedef void (*broker_beat_cb)(void *arg, int status, const asynq_error *error, const broker_beat_reply *reply);

/*
 * The server's records, the lists that name them, and its roles: one call. They stand in several slots of a cluster, so
 * there these are several calls, and roles are asked for by broker_take_role(); `cb` comes after the last of them, with
 * the first failure. Also publishes an empty message on the server's own channel.
 */
ASYNQ_MUST_CHECK int broker_beat(const broker *b, const server_beat *beat, broker_beat_cb cb, void *arg);

/* The records of workers, of servers that are alive or have been. reply: their names, BROKER_RECORDS_MAX at most. */
ASYNQ_MUST_CHECK int broker_list_records(const broker *b, broker_cb cb, void *arg);
/* The tasks in one of them, which is gone if its server is. reply: their ids. */
ASYNQ_MUST_CHECK int broker_list_running(const broker *b, bytes record, broker_cb cb, void *arg);

ASYNQ_MUST_CHECK int broker_clear_server(const broker *b, bytes identity, broker_cb cb, void *arg);

#endif
