/* When groups are aggregated: groups.c; and how: aggregation.c. */
#ifndef SERVER_GROUPS_H
#define SERVER_GROUPS_H

#include "event/timer.h"
#include "server/error_pause.h"
#include "server/key_watch.h"

struct asynq_server;
struct served_queue;

typedef struct known_group known_group;

/* Of a queue. */
typedef struct queue_groups {
    known_group *known, *due; /* all; those whose time has come, in their order */
    int64_t next_ms;          /* the next of the others is due; wall clock */
    unsigned reading;         /* of the list, which is under way or was the last */
    bool listing;
    int64_t listed; /* by it */
    key_watch watch;
    loop_timer timer, list_timer;
    bool is_resting; /* after an error; then the timer ends it */
    error_pause pause, list_pause;
} queue_groups;

int groups_queue_start(struct served_queue *queue);
void groups_queue_stop(struct served_queue *queue);
void groups_look(struct served_queue *queue); /* at the list, now */
/* The queue is not served any more; aggregations that are under way go on. */
void groups_leave(struct served_queue *queue);
bool groups_are_busy(const struct served_queue *queue);
void groups_ended(struct served_queue *queue); /* an aggregation has ended, well or not */

int aggregation_start(struct asynq_server *server);
void aggregation_stop(struct asynq_server *server);
void aggregation_resume_all(struct asynq_server *server);

#endif
