/* When to look into a queue: watch.c. */
#ifndef SERVER_WATCH_H
#define SERVER_WATCH_H

#include "server/key_watch.h"

struct asynq_server;
struct served_queue;

typedef struct queue_watch {
    key_watch pending, paused;
    unsigned fruitless_wakes; /* in a row */
    loop_timer rest;
} queue_watch;

typedef struct server_polling {
    loop_timer poll, safety_poll, look;
    size_t next; /* for the safety poll */
} server_polling;

/*
 * Wake-ups in a row that found nothing new: other servers were faster, or Redis's tracking table is full and answers
 * every watch at once. After a few of them one rests before watching again, longer each time. 0: no need to rest.
 */
int64_t watch_rest_ms(unsigned fruitless_wakes);
int watch_start(struct asynq_server *server);
int watch_queue_start(struct served_queue *queue);
void watch_queue_stop(struct served_queue *queue);
void watch_stop(struct asynq_server *server);
/* Begins to watch a key of the queue: see key_watch_arm(). */
bool watch_arm(struct served_queue *queue, key_watch *watch);
/* Be told of new tasks in an empty queue. */
void watch_pending(struct served_queue *queue);
/* A lease found nothing, or left nothing. */
void watch_queue_empty(struct served_queue *queue, bool found_any);
/* A lease left tasks, but none that has room. */
void watch_queue_exhausted(struct served_queue *queue, bool found_any);
void watch_queue_paused(struct served_queue *queue);
/* A read of one of its keys is under way. */
bool watch_is_busy(struct served_queue *queue);
/* Nothing is known of the queue: look into it. */
void watch_look_at(struct served_queue *queue);
/* Messages may have been lost: look into every queue. */
void watch_all_lost(struct asynq_server *server);
void watch_message(struct asynq_server *server, bytes key);

#endif
