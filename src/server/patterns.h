/*
 * Patterns of queues: a server serves every queue whose name is in the set of queues in Redis and matches one. A queue
 * that is served by its name is no pattern's; otherwise the first pattern that matches has it, in the order in which
 * they were given.
 *
 *   the set changes, or it is time --> it is read, page by page --> new names: their queues come
 *                                                               --> the whole was read: those that are not in it leave
 *
 * The set is watched like the keys of a queue (key_watch.h), so in an idle server nothing is read but now and then. The
 * longer it is, the longer it rests between two readings.
 *
 * Thread: loop, but before the start; pattern_is_one() and pattern_check(): any.
 */
#ifndef SERVER_PATTERNS_H
#define SERVER_PATTERNS_H

#include "base/log.h"
#include "event/timer.h"
#include "server/error_pause.h"
#include "server/key_watch.h"

#include <asynq/error.h>

struct asynq_server;
struct served_queue;
struct queue_band;

enum {
    PATTERN_QUEUES_MAX = 100000, /* of all patterns of a server */
    PATTERN_NAME_MAX = 255       /* bytes of a queue's name; longer ones, and odd ones, are passed over */
};

typedef struct queue_pattern {
    struct queue_pattern *prev, *next; /* in the order given */
    struct queue_band *band;           /* its own, also without queues */
    char text[];
} queue_pattern;

/* Of the server. */
typedef struct server_patterns {
    queue_pattern *list;
    key_watch watch;
    loop_timer timer, page;
    unsigned reading;   /* which is under way, or was the last */
    bool in_flight;     /* a page */
    bool is_wanted;     /* another reading, as something has changed */
    char *cursor;       /* of the next page */
    size_t listed, odd; /* names of this reading: all, and those that cannot be served */
    size_t over;        /* there is no room for them */
    int64_t read_at_ms; /* steady clock: the end of the last reading; 0: none */
    size_t last_listed;
    error_pause pause;
    log_limit complaint, odd_complaint, over_complaint;
} server_patterns;

/* Whether it is a pattern, and no name. */
bool pattern_is_one(const char *text);
/* Returns 0, or ASYNQ_E_INVALID with a text. */
int pattern_check(const char *text, asynq_error *error);

/* Adds it, or gives it another priority. Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int patterns_set(struct asynq_server *server, const char *text, int priority);
/* Its queues leave, but for those that another one matches. */
void patterns_remove(struct asynq_server *server, const char *text);

int patterns_start(struct asynq_server *server);
/* The set may have changed: reads it soon. */
void patterns_look(struct asynq_server *server);
/* Messages may have been lost. */
void patterns_lost(struct asynq_server *server);
void patterns_stop(struct asynq_server *server);
void patterns_clear(struct asynq_server *server);

#endif
