/*
 * The server from inside. One loop thread owns everything here; worker threads see only jobs.
 *
 *            fetch.c: lease                 attempt.c                 outcome.c             settle.c
 *   Redis ------------------> served_queue ----------> handler ----------------> unsettled ----------> Redis
 *            watch.c: when                  (pool.c, or on the loop)
 *
 * Routes may have limits; their jobs pass limit.c first. Beside that path: forwarder.c (due tasks), recoverer.c (tasks
 * of dead servers), janitor.c (completed tasks), heartbeat.c (records, leases), subscriber.c (cancellation,
 * notifications), threads.c (as many tasks as threads), shutdown.c.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/books.h"
#include "server/job.h"
#include "server/key_watch.h"
#include "server/mux.h"
#include "server/pool.h"
#include "wire/identity.h"

#include <pthread.h>
#include <sys/types.h>

typedef enum server_status { SERVER_NEW, SERVER_ACTIVE, SERVER_STOPPED, SERVER_CLOSED } server_status;

/* How far a shutdown is, in the order of the phases; see shutdown.c. */
typedef enum shutdown_phase {
    SHUTDOWN_NOT_ASKED,
    SHUTDOWN_JOBS_RUN, /* leasing has ended; jobs may finish until the time limit */
    SHUTDOWN_SETTLING, /* no job runs; outcomes are written until acknowledged */
    SHUTDOWN_CLEARING, /* the server's records are being removed */
    SHUTDOWN_DONE
} shutdown_phase;

/* Tasks that wait for a time: the sorted sets `scheduled` and `retry` of a queue. */
typedef struct due_source {
    struct served_queue *queue;
    queue_key key;
    key_watch watch;
    double next_due;          /* Unix s, as last seen; below 0: no task */
    unsigned fruitless_wakes; /* messages in a row after which the next task was the same */
    loop_timer timer;         /* the next task is due, or it is time to look again */
    error_pause pause;
    bool in_flight;
} due_source;

enum { DUE_SOURCES = 2, ORPHANS_MOST = 256 };

/* Ids seen active without a lease; those seen again at the next look are adopted. */
typedef struct orphan_list {
    char *ids[ORPHANS_MOST];
    size_t count;
} orphan_list;

typedef struct known_group known_group;

typedef struct served_queue {
    struct asynq_server *server;
    queue_keys keys;
    char *name;
    int priority;

    job_books books;

    /* fetch.c */
    bool may_have_tasks; /* false while watched, paused or resting */
    size_t planned;      /* for the round that is being put together */
    bool lease_in_flight;
    size_t lease_asked;
    size_t mean_message_size; /* bytes, of the last tasks taken */
    held_lease lease;         /* of the call under way, or of the one whose outcome is unknown */
    bool lease_unknown;
    error_pause fetch_pause;

    /* parking.c */
    queue_role role;
    bool role_wanted, role_asked;
    bool role_in_flight; /* an answer is due; if it is not asked any more, it has left meanwhile */
    bool woken;          /* while the role was asked for */
    bool off_duty;       /* parked: others keep the timers and do the upkeep */

    /* watch.c */
    key_watch pending_watch, paused_watch;
    unsigned fruitless_wakes; /* in a row */
    loop_timer rest;

    due_source due[DUE_SOURCES];

    /* settle.c */
    loop_timer settle_again;

    /* heartbeat.c */
    asynq_job *renewing[BROKER_CHUNK_TASKS];
    size_t renewing_count;
    int64_t renewed_until_ms; /* steady clock */

    /* recoverer.c */
    bool recovering, reclaiming, clearing;
    bool expired_more;      /* the last look found some */
    size_t expired_skipped; /* expired leases that could not be dealt with in this pass */
    int64_t orphan_scan_at; /* next place of the active list; below 0: no scan */
    orphan_list orphans_before, orphans_now;

    /* groups.c */
    known_group *groups, *groups_due; /* all; those whose time has come, in their order */
    int64_t groups_next_ms;           /* the next of the others is due; wall clock */
    unsigned groups_reading;          /* of the list, which is under way or was the last */
    bool groups_listing;
    int64_t groups_listed; /* by it */
    key_watch group_watch;
    loop_timer group_timer, group_list_timer;

    bool expiring; /* janitor.c */
    log_limit complaint;
} served_queue;

struct asynq_server {
    asynq_server_options options;
    redis_uri uri;
    log_sink log;
    asynq_mux *mux;     /* the one in use */
    asynq_mux *own_mux; /* until the pool takes it over */
    served_queue **queues;
    size_t queue_count;
    identity process;

    _Atomic pid_t pid; /* of the process that started it, until it was shut down */

    /* Shared with callers, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t stopped; /* no task is taken any more */
    server_status status;
    bool stop_asked, shutdown_asked, has_stopped;
    int concurrency; /* as it shall be; what is in force is the loop's */

    /* What asynq_server_get_stats() tells; written by the loop thread. */
    struct {
        _Atomic bool is_connected, is_fetching;
        _Atomic int64_t running, commands, leases_lost, last_turn_ms, last_beat_ms;
    } stats;

    /* The loop thread's. */
    pthread_t thread;
    loop *loop;
    loop_waker orders;  /* stop and shutdown */
    loop_waker returns; /* jobs handed back */
    loop_hook decide;
    job_port *port;
    job_pool *pool;
    redis_conn *work;       /* commands */
    redis_conn *subscriber; /* messages */
    uint32_t number;        /* in lease tags; 0: not handed out yet */
    uint32_t lease_calls;
    bool fetching;  /* tasks are wanted */
    int slots;      /* the concurrency in force */
    int slots_free; /* below 0: there were more of them */

    /* threads.c */
    int slots_wanted; /* the concurrency that was asked for */
    bool lacks_threads;
    loop_timer threads_again;
    int64_t threads_pause_ms;

    size_t leases_in_flight;
    uint64_t random;

    bool tracking; /* Redis tells us about keys */
    bool tracking_refused;
    int subscriptions; /* channels confirmed */
    bool heard;        /* the subscriber got a message since the last look */

    /* parking.c */
    bool parking;          /* the fleet is large enough */
    int64_t servers_alive; /* as the last beat told */
    bool can_be_woken;     /* subscribed to our own channel */
    buf wake_channel;      /* its name */

    loop_timer poll, due_poll, safety_poll;                    /* watch.c, forwarder.c */
    loop_timer beat, lease_check;                              /* heartbeat.c */
    loop_timer recovery, recovery_more, janitor, health, ping; /* their files; ping: subscriber.c */
    int64_t started_at_ns;
    uint64_t renew_sweep;
    unsigned recovery_rounds;
    size_t running_count;
    size_t recorded_count; /* workers in the record as far as we know */
    bool record_is_unsure; /* rewrite it */
    bool beat_in_flight;
    int64_t beat_sent_at_ms; /* Unix time */
    char **ended_ids; /* recorded workers that ended since the last beat */
    size_t ended_count, ended_capacity;
    log_limit clock_complaint, complaint;

    /* aggregation.c */
    struct aggregator *aggregator; /* NULL: none was given */
    loop_waker aggregated;         /* it has come back from one */
    size_t aggregations;           /* under way */
    asynq_aggregation *unfinished; /* go on when Redis is back */

    struct route_limit *limits; /* limit.c: uthash by scope */

    shutdown_phase phase;
    loop_timer shutdown_limit;
    bool time_is_up;
    int64_t shutdown_ends_at_ms; /* steady clock: at the latest */
};

/* ---- server.c ---- */
const char *server_status_name(server_status status);
static inline bool is_lost_connection(const asynq_error *error)
{
    return error->code == ASYNQ_E_UNAVAILABLE || error->code == ASYNQ_E_OUTCOME_UNKNOWN;
}

/* Logs "queue ...: cannot <what>", not too often; a lost connection has a line of its own. */
void queue_complain(served_queue *queue, const char *what, const asynq_error *error);

/* ---- fetch.c ---- */
void fetch_pump(asynq_server *server);
/* The connection came back: leases whose reply was lost are read back first. */
void fetch_reconnected(asynq_server *server);
/* The pause of a queue after an error is over. */
void fetch_rested(served_queue *queue);
int64_t server_random_below(asynq_server *server, int64_t limit);

/* ---- watch.c: when to look into a queue ---- */
/*
 * Wake-ups in a row that found nothing new: other servers were faster, or Redis's tracking table is full and answers
 * every watch at once. After a few of them one rests before watching again, longer each time. 0: no need to rest.
 */
int64_t watch_rest_ms(unsigned fruitless_wakes);
void watch_init(served_queue *queue);
/* Be told of new tasks in an empty queue. */
void watch_pending(served_queue *queue);
/* A lease found nothing, or left nothing. */
void watch_queue_empty(served_queue *queue, bool found_any);
void watch_queue_paused(served_queue *queue);
/* Messages may have been lost: look into every queue. */
void watch_all_lost(asynq_server *server);
void watch_message(asynq_server *server, bytes key);
/* For servers that Redis does not notify, and as a net below those that it does. */
void watch_start_polling(asynq_server *server);

/* ---- parking.c: roles of idle servers ---- */
void parking_init(asynq_server *server);
void parking_clear(asynq_server *server);
/* An empty queue: be a watcher, or park. */
void parking_ask(served_queue *queue);
/* In each turn: asks, or leaves when no task can be taken. */
void parking_pump(asynq_server *server);
/* What Redis has of us is gone or unknown: look into the queue. */
void parking_forget(served_queue *queue);
/* A message on our own channel, with the name of the queue. */
void parking_woken(asynq_server *server, bytes queue);
/* True if another server does the upkeep of the queue. */
bool parking_skips_upkeep(const served_queue *queue);
/* With each beat: keeps the roles that it has; and what the beat told of the fleet. */
void parking_beat(asynq_server *server);
void parking_fleet_counted(asynq_server *server, int64_t servers_alive);

/* ---- attempt.c: the life of a job in this server ---- */
bool held_lease_has_ended(const held_lease *lease);
/* Runs a task that was leased. One whose lease has ended meanwhile goes back, if it is still ours: no failure. */
void attempt_begin(served_queue *queue, leased_task task, const held_lease *lease);
/* Ends a running job whose handler has not returned, with a text. Its handler may run on. */
void attempt_give_up(asynq_job *job, const char *reason);
/* The lease is lost: nothing may be written any more. */
void attempt_lease_lost(asynq_job *job, const char *reason);
/* Gives a job back unfinished: at shutdown, or when no thread can be had. */
void attempt_requeue(asynq_job *job);
/* Takes a job whose outcome is decided out of our books. */
void attempt_forget(asynq_job *job);
void attempt_take_returned(void *server);
/* What has become of it is decided; on_end hears of it once. */
void attempt_tell_end(asynq_job *job, asynq_attempt_end end, const char *error, int64_t next_at_ms);

/* Runs a job that nothing holds up any more. */
void attempt_start(asynq_job *job);

/* ---- threads.c ---- */
void threads_start(asynq_server *server);
void threads_stop(asynq_server *server);
/* The concurrency shall be this. */
void slots_set(asynq_server *server, int wanted);
/* A job got no thread: no more tasks than there are threads, until there are more. */
void threads_lack(asynq_server *server);

/* ---- limit.c: routes with a limit ---- */
/* The job's route has a limit: it starts when a token is to be had. */
void limit_enter(asynq_job *job);
/* The job has ended; if it waits, it no longer does. */
void limit_leave(asynq_job *job);
/* Its handler has returned, or never began: a token goes back. Before the job's state changes. */
void limit_give_back(asynq_job *job);
/* In each turn: asks Redis for what is wanted. */
void limits_pump(asynq_server *server);
/* Tokens are still to be given back. */
bool limits_are_busy(const asynq_server *server);
void limits_clear(asynq_server *server);

/* ---- outcome.c: what becomes of a task (spec 8.4) ---- */
/* Decides and queues for settling. `error` is empty for success. */
void outcome_decide(asynq_job *job, int outcome, const char *error);
/* The same for a job that has not begun: it is tried again after the pause, to the millisecond. */
void outcome_put_off(asynq_job *job, int64_t pause_ms, const char *reason);
void outcome_archive_malformed(served_queue *queue, bytes id, bytes found, const char *reason, lease_score lease,
                               const char *exact_score);

/* ---- retry.c ---- */
/* Between this attempt, which ended with `error`, and the next. */
int64_t retry_pause_ms(asynq_job *job, const char *error);

/* ---- settle.c ---- */
void settle_pump(served_queue *queue);
/* Attempts that have ended and whose outcome Redis has not acknowledged. */
size_t settle_backlog(const asynq_server *server);
bool settle_is_idle(const served_queue *queue);

/* ---- groups.c: when groups are aggregated; aggregation.c: how ---- */
void groups_init(served_queue *queue);
void groups_look(served_queue *queue);  /* at the list, now */
void groups_ended(served_queue *queue); /* an aggregation has ended, well or not */
void groups_clear(served_queue *queue);
void aggregation_take_returned(void *server);
void aggregation_resume_all(asynq_server *server);

/* ---- components ---- */
void forwarder_init(served_queue *queue);
void forwarder_look(asynq_server *server);   /* at all queues, now */
void forwarder_look_at(served_queue *queue); /* at one */
void forwarder_rest(served_queue *queue);    /* no timers any more, until the next look */

void recoverer_start(asynq_server *server);
void recoverer_look(asynq_server *server); /* now */
void recoverer_stop(asynq_server *server);
/* Deletes what is left of large sets whose aggregation is finished. */
void sets_clear(served_queue *queue);

void janitor_start(asynq_server *server);
void janitor_stop(asynq_server *server);

void heartbeat_start(asynq_server *server);
void heartbeat_now(asynq_server *server);
void heartbeat_stop(asynq_server *server);
/* A recorded worker has ended. */
void heartbeat_ended(asynq_server *server, asynq_job *job);

int subscriber_start(asynq_server *server);
void subscriber_stop(asynq_server *server);
/* The work connection is new: have Redis track its reads. */
void subscriber_enable_tracking(asynq_server *server);

void shutdown_begin(asynq_server *server);
void shutdown_advance(asynq_server *server);

#endif
