/*
 * Whose turn it is: queues of one priority stand in a band, and take turns in it. A draw is first among the bands, by
 * their shares; so it costs the same however many queues there are. The queues of a pattern have a band of their own,
 * and together the share of one queue.
 *
 * Thread: loop, but before the start.
 */
#ifndef SERVER_BAND_H
#define SERVER_BAND_H

#include <stddef.h>
#include <stdint.h>

struct asynq_server;
struct served_queue;

typedef struct queue_band {
    struct queue_band *prev, *next;      /* from the highest priority on */
    const struct queue_pattern *pattern; /* the one that has its queues; NULL: they are served by their names */
    int priority;
    size_t members;
    struct served_queue *ready; /* the next in turn first */
    size_t ready_count;
    size_t held_count; /* may have tasks, but an answer is awaited first */
} queue_band;

/* That of the queues with this priority that are served by their names. NULL: out of memory. A band ends with its last
 * queue, or with this call if it never had one. */
queue_band *band_for(struct asynq_server *server, int priority);
/* A pattern's own. NULL: out of memory. It stays as long as it has `pattern`. */
queue_band *band_for_pattern(struct asynq_server *server, int priority, const struct queue_pattern *pattern);
/* With all its queues, to another priority. */
void band_move(struct asynq_server *server, queue_band *band, int priority);
void band_end_if_empty(struct asynq_server *server, queue_band *band);
void band_enter(queue_band *band, struct served_queue *queue);
void band_leave(struct served_queue *queue);

/* The share of the attention that it has now. */
int64_t band_share(const queue_band *band);
/* Puts the first in turn behind the others. */
void band_rotate(queue_band *band);

#endif
