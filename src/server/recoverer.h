/* Tasks that their servers have lost: recoverer.c. */
#ifndef SERVER_RECOVERER_H
#define SERVER_RECOVERER_H

#include "event/timer.h"

#include <stdbool.h>
#include <stddef.h>

struct asynq_server;
struct served_queue;

enum { ORPHANS_MOST = 256 };

/* Ids seen active without a lease; those seen again at the next look are adopted. */
typedef struct orphan_list {
    char *ids[ORPHANS_MOST];
    size_t count;
} orphan_list;

/* Of a queue. */
typedef struct queue_recovery {
    bool expired_more;      /* the last look found some */
    size_t expired_skipped; /* expired leases that could not be dealt with in this pass */
    int64_t orphan_scan_at; /* next place of the active list; below 0: no scan */
    orphan_list orphans_before, orphans_now;
} queue_recovery;

/* Of the server. */
typedef struct server_recovery {
    loop_timer timer, more;
    unsigned rounds;
} server_recovery;

int recoverer_start(struct asynq_server *server);
void recoverer_look(struct asynq_server *server); /* now */
void recoverer_stop(struct asynq_server *server);

/* Completed tasks whose retention is over: janitor.c. */
int janitor_start(struct asynq_server *server);
void janitor_stop(struct asynq_server *server);

#endif
