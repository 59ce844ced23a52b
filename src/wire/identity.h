/* How a process is known in Redis: host:pid:id, the last a random UUID. */
#ifndef WIRE_IDENTITY_H
#define WIRE_IDENTITY_H

#include "base/buf.h"
#include "base/bytes.h"

#include <stdint.h>

typedef struct identity {
    char host[256];
    char id[37];
    int32_t pid;
    buf text;
} identity;

/* Of this process, so only when it has its last pid: after daemonizing. Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int identity_make(identity *made);
void identity_clear(identity *made);
bytes identity_text(const identity *made);

#endif
