/*
 * TLS as a pair of byte pipes: OpenSSL over memory BIOs. The connection moves the bytes; this file never touches a
 * socket, so plain and encrypted connections share one path.
 */
#ifndef REDIS_TLS_H
#define REDIS_TLS_H

#include "base/buf.h"
#include "redis/outq.h"
#include "redis/uri.h"

#include <asynq/error.h>

typedef struct redis_tls redis_tls;

/* Prepares a client session. Verification is on unless the URI says otherwise. NULL with a text in `error`. */
redis_tls *redis_tls_new(const redis_uri *uri, asynq_error *error);
void redis_tls_free(redis_tls *tls);

/*
 * Takes received bytes and appends what they decrypt to. While the handshake lasts this also advances it: call it
 * with no bytes to start. Returns 0, or ASYNQ_E_UNAVAILABLE with a text.
 */
ASYNQ_MUST_CHECK int redis_tls_receive(redis_tls *tls, const char *data, size_t length, buf *plain, asynq_error *error);

bool redis_tls_is_ready(const redis_tls *tls);

/* Encrypts. Only when ready. Returns 0 or ASYNQ_E_UNAVAILABLE with a text. */
ASYNQ_MUST_CHECK int redis_tls_send(redis_tls *tls, const char *data, size_t length, asynq_error *error);

/* Moves bytes for the socket, from handshake or encryption, to `out`. Returns 0 or ASYNQ_E_NO_MEMORY with a text. */
ASYNQ_MUST_CHECK int redis_tls_take_output(redis_tls *tls, redis_outq *out, asynq_error *error);

#endif
