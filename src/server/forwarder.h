/* Tasks whose time has come: forwarder.c. */
#ifndef SERVER_FORWARDER_H
#define SERVER_FORWARDER_H

#include "server/error_pause.h"
#include "server/key_watch.h"
#include "wire/keys.h"

struct asynq_server;
struct served_queue;

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

enum { DUE_SOURCES = 2 };

int forwarder_queue_start(struct served_queue *queue);
void forwarder_queue_stop(struct served_queue *queue);
void forwarder_look_at(struct served_queue *queue); /* now */
/* Likewise, but cheaper where nothing is due: Redis tells of them. */
void forwarder_ask_at(struct served_queue *queue);
bool forwarder_is_busy(const struct served_queue *queue);
void forwarder_rest(struct served_queue *queue); /* no timers any more, until the next look */

#endif
