/* See error_pause.h. */
#include "server/error_pause.h"

#include "base/backoff.h"
#include "server/server.h"

enum { ERROR_PAUSE_MIN_MS = 500, ERROR_PAUSE_MAX_MS = 8000 };

int64_t error_pause_next_ms(asynq_server *server, error_pause *pause)
{
    pause->last_ms = backoff_next_ms(pause->last_ms, ERROR_PAUSE_MIN_MS, ERROR_PAUSE_MAX_MS);
    return pause->last_ms / 2 + server_random_below(server, pause->last_ms);
}
