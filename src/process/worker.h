/* The handler whose tasks are run by a pool of worker processes. */
#ifndef PROCESS_WORKER_H
#define PROCESS_WORKER_H

#include "handler/handler.h"
#include "handler/output.h"

/* What a route says: which pool. */
typedef struct worker_route {
    const char *pool;
    output_options output;
    const char *origin; /* "asynqd.yaml:12", for complaints */
} worker_route;

extern const handler_kind handler_worker;

#endif
