/*
 * The HTTP handler: each attempt is a request. http.c has its options and its course, http_request.c makes the request
 * from the task, http_answer.c decides what an answer means.
 */
#ifndef HANDLER_HTTP_H
#define HANDLER_HTTP_H

#include "base/bytes.h"
#include "handler/handler.h"
#include "handler/http_client.h"
#include "handler/target.h"

extern const handler_kind handler_http;

typedef struct http_header {
    const char *name;
    template *value;
} http_header;

typedef enum http_class { HTTP_RETRY, HTTP_SUCCESS, HTTP_PERMANENT } http_class;

typedef struct http_options {
    const char *url, *method, *body, *content_type;
    setting_pairs headers;
    int64_t connect_timeout_ms, timeout_ms;
    setting_list success, permanent, retry, permanent_errors;
    int64_t retry_after_most_ms, most_result, redirects, most_per_host;
    int version;
    const char *proxy;
    bool sends_task;
    struct {
        const char *ca_file, *cert_file, *key_file;
        bool verify;
    } tls;
    struct {
        const char *key, *header;
    } signature;
    target_options target;

    /* Made by prepare(). */
    template *url_template, *body_template; /* the second NULL: the payload as it is, or nothing */
    http_header *header_list;
    bool has_body;
    char *written_host;         /* in the URL; NULL: it comes from the task */
    char *written_place;        /* the same with the port, as http_exchange.host */
    unsigned char classes[600]; /* http_class by status */
} http_options;

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
