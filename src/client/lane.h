/*
 * A lane: the tasks on their way into one queue. While a chunk is with Redis, what arrives makes the next one, so under
 * load many callers' tasks share a round trip and alone nothing waits. A second chunk goes out beside the first when it
 * is at least as large: then Redis need not wait for us, and chunks do not become smaller, which would cost it more.
 *
 *   lane_add --> waiting --> chunk --script--> Redis [--> WAIT --> its replicas]
 *                              ^                  |
 *                              +-- outcome unknown: the same chunk again, marked as repeat
 *
 * Thread: the client's own.
 */
#ifndef CLIENT_LANE_H
#define CLIENT_LANE_H

#include "base/hash.h"
#include "broker/durable.h"
#include "broker/publish.h"
#include "client/plan.h"
#include "redis/engine.h"

/* One task of one caller. */
typedef struct lane_task {
    struct lane_task *next;
    engine_order order; /* of the first task of a list that is handed over */
    task_plan plan;
    int64_t submitted_at_ms, give_up_at_ms; /* steady clock */
    bool is_given_up; /* its caller has been told; it stays in its chunk, which may be sent again as it was */
    /* Called once with the outcome in plan.enqueued. Its bytes may still be read. */
    void (*finished)(struct lane_task *task);
    void *owner;  /* of the one who enqueued */
    void *cookie; /* likewise */
    size_t index; /* likewise */
} lane_task;

lane_task *lane_task_new(void);
void lane_task_free(lane_task *task);
/* Reports, unless that has been done, and frees. A status of 0 leaves plan.enqueued as planned. */
void lane_task_finish(lane_task *task, int status, const char *text);

/* What all lanes of a client share. */
typedef struct lane_context {
    loop *loop;
    broker broker;
    durable_wish durable;
    bytes client_id; /* empty: leave no memory in Redis */
    uint64_t batch_number;
    asynq_error last_error;        /* why the connection is down */
    void (*retry_soon)(void *arg); /* a chunk came back although the connection is up */
    void *arg;
} lane_context;

enum { LANE_CHUNKS = 2 };

typedef struct lane_chunk {
    struct lane *lane;
    lane_task *tasks[BROKER_CHUNK_TASKS];
    size_t count; /* 0: not in use */
    uint64_t number;
    bool is_repeat;                          /* it was sent, and nobody knows what came of it */
    signed char results[BROKER_CHUNK_TASKS]; /* enqueue_result of each, while replicas are awaited */
    bool in_flight;
} lane_chunk;

typedef struct lane {
    UT_hash_handle hh; /* in the client's table, by queue name */
    lane_context *context;
    queue_keys keys;
    lane_task *first, **end; /* waiting */
    size_t waiting, waiting_bytes;
    lane_chunk chunks[LANE_CHUNKS];
    queue_publication publication;
    int64_t used_at_ms;
} lane;

lane *lane_new(lane_context *context, bytes queue);
/* Only when idle. */
void lane_free(lane *l);
bool lane_is_idle(const lane *l);

void lane_add(lane *l, lane_task *task);

/* Sends what can be sent. */
void lane_pump(lane *l);

/* Ends tasks that waited too long. */
void lane_expire(lane *l, int64_t now_ms);

/* Ends everything that waits, because no attempt can succeed. */
void lane_fail(lane *l, int status, const char *text);

#endif
