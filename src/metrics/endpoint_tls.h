/* The certificate of an endpoint. */
#ifndef METRICS_ENDPOINT_TLS_H
#define METRICS_ENDPOINT_TLS_H

#include <asynq/error.h>
#include <openssl/types.h>

struct bufferevent;
struct event_base;

/* Reads certificate, with its chain, and key. NULL with `error`. Ends with SSL_CTX_free(). */
SSL_CTX *endpoint_tls_new(const char *cert_file, const char *key_file, asynq_error *error);
/* A connection that is about to get its socket; `tls` NULL: in plain text. NULL: out of memory. */
struct bufferevent *endpoint_tls_connection(SSL_CTX *tls, struct event_base *base);

#endif
