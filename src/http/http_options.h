/*
 * What a route says about HTTP: the table of its settings, and what is made of them. It lives in the memory of its
 * settings, and is not changed once it is prepared. Thread: any.
 */
#ifndef HTTP_HTTP_OPTIONS_H
#define HTTP_HTTP_OPTIONS_H

#include "handler/handler.h"
#include "http/target.h"

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
    int64_t retry_after_max_ms, max_result, redirects, max_connections_per_host;
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

    /* Made by http_options_prepare(). */
    template *url_template, *body_template; /* the second NULL: the payload as it is, or nothing */
    http_header *header_list;
    bool has_body;
    char *written_host;         /* in the URL; NULL: it comes from the task */
    char *written_place;        /* the same with the port, as http_exchange.host */
    unsigned char classes[600]; /* http_class by status */
} http_options;

extern const setting http_table[];

/* These three are for the kind of handler. */
int http_options_prepare(settings *file, settings_node *node, void *target, asynq_error *error);
void http_options_clear(void *target);
void http_options_look(const void *target, const struct outside *to);

#endif
