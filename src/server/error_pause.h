/* How long the server waits after an error before it tries the same again: longer each time, and never in step. */
#ifndef SERVER_ERROR_PAUSE_H
#define SERVER_ERROR_PAUSE_H

#include <stdint.h>

struct asynq_server;

/* Of one thing that is tried; zeroed when it has succeeded. */
typedef struct error_pause {
    int64_t last_ms;
} error_pause;

int64_t error_pause_next_ms(struct asynq_server *server, error_pause *pause);

static inline void error_pause_end(error_pause *pause)
{
    pause->last_ms = 0;
}

#endif
