/* See endpoint.h. */
#include "metrics/endpoint.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "metrics/connections.h"
#include "metrics/endpoint_tls.h"
#include "metrics/error_page.h"
#include "metrics/http_request.h"
#include "metrics/tls_renewal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    MAX_HEADERS = 16384,
    MAX_IDLE_S = 30,
    ENDPOINT_METHODS = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_PUT |
                       EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS /* what no path takes is refused by us */
};

struct endpoint_request {
    endpoint *owner;             /* NULL: it is gone */
    struct evhttp_request *http; /* NULL: the client is gone */
    endpoint_request *prev, *next;
};

struct endpoint {
    endpoint_options options;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    SSL_CTX *tls;
    tls_renewal *renewal; /* NULL: there is no TLS */
    bool is_local;        /* listens on a loopback address only */
    connections *connections;
    error_pages errors;
    endpoint_request *requests;
};

/* ---- requests ---- */

static void request_free(endpoint_request *request)
{
    if (request->owner)
        DL_DELETE(request->owner->requests, request);
    mem_free(request);
}

/* The client has hung up before the answer; evhttp frees its part. */
static void client_gone(struct evhttp_connection *connection, void *arg)
{
    (void)connection;
    endpoint_request *request = arg;
    request->http = NULL;
}

endpoint_body *endpoint_take_body(endpoint_request *request)
{
    struct evbuffer *taken = request->http ? evbuffer_new() : NULL;
    if (taken && !evbuffer_add_buffer(taken, evhttp_request_get_input_buffer(request->http)))
        return taken;
    endpoint_body_free(taken);
    return NULL;
}

const char *endpoint_header(const endpoint_request *request, const char *name)
{
    return request->http ? evhttp_find_header(evhttp_request_get_input_headers(request->http), name) : NULL;
}

static int connection_fd(struct evhttp_connection *connection)
{
    return bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
}

static void send_reply(struct evhttp_request *http, int status, const char *content_type, struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
    struct evbuffer *buffer = evhttp_request_get_output_buffer(http);
    evhttp_add_header(headers, "Content-Type", content_type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (status == 401)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
    evbuffer_add_buffer(buffer, body);
    if (evhttp_request_get_command(http) == EVHTTP_REQ_HEAD) {
        char length[32];
        snprintf(length, sizeof length, "%zu", evbuffer_get_length(buffer));
        evhttp_add_header(headers, "Content-Length", length);
        evbuffer_drain(buffer, evbuffer_get_length(buffer));
    }
    evhttp_send_reply(http, status, NULL, NULL);
}

/* `body` NULL: out of memory. */
static void reply(endpoint_request *request, int status, const char *content_type, struct evbuffer *body)
{
    if (request->http) {
        endpoint *e = request->owner;
        struct evhttp_connection *connection = evhttp_request_get_connection(request->http);
        if (connection) {
            evhttp_connection_set_closecb(connection, NULL, NULL);
            connections_end(e->connections, connection_fd(connection));
        }
        e->errors.is_ours = true;
        if (body)
            send_reply(request->http, status, content_type, body);
        else
            evhttp_send_error(request->http, 503, NULL);
        e->errors.is_ours = false;
    }
    endpoint_body_free(body);
    request_free(request);
}

void endpoint_reply(endpoint_request *request, int status, const char *content_type, bytes body)
{
    struct evbuffer *copy = evbuffer_new();
    if (copy)
        evbuffer_add(copy, body.data, body.length);
    if (copy && body.length && body.data[body.length - 1] != '\n')
        evbuffer_add(copy, "\n", 1);
    reply(request, status, content_type, copy);
}

static void free_reply(const void *data, size_t length, void *arg)
{
    (void)data, (void)length;
    mem_free(arg);
}

void endpoint_reply_buf(endpoint_request *request, int status, const char *content_type, buf *body)
{
    size_t length = body->length;
    char *data = buf_take(body);
    struct evbuffer *own = evbuffer_new();
    if (!own || (data && evbuffer_add_reference(own, data, length, free_reply, data))) {
        mem_free(data);
        endpoint_body_free(own);
        own = NULL;
    }
    reply(request, status, content_type, own);
}

static void append_error(buf *out, const char *format, va_list args)
{
    buf text;
    buf_init(&text, 0);
    buf_append_formatv(&text, format, args);
    if (text.data)
        text_make_utf8(text.data, text.length);
    json_t *object = json_pack("{s:s}", "error", text.data ? text.data : "out of memory");
    char *encoded = object ? json_dumps(object, 0) : NULL;
    buf_append_text(out, encoded ? encoded : "{}");
    buf_append_text(out, "\n");
    free(encoded);
    json_decref(object);
    buf_clear(&text);
}

void endpoint_reply_error(endpoint_request *request, int status, const char *format, ...)
{
    buf body;
    va_list args;
    buf_init(&body, 0);
    va_start(args, format);
    append_error(&body, format, args);
    va_end(args);
    endpoint_reply(request, status, "application/json", (bytes){body.data, body.length});
    buf_clear(&body);
}

/* ---- who may ask ---- */

static bool has_token(const endpoint_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *token = request->owner->options.token, *given = endpoint_header(request, "Authorization");
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
        return false;
    given += sizeof scheme - 1;
    return strlen(given) == strlen(token) && CRYPTO_memcmp(given, token, strlen(token)) == 0;
}

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return strcasecmp(host, "localhost") == 0 || (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six));
}

/* The name by which we were asked is one of this machine; else a page in a browser asks by a name of its own. */
static bool is_asked_as_local(const endpoint_request *request)
{
    const char *host = evhttp_request_get_host(request->http);
    char name[INET6_ADDRSTRLEN + 2] = "";
    size_t length = host ? strlen(host) : 0;
    bool is_bracketed = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (length && length < sizeof name)
        snprintf(name, sizeof name, "%.*s", (int)(is_bracketed ? length - 2 : length), is_bracketed ? host + 1 : host);
    return is_loopback(name);
}

/* True if it may be handled; otherwise it has been answered. */
static bool is_admitted(endpoint_request *request, endpoint_access access)
{
    const endpoint *e = request->owner;
    if (access == ENDPOINT_OPEN || (e->options.token && has_token(request)))
        return true;
    if (e->options.token) {
        endpoint_reply_error(request, 401, "a token is needed: Authorization: Bearer <token>");
        return false;
    }
    if (access == ENDPOINT_READING)
        return true;
    if (!e->is_local)
        endpoint_reply_error(request, 403,
                             "without endpoints.token this is answered only where asynqd listens on a "
                             "loopback address");
    else if (!is_asked_as_local(request) || endpoint_header(request, "Origin"))
        endpoint_reply_error(request, 403, "without endpoints.token this is not answered to pages in a browser");
    else
        return true;
    return false;
}

/* ---- routing ---- */

static void refuse_method(endpoint_request *request, const char *path)
{
    buf allowed;
    buf_init(&allowed, 0);
    for (const endpoint_route *row = request->owner->options.routes; row->path; row++)
        if (strcmp(path, row->path) == 0)
            buf_append_format(&allowed, "%s%s", allowed.length ? ", " : "",
                              strcmp(row->method, "GET") == 0 ? "GET, HEAD" : row->method);
    const char *text = allowed.data ? allowed.data : "";
    evhttp_add_header(evhttp_request_get_output_headers(request->http), "Allow", text);
    endpoint_reply_error(request, 405, "%s takes %s", path, text);
    buf_clear(&allowed);
}

static void route_request(endpoint_request *request)
{
    const endpoint *e = request->owner;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request->http));
    const char *method = http_request_method(request->http), *problem = http_request_why_ambiguous(request->http);
    bool is_known = false;
    if (problem) {
        evhttp_add_header(evhttp_request_get_output_headers(request->http), "Connection", "close");
        endpoint_reply_error(request, 400, "%s", problem);
        return;
    }
    for (const endpoint_route *row = e->options.routes; row->path; row++) {
        bool is_path = path && strcmp(path, row->path) == 0;
        is_known |= is_path;
        if (!is_path || strcmp(method, row->method) != 0)
            continue;
        if (is_admitted(request, row->access))
            row->handle(request, e->options.arg);
        return;
    }
    if (is_known)
        refuse_method(request, path);
    else
        endpoint_reply_error(request, 404, "there is nothing at %.200s", evhttp_request_get_uri(request->http));
}

static void on_request(struct evhttp_request *http, void *arg)
{
    endpoint *e = arg;
    endpoint_request *request = mem_calloc(1, sizeof *request);
    loop_mark(e->options.loop);
    if (!request) {
        evhttp_send_error(http, 503, NULL);
        return;
    }
    *request = (endpoint_request){.owner = e, .http = http};
    DL_APPEND(e->requests, request);
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    evhttp_connection_set_closecb(connection, client_gone, request);
    connections_begin(e->connections, connection_fd(connection));
    route_request(request);
}

/* ---- listening ---- */

/* Of a socket that somebody else has bound. */
static bool is_local_socket(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (getsockname(fd, (struct sockaddr *)&address, &length))
        return false;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&address)->sin_addr, text, sizeof text);
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)&address)->sin6_addr, text, sizeof text);
    return address.ss_family == AF_UNIX || is_loopback(text);
}

static struct bufferevent *make_connection(struct event_base *base, void *arg)
{
    endpoint *e = arg;
    struct bufferevent *made = endpoint_tls_connection(e->tls, base);
    if (!made)
        return NULL;
    error_pages_watch(made);
    connections_add(e->connections, made);
    return made;
}

static int listen_at(endpoint *e, asynq_error *error)
{
    char host[256];
    int port;
    if (e->options.socket >= 0) {
        e->is_local = is_local_socket(e->options.socket);
        e->socket = evutil_make_socket_nonblocking(e->options.socket)
                        ? NULL
                        : evhttp_accept_socket_with_handle(e->http, e->options.socket);
        return e->socket ? ASYNQ_OK : error_set(error, ASYNQ_E_SYSTEM, "the socket of systemd cannot be used");
    }
    if (!endpoint_read_address(e->options.listen, host, &port))
        return error_set(error, ASYNQ_E_INVALID, "\"%s\" is not HOST:PORT", e->options.listen);
    e->is_local = is_loopback(host);
    e->socket = evhttp_bind_socket_with_handle(e->http, host, (ev_uint16_t)port);
    if (!e->socket)
        return error_set(error, ASYNQ_E_SYSTEM, "cannot listen at %s: %s", e->options.listen, strerror(errno));
    return ASYNQ_OK;
}

int endpoint_port(const endpoint *e)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(evhttp_bound_socket_get_fd(e->socket), (struct sockaddr *)&address, &length))
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                                               : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

static void tls_renewed(void *arg, SSL_CTX *fresh, const asynq_error *error)
{
    endpoint *e = arg;
    if (!fresh) {
        log_event(e->options.log, LOG_CERTIFICATE_KEPT, "%s", error->text);
        return;
    }
    SSL_CTX_free(e->tls); /* connections hold what they need of it */
    e->tls = fresh;
}

void endpoint_renew_tls(endpoint *e)
{
    if (e->renewal)
        tls_renewal_begin(e->renewal);
}

static int start_tls(endpoint *e, asynq_error *error)
{
    const endpoint_options *o = &e->options;
    if (!o->cert_file)
        return ASYNQ_OK;
    e->tls = endpoint_tls_new(o->cert_file, o->key_file, error);
    if (e->tls)
        e->renewal = tls_renewal_new(&(tls_renewal_options){o->loop, o->cert_file, o->key_file, tls_renewed, e}, error);
    return e->renewal ? ASYNQ_OK : error->code;
}

/* False: out of memory. */
static bool endpoint_make_server(endpoint *e)
{
    const endpoint_options *options = &e->options;
    e->connections = connections_new(
        &(connections_options){options->loop, options->log, options->max_connections, options->request_within_ms});
    e->http = e->connections ? evhttp_new(loop_base(options->loop)) : NULL;
    if (!e->http)
        return false;
    evhttp_set_max_headers_size(e->http, MAX_HEADERS);
    evhttp_set_max_body_size(e->http, (ev_ssize_t)options->max_body);
    evhttp_set_timeout(e->http, MAX_IDLE_S);
    evhttp_set_allowed_methods(e->http, ENDPOINT_METHODS);
    evhttp_set_gencb(e->http, on_request, e);
    evhttp_set_bevcb(e->http, make_connection, e);
    return true;
}

endpoint *endpoint_start(const endpoint_options *options, asynq_error *error)
{
    endpoint *e = mem_calloc(1, sizeof *e);
    if (!e)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    e->options = *options;
    error_pages_init(&e->errors, options->loop, options->max_body);
    int status = endpoint_make_server(e) ? start_tls(e, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = listen_at(e, error);
    if (!status) {
        connections_listen(e->connections, evhttp_bound_socket_get_listener(e->socket));
        return e;
    }
    endpoint_free(e);
    return NULL;
}

void endpoint_free(endpoint *e)
{
    if (!e)
        return;
    endpoint_request *request, *next;
    DL_FOREACH_SAFE(e->requests, request, next) {
        if (request->http && evhttp_request_get_connection(request->http))
            evhttp_connection_set_closecb(evhttp_request_get_connection(request->http), NULL, NULL);
        request->http = NULL;
        request->owner = NULL;
    }
    if (e->http)
        evhttp_free(e->http);
    connections_free(e->connections);
    error_pages_clear(&e->errors);
    tls_renewal_free(e->renewal);
    SSL_CTX_free(e->tls);
    mem_free(e);
}
