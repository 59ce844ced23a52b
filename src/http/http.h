/*
 * The HTTP handler: each attempt is a request. http.c has its course, http_options.h what a route says about it;
 * http_request.c makes the request from the task, http_answer.c decides what an answer means.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/bytes.h"
#include "handler/handler.h"
#include "http/http_client.h"
#include "http/http_options.h"

extern const handler_kind handler_http;

/* One request and its answer. */
typedef struct http_exchange {
    handler_call *call;
    http_client *client;
    const http_options *options;
    http_transfer transfer;
    struct curl_slist *headers;
    buf url, filled, result; /* `filled`: the body, where a template makes it */
    bytes body;              /* that, or the payload itself, which the job keeps */
    char host[300];          /* "name:port" */
    bool is_cut;             /* the result */
    size_t left_out;
    buf refusal;       /* why the target is refused; empty: it is not */
    long sent;         /* requests: the first one, and one for each redirect */
    bool is_withdrawn; /* before its turn came */
    int lack;          /* errno: what asynqd had not for a connection; 0: nothing */
    bool is_crowded;   /* the name of a redirect could not be looked up, as many others are */
    bool is_again;     /* libcurl would send one again, as its connection was closed without an answer */
    char problem[CURL_ERROR_SIZE];
    int64_t limit_ms;
} http_exchange;

/* ---- http_request.c ---- */

/* Host, without the brackets of IPv6, and port of a URL. */
bool http_read_host(const char *url, char *host, size_t size, char *port, size_t port_size);

/* Fills the easy handle. Returns 0, or ASYNQ_E_INVALID if the task lacks what the request needs. */
ASYNQ_MUST_CHECK int http_request_make(http_exchange *exchange, asynq_error *error);

/* The time limits of a request that begins now. */
void http_request_limit(http_exchange *exchange);

/* ---- http_answer.c ---- */

int http_answer_prepare(settings *file, settings_node *node, http_options *options, asynq_error *error);
/* Ends the call. */
void http_answer_decide(http_exchange *exchange, CURLcode result);

#endif
