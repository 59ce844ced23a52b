/* Tasks that their servers have lost: recoverer.c. */
#ifndef SERVER_RECOVERER_H
#define SERVER_RECOVERER_H

#include "event/timer.h"
#include "server/key_watch.h"

#include <stdbool.h>
#include <stddef.h>

struct asynq_server;
struct served_queue;

enum { ORPHANS_MAX = 256 };

/* Ids seen active without a lease; those seen again at the next look are adopted. */
typedef struct orphan_list {
    char **ids; /* ORPHANS_MOST; NULL: none yet */
    size_t count;
} orphan_list;

/* Of a queue. */
typedef struct queue_recovery {
    key_watch watch; /* of all that there can be upkeep for */
    unsigned rounds;
    bool expired_more;      /* the last look found some */
    size_t expired_skipped; /* expired leases that could not be dealt with in this pass */
    int64_t orphan_scan_at; /* next place of the active list; below 0: no scan */
    int64_t take_back_at;   /* next place there to look for tasks of servers that are gone */
    bool take_back_found;   /* this pass has found some */
    bool take_back_waits;   /* until what was only listed is settled */
    int clean_passes;
    unsigned looked_for; /* version of the peers whose tasks are known not to be there */
    orphan_list orphans_before, orphans_now;
} queue_recovery;

/* Of the server. */
typedef struct server_recovery {
    loop_timer timer, more;
} server_recovery;

int recoverer_start(struct asynq_server *server);
int recoverer_queue_start(struct served_queue *queue);
void recoverer_queue_stop(struct served_queue *queue);
bool recoverer_is_busy(const struct served_queue *queue);
void recoverer_look(struct asynq_server *server); /* now */
void recoverer_stop(struct asynq_server *server);
/* Another server may be gone: puts its tasks back. */
void recoverer_take_back(struct asynq_server *server);

/* Nothing is known of the queue: looks whether there is something to do. */
void recoverer_look_at(struct served_queue *queue);

/* Completed tasks whose retention is over: janitor.c. */
typedef struct queue_janitor {
    key_watch watch;
    loop_timer timer; /* the next one is over */
} queue_janitor;

int janitor_queue_start(struct served_queue *queue);
void janitor_queue_stop(struct served_queue *queue);
void janitor_look_at(struct served_queue *queue);

#endif
