/*
 * The server from inside. One loop thread owns everything here; worker threads see only jobs.
 *
 *            fetch.c: lease                 attempt.c                 outcome.c             settle.c
 *   Redis ------------------> served_queue ----------> handler ----------------> unsettled ----------> Redis
 *            watch.c: when                  (pool.c, or on the loop)
 *
 * Routes may have limits; their jobs pass limit.c first. They may have capacities (capacity.c); then a lease passes
 * over tasks that there is no room for (ahead.c). Beside that path: forwarder.c (due tasks), recoverer.c (tasks of dead
 * servers, of which session.c and peers.c know), janitor.c (completed tasks), heartbeat.c (records, leases),
 * subscriber.c (cancellation, notifications), threads.c (as many tasks as threads), shutdown.c.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/name_set.h"
#include "redis/engine.h"
#include "server/ahead.h"
#include "server/band.h"
#include "server/books.h"
#include "server/capacity.h"
#include "server/duty.h"
#include "server/fetch.h"
#include "server/forwarder.h"
#include "server/groups.h"
#include "server/heartbeat.h"
#include "server/mux.h"
#include "server/parking.h"
#include "server/patterns.h"
#include "server/peers.h"
#include "server/pool.h"
#include "server/queues.h"
#include "server/recoverer.h"
#include "server/session.h"
#include "server/settle.h"
#include "server/shutdown.h"
#include "server/stale.h"
#include "server/subscriber.h"
#include "server/threads.h"
#include "server/watch.h"
#include "wire/identity.h"

#include <pthread.h>

typedef enum server_status { SERVER_NEW, SERVER_ACTIVE, SERVER_STOPPED, SERVER_CLOSED } server_status;

typedef struct served_queue {
    struct asynq_server *server;
    const broker *broker; /* where it is kept */
    queue_keys keys;
    char *name;

    /* queues.c */
    UT_hash_handle hh; /* by name */
    size_t at;         /* in the server's array */
    _Atomic int refs;
    queue_link links[QUEUE_LIST_COUNT];
    queue_band *band;
    unsigned seen; /* patterns.c: the reading that found it last */

    job_books books;

    queue_fetch fetch;
    queue_ahead ahead;
    queue_watch watch;
    queue_parking parking;
    due_source due[DUE_SOURCES]; /* forwarder.c */
    queue_renewal renewal;
    queue_settle settle;

    queue_recovery recovery;
    queue_stale stale;
    queue_janitor janitor;
    queue_groups *groups; /* NULL: the server has no aggregator */
    queue_duty duties[DUTY_COUNT];
    log_limit complaint; /* of Redis's answers */
    log_limit odd_tasks; /* what was found in the queue, and cannot be run as it is */
} served_queue;

struct asynq_server {
    asynq_server_options options;
    const asynq_sizes *sizes; /* of the program's structs, for on_end; NULL: as ours */
    redis_uri uri;
    key_space space;
    log_sink log;
    asynq_mux *mux;     /* the one in use */
    asynq_mux *own_mux; /* until the pool takes it over */
    identity process;

    /* queues.c: the loop's once the server has started */
    served_queue **queues; /* in no order; also those that leave */
    size_t queue_count, queue_capacity;
    served_queue *queues_by_name; /* uthash; the same */
    served_queue *lists[QUEUE_LIST_COUNT];
    queue_band *bands;
    server_patterns patterns;

    /* Shared with callers, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t stopped; /* no task is taken any more */
    server_status status;
    bool stop_asked, shutdown_asked, is_hurried, has_stopped, has_ended;
    int concurrency;              /* as it shall be; what is in force is the loop's */
    asynq_error connection_error; /* why there is no connection; code 0: there is one, or nobody knows yet */
    name_set queue_names;         /* likewise: which shall be served */
    queue_order *orders, *last_order;

    /* What asynq_server_get_stats() tells; written by the loop thread. */
    struct {
        _Atomic bool is_connected, is_fetching;
        _Atomic int64_t running, commands, leases_lost, tasks_recovered, last_loop_ms, last_heartbeat_ms,
            reports_dropped;
    } stats;

    /* The loop thread's. */
    engine engine;
    loop *loop;         /* the engine's */
    broker broker;      /* on the engine's connections; that of all queues */
    loop_waker returns; /* jobs handed back */
    loop_hook decide;
    job_port *port;
    job_pool *pool;
    bool fetching;                   /* tasks are wanted */
    int slots;                       /* the concurrency in force */
    int slots_free;                  /* below 0: there were more of them */
    size_t running_count, job_count; /* running; all that are not GONE */
    shutdown_phase phase;
    uint64_t random;
    log_limit complaint;

    /* The components'. */
    server_fetch fetch;
    server_capacities capacities;
    server_threads threads;
    server_subscriber subscriber;
    server_parking parking;
    server_polling polling;
    server_heartbeat heartbeat;
    server_shutdown shutdown;
    struct route_limit *limits; /* limit.c: uthash by scope */
    server_recovery recovery;
    server_stale stale;
    server_session session;
    server_peers peers;
    loop_timer health;

    struct reporter *reporter; /* reports.c; NULL: nobody wants any */

    /* aggregation.c */
    struct aggregator *aggregator; /* NULL: none was given */
    loop_waker aggregated;         /* it has come back from one */
    size_t aggregations;           /* under way */
    asynq_aggregation *unfinished; /* go on when Redis is back, or the pause is over */
    loop_timer unfinished_pause;
    error_pause aggregation_pause;
};

/* ---- serve.c ---- */
/* As asynq_serve(), for a program with structs of these sizes; NULL: as ours. */
int server_serve(const asynq_server_options *options, const asynq_sizes *sizes);

/* It is not served any more, but something of it is under way. */
static inline bool queue_is_leaving(const served_queue *queue)
{
    return queue->links[QUEUES_LEAVING].prev;
}

/* ---- server.c ---- */
const char *server_status_name(server_status status);
/* As asynq_server_stop(), without waiting until the tasks that are being taken are here. Thread: any. */
void server_stop_soon(asynq_server *server);
/* At random, from 0 to below the limit. */
int64_t server_random_below(asynq_server *server, int64_t limit);

/* Logs "queue ...: cannot <what>", not too often; a lost connection has a line of its own. */
void queue_complain(served_queue *queue, const char *what, const asynq_error *error);
/* An id in a list or a set that has no task was removed from there. */
void queue_tell_dropped(served_queue *queue, bytes id);

#endif
