/* See endpoint.h. */
#include "metrics/endpoint.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <utlist.h>

enum { MOST_HEADERS = 16384, MOST_IDLE_S = 30 };

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
    bool is_local; /* listens on a loopback address only */
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

bytes endpoint_body(const endpoint_request *request)
{
    struct evbuffer *buffer = request->http ? evhttp_request_get_input_buffer(request->http) : NULL;
    size_t length = buffer ? evbuffer_get_length(buffer) : 0;
    return (bytes){length ? (const char *)evbuffer_pullup(buffer, -1) : "", length};
}

const char *endpoint_header(const endpoint_request *request, const char *name)
{
    return request->http ? evhttp_find_header(evhttp_request_get_input_headers(request->http), name) : NULL;
}

static void reply(struct evhttp_request *http, int status, const char *content_type, bytes body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
    struct evbuffer *buffer = evhttp_request_get_output_buffer(http);
    evhttp_add_header(headers, "Content-Type", content_type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (status == 401)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
    evbuffer_add(buffer, body.data, body.length);
    evhttp_send_reply(http, status, NULL, NULL);
}

void endpoint_reply(endpoint_request *request, int status, const char *content_type, bytes body)
{
    if (request->http) {
        struct evhttp_connection *connection = evhttp_request_get_connection(request->http);
        if (connection)
            evhttp_connection_set_closecb(connection, NULL, NULL);
        reply(request->http, status, content_type, body);
    }
    request_free(request);
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

/* The name by which we were asked is one of this machine; else a page in a browser asks by a name of its own. */
static bool is_asked_as_local(const endpoint_request *request)
{
    const char *host = evhttp_request_get_host(request->http);
    return host && (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0 ||
                    strcmp(host, "::1") == 0);
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

static const char *method_name(enum evhttp_cmd_type method)
{
    switch (method) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "?";
    }
}

static void asked(struct evhttp_request *http, void *arg)
{
    endpoint *e = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    const char *method = method_name(evhttp_request_get_command(http));
    const endpoint_route *route = NULL;
    bool is_known = false;
    endpoint_request *request = mem_calloc(1, sizeof *request);
    if (!request) {
        evhttp_send_error(http, 503, NULL);
        return;
    }
    *request = (endpoint_request){.owner = e, .http = http};
    DL_APPEND(e->requests, request);
    evhttp_connection_set_closecb(evhttp_request_get_connection(http), client_gone, request);
    for (const endpoint_route *row = e->options.routes; row->path && !route; row++) {
        bool is_path = path && strcmp(path, row->path) == 0;
        is_known |= is_path;
        if (is_path && strcmp(method, row->method) == 0)
            route = row;
    }
    if (route && is_admitted(request, route->access))
        route->handle(request, e->options.arg);
    else if (!route)
        endpoint_reply_error(request, is_known ? 405 : 404,
                             is_known ? "this path does not take this method" : "there is nothing at %s",
                             path ? path : "/");
}

/* ---- listening ---- */

bool endpoint_read_address(const char *listen, char *host, int *port)
{
    const char *colon = strrchr(listen, ':');
    int64_t number;
    if (!colon || !text_read_number(colon + 1, &number) || number > 65535)
        return false;
    size_t length = (size_t)(colon - listen);
    bool is_v6 = length > 2 && listen[0] == '[' && listen[length - 1] == ']';
    if (!length || length > 250 || (!is_v6 && memchr(listen, ':', length)))
        return false;
    snprintf(host, 256, "%.*s", (int)(is_v6 ? length - 2 : length), is_v6 ? listen + 1 : listen);
    *port = (int)number;
    return true;
}

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six));
}

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

static int fail_tls(const char *path, asynq_error *error)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return error_set(error, ASYNQ_E_INVALID, "%s: %s", path, text);
}

static int prepare_tls(endpoint *e, asynq_error *error)
{
    const endpoint_options *options = &e->options;
    if (!options->cert_file)
        return ASYNQ_OK;
    e->tls = SSL_CTX_new(TLS_server_method());
    if (!e->tls)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    SSL_CTX_set_min_proto_version(e->tls, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(e->tls, options->cert_file) != 1)
        return fail_tls(options->cert_file, error);
    if (SSL_CTX_use_PrivateKey_file(e->tls, options->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(e->tls) != 1)
        return fail_tls(options->key_file, error);
    return ASYNQ_OK;
}

static struct bufferevent *make_connection(struct event_base *base, void *arg)
{
    endpoint *e = arg;
    SSL *tls = e->tls ? SSL_new(e->tls) : NULL;
    if (!e->tls)
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct bufferevent *made =
        tls ? bufferevent_openssl_socket_new(base, -1, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (made)
        bufferevent_openssl_set_allow_dirty_shutdown(made, 1);
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

endpoint *endpoint_start(const endpoint_options *options, asynq_error *error)
{
    endpoint *e = mem_calloc(1, sizeof *e);
    if (!e || !(e->http = evhttp_new(loop_base(options->loop)))) {
        mem_free(e);
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    }
    e->options = *options;
    evhttp_set_max_headers_size(e->http, MOST_HEADERS);
    evhttp_set_max_body_size(e->http, (ev_ssize_t)options->most_body);
    evhttp_set_timeout(e->http, MOST_IDLE_S);
    evhttp_set_allowed_methods(e->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE);
    evhttp_set_gencb(e->http, asked, e);
    evhttp_set_bevcb(e->http, make_connection, e);
    int status = prepare_tls(e, error);
    if (!status)
        status = listen_at(e, error);
    if (!status)
        return e;
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
    evhttp_free(e->http);
    SSL_CTX_free(e->tls);
    mem_free(e);
}
