/*
 * The HTTP server for health, metrics and the API; libevent's evhttp on the loop. Who may ask is decided here: a token,
 * or being on this machine. Thread: that of the loop.
 */
#ifndef METRICS_ENDPOINT_H
#define METRICS_ENDPOINT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/log.h"
#include "event/loop.h"
#include "metrics/endpoint_body.h"

#include <asynq/error.h>

typedef struct endpoint endpoint;
typedef struct endpoint_request endpoint_request;

typedef enum endpoint_access {
    ENDPOINT_OPEN,    /* anybody: health */
    ENDPOINT_READING, /* with the token, if there is one */
    ENDPOINT_WRITING  /* with the token; without one only from this machine, and not from a browser's page */
} endpoint_access;

typedef struct endpoint_route {
    const char *method; /* "GET" also answers HEAD */
    const char *path;
    endpoint_access access;
    /* Answers with endpoint_reply(), now or later. */
    void (*handle)(endpoint_request *request, void *arg);
} endpoint_route;

typedef struct endpoint_options {
    loop *loop;
    const char *listen;               /* "127.0.0.1:9273", "[::1]:9273"; port 0: any that is free */
    int socket;                       /* a listening socket instead, which is closed at the end; below 0: none */
    const char *token;                /* NULL: none */
    const char *cert_file, *key_file; /* TLS; NULL: none */
    int64_t max_body;
    size_t max_connections;
    int64_t request_within_ms; /* from the beginning, or the last answer, to the end of a request */
    log_sink *log;
    const endpoint_route *routes; /* ends with an empty row; borrowed */
    void *arg;
} endpoint_options;

/* Returns NULL with `error` if it cannot listen there. */
endpoint *endpoint_start(const endpoint_options *options, asynq_error *error);
/* Requests that were not answered yet are dropped; endpoint_reply() for them does nothing. Accepts NULL. */
void endpoint_free(endpoint *e);
/* Reads certificate and key again, for connections that come later; in vain, the old ones stay, and the log says why.
 */
void endpoint_renew_tls(endpoint *e);
/* Where it listens. */
int endpoint_port(const endpoint *e);

/* Reads "host:port" or "[host]:port". `host` holds 256 bytes. False: it is neither. */
bool endpoint_read_address(const char *listen, char *host, int *port);

/* Takes the body away from the request, which it outlives. NULL: out of memory, or the client is gone. */
endpoint_body *endpoint_take_body(endpoint_request *request);
/* NULL: there is none. */
const char *endpoint_header(const endpoint_request *request, const char *name);

/* Answers, and ends the request. The body gets a line end, if it has none. */
void endpoint_reply(endpoint_request *request, int status, const char *content_type, bytes body);
/* The same with a body that is not copied: it is taken over, and empty afterwards. */
void endpoint_reply_buf(endpoint_request *request, int status, const char *content_type, buf *body);
/* With {"error": text}. */
void endpoint_reply_error(endpoint_request *request, int status, const char *format, ...) ASYNQ_PRINTF(3, 4);

#endif
