/*
 * Upkeep that is done for each queue now and then, by one call at a time: whether it may be sent now, that it is not
 * sent twice, what is said of an error, and that it goes on at once when there is more.
 */
#ifndef SERVER_DUTY_H
#define SERVER_DUTY_H

#include "broker/broker.h"

struct asynq_server;
struct served_queue;

typedef enum duty_id {
    DUTY_EXPIRE,
    DUTY_RECOVER,
    DUTY_TAKE_BACK,
    DUTY_STALE,
    DUTY_RECLAIM_SETS,
    DUTY_CLEAR_SETS,
    DUTY_COUNT
} duty_id;

typedef struct duty {
    const char *what;    /* for the log: "cannot <what>" */
    bool while_jobs_end; /* also while a shutdown waits for jobs and their outcomes */
    /* Sends the call; 0: it will be answered. */
    int (*send)(struct served_queue *queue, broker_cb replied, void *arg);
    /* True: there is more to be done at once. */
    bool (*replied)(struct served_queue *queue, const redis_value *reply);
} duty;

extern const duty duty_expire, duty_recover, duty_take_back, duty_stale, duty_reclaim_sets,
    duty_clear_sets; /* in the files of their parts */

/* Of a queue. */
typedef struct queue_duty {
    struct served_queue *queue; /* while a call is under way */
    duty_id id;
} queue_duty;

void duty_run(struct served_queue *queue, duty_id id);

#endif
