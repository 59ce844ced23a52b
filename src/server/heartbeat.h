/* Records of the server and its workers, and the leases of what runs: heartbeat.c. */
#ifndef SERVER_HEARTBEAT_H
#define SERVER_HEARTBEAT_H

#include "base/log.h"
#include "server/job.h"

struct asynq_server;
struct served_queue;

/* Of a queue: the renewal under way. */
typedef struct queue_renewal {
    asynq_job **jobs; /* BROKER_CHUNK_TASKS; NULL: none yet */
    size_t count;
    int64_t until_ms; /* steady clock */
} queue_renewal;

/* Of the server. */
typedef struct server_heartbeat {
    loop_timer beat, lease_check;
    loop_timer rest; /* of the record of what runs, which is too large for one call */
    int64_t started_at_ns;
    uint64_t renew_sweep;
    size_t recorded_count; /* workers in the record as far as we know */
    bool record_is_unsure; /* rewrite it */
    bool in_flight, has_more;
    bool is_apart;      /* this Redis takes no call with keys of several slots: one of a cluster, or behind a proxy */
    int64_t sent_at_ms; /* Unix time */
    int64_t sent_steady_ms;
    char **ended_ids; /* recorded workers that ended since the last beat */
    size_t ended_count, ended_capacity;
    log_limit clock_complaint;
} server_heartbeat;

int heartbeat_start(struct asynq_server *server);
void heartbeat_ready(struct asynq_server *server);
void heartbeat_lost(struct asynq_server *server);
void heartbeat_stop(struct asynq_server *server);
void heartbeat_queue_stop(struct served_queue *queue);
/* A recorded worker has ended. */
void heartbeat_ended(struct asynq_server *server, asynq_job *job);

#endif
