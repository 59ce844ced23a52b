/* The request for a task; see http.h. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "handler/route.h"
#include "handler/shortage.h"
#include "http/http.h"

#include <asynq/version.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LEFT_OUT_MAX = 65536, /* bytes of an answer beyond the result that are read all the same */
    CA_KNOWN_S = 3600
};

/* ---- where it goes ---- */

/* The host of a URL without the brackets of IPv6, and its port. False: it is no URL. */
bool http_read_host(const char *text, char *host, size_t size, char *port, size_t port_size)
{
    CURLU *url = curl_url();
    char *found = NULL, *found_port = NULL;
    bool is_read = url && !curl_url_set(url, CURLUPART_URL, text, 0) && !curl_url_get(url, CURLUPART_HOST, &found, 0) &&
                   !curl_url_get(url, CURLUPART_PORT, &found_port, CURLU_DEFAULT_PORT);
    if (is_read) {
        size_t length = strlen(found);
        bool is_v6 = *found == '[' && length > 2;
        snprintf(host, size, "%.*s", (int)(is_v6 ? length - 2 : length), is_v6 ? found + 1 : found);
        snprintf(port, port_size, "%s", found_port);
    }
    curl_free(found);
    curl_free(found_port);
    curl_url_cleanup(url);
    return is_read;
}

/* Asks for the URL that is current: redirects change it. */
static bool is_allowed(http_exchange *exchange, const struct sockaddr *address)
{
    const http_options *options = exchange->options;
    const char *url = NULL;
    char host[256], port[8];
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_EFFECTIVE_URL, &url);
    buf_clear(&exchange->refusal);
    exchange->refusal.failed = false;
    if (!url || !http_read_host(url, host, sizeof host, port, sizeof port)) {
        buf_append_text(&exchange->refusal, "the URL has no host");
        return false;
    }
    bool is_written = options->written_host && strcasecmp(options->written_host, host) == 0;
    return target_is_allowed(&options->target, host, address, is_written, &exchange->refusal);
}

/* Before each name that libcurl does not remember; it calls so also for addresses, which need no look-up. */
static int http_request_begin_lookup(void *resolver, void *reserved, void *arg)
{
    (void)resolver, (void)reserved;
    http_exchange *exchange = arg;
    const char *url = NULL;
    char host[256], port[8];
    struct sockaddr_storage address;
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_EFFECTIVE_URL, &url);
    bool is_number = url && http_read_host(url, host, sizeof host, port, sizeof port) &&
                     target_read_address(host, &address) && !exchange->options->proxy;
    exchange->is_crowded = !is_number && !http_transfer_may_look_up(&exchange->transfer);
    return exchange->is_crowded;
}

/* Before each new connection. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    http_exchange *exchange = arg;
    (void)purpose;
    http_transfer_found_name(&exchange->transfer);
    if (!exchange->options->proxy && !is_allowed(exchange, &address->addr))
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (shortage_may_keep(fd, false))
        return fd;
    if (shortage_is_one(errno))
        exchange->lack = errno;
    if (fd >= 0)
        close(fd);
    return CURL_SOCKET_BAD;
}

/*
 * If a connection that was used before is closed without an answer, libcurl sends the request on another one, and
 * again. The target may have seen it each time; so we do not: an attempt is one request, and what is tried again is
 * seen.
 */
static bool is_sent_again(http_exchange *exchange)
{
    long redirects = 0;
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_REDIRECT_COUNT, &redirects);
    exchange->is_again = exchange->sent > redirects;
    exchange->sent = redirects + 1;
    return exchange->is_again;
}

/* What would go along, and is meant for the host of the route alone. */
static const char *own_of_origin(const http_options *options)
{
    return options->signature.key   ? "signature"
           : options->headers.count ? "headers"
           : options->tls.cert_file ? "tls.cert_file"
                                    : NULL;
}

/* A redirect to another host, port or scheme is a request to somebody else. */
static bool leaves_origin(http_exchange *exchange)
{
    const char *url = NULL, *own = own_of_origin(exchange->options);
    char host[256], port[8], place[300];
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_EFFECTIVE_URL, &url);
    if (!own || exchange->sent < 2 || !url || !http_read_host(url, host, sizeof host, port, sizeof port))
        return false;
    snprintf(place, sizeof place, "%s:%s", host, port);
    bool is_same_scheme = strncasecmp(url, exchange->url.data, strcspn(url, ":") + 1) == 0;
    if (is_same_scheme && strcasecmp(place, exchange->host) == 0)
        return false;
    buf_clear(&exchange->refusal);
    exchange->refusal.failed = false;
    buf_append_format(&exchange->refusal, "a redirect to %s is not followed, as `%s` of the route is for %s", place,
                      own, exchange->host);
    return true;
}

/* Before each request, also on a connection that was made for another one, whose rules may differ. */
static int before_request(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    (void)own_ip, (void)port, (void)own_port;
    http_exchange *exchange = arg;
    http_transfer_found_name(&exchange->transfer);
    http_transfer_connected(&exchange->transfer);
    if (is_sent_again(exchange) || leaves_origin(exchange))
        return CURL_PREREQFUNC_ABORT;
    struct sockaddr_storage address;
    bool is_known = !exchange->options->proxy && target_read_address(ip, &address);
    return is_allowed(exchange, is_known ? (struct sockaddr *)&address : NULL) ? CURL_PREREQFUNC_OK
                                                                               : CURL_PREREQFUNC_ABORT;
}

/* ---- what comes back ---- */

static size_t http_request_take_answer(char *data, size_t size, size_t count, void *arg)
{
    http_exchange *exchange = arg;
    size_t length = size * count, room = (size_t)exchange->options->max_result - exchange->result.length;
    buf_append(&exchange->result, data, length < room ? length : room);
    exchange->is_cut |= length > room;
    exchange->left_out += length > room ? length - room : 0;
    /* A little more is read, so that the connection can be used again; a large answer is not. */
    return exchange->left_out > LEFT_OUT_MAX || buf_failed(&exchange->result) ? CURL_WRITEFUNC_ERROR : length;
}

/* ---- headers ---- */

/* A value of NULL keeps libcurl from adding one of its own. */
static void add_header(http_exchange *exchange, const char *name, const char *value)
{
    buf line;
    buf_init(&line, 0);
    buf_append_text(&line, name);
    if (value && *value)
        buf_append_format(&line, ": %s", value);
    else
        buf_append_text(&line, value ? ";" : ":"); /* ';': libcurl's form of an empty header */
    struct curl_slist *longer = line.data ? curl_slist_append(exchange->headers, line.data) : NULL;
    if (longer)
        exchange->headers = longer;
    buf_clear(&line);
}

/* Of what the task says itself, what could break a header is left out. */
static void add_task_header(http_exchange *exchange, const char *name, const char *value)
{
    if (value && !text_has_control(value))
        add_header(exchange, name, value);
}

static int add_configured(http_exchange *exchange, asynq_error *error)
{
    const http_options *options = exchange->options;
    for (size_t i = 0; i < options->headers.count; i++) {
        buf value;
        buf_init(&value, 0);
        int status = template_fill(options->header_list[i].value, &exchange->call->values, &value, error);
        if (!status && value.data && strlen(value.data) != value.length)
            status = error_set(error, ASYNQ_E_INVALID, "header %s would have a NUL byte", options->header_list[i].name);
        if (!status)
            add_header(exchange, options->header_list[i].name, value.data ? value.data : "");
        buf_clear(&value);
        if (status)
            return status;
    }
    return ASYNQ_OK;
}

static bool is_configured(const http_options *options, const char *name)
{
    for (size_t i = 0; i < options->headers.count; i++)
        if (strcasecmp(options->headers.items[i].name, name) == 0)
            return true;
    return false;
}

static void add_signature(http_exchange *exchange)
{
    const char *key = exchange->options->signature.key;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    buf signed_text, value;
    buf_init(&signed_text, 0);
    buf_init(&value, 0);
    int64_t now_s = clock_now_ns() / NS_PER_SECOND;
    buf_append_format(&signed_text, "%" PRId64 ".", now_s);
    buf_append(&signed_text, exchange->body.data, exchange->body.length);
    if (signed_text.data && HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)signed_text.data,
                                 signed_text.length, digest, &length)) {
        buf_append_format(&value, "t=%" PRId64 ",v1=", now_s);
        for (unsigned i = 0; i < length; i++)
            buf_append_format(&value, "%02x", digest[i]);
        add_header(exchange, exchange->options->signature.header, value.data);
    }
    buf_clear(&signed_text);
    buf_clear(&value);
}

static int add_headers(http_exchange *exchange, asynq_error *error)
{
    const http_options *options = exchange->options;
    const asynq_job *job = exchange->call->job;
    char retried[16];
    snprintf(retried, sizeof retried, "%d", asynq_job_retry_count(job));
    add_header(exchange, "Expect", NULL); /* no question before a large body: it costs a round trip, or a second */
    if (!is_configured(options, "Content-Type"))
        add_header(exchange, "Content-Type", options->has_body ? options->content_type : NULL);
    if (!is_configured(options, "User-Agent"))
        add_header(exchange, "User-Agent", "asynqd/" ASYNQ_VERSION);
    if (options->sends_task) {
        add_task_header(exchange, "Idempotency-Key", asynq_job_id(job));
        add_task_header(exchange, "Asynq-Task-Type", asynq_job_type(job));
        add_task_header(exchange, "Asynq-Queue", asynq_job_queue(job));
        add_task_header(exchange, "Asynq-Retried", retried);
    }
    add_task_header(exchange, "traceparent", asynq_job_header(job, "traceparent"));
    add_task_header(exchange, "tracestate", asynq_job_header(job, "tracestate"));
    int status = add_configured(exchange, error);
    if (!status && options->signature.key)
        add_signature(exchange);
    return status;
}

/* ---- the whole ---- */

/* Without what could be a secret: who it is for, and what is behind the path. Returns `shown`. */
static const char *http_show_url(const char *url, char *shown, size_t size)
{
    size_t length = strcspn(url, "?#"), start = 0;
    for (size_t i = 0; i < length; i++)
        if (url[i] == '@')
            start = i + 1;
    snprintf(shown, size, "%s%.*s%s", start ? "...@" : "", (int)(length - start < size ? length - start : size),
             url + start, url[length] ? "..." : "");
    return shown;
}

static int make_url(http_exchange *exchange, asynq_error *error)
{
    char host[256], port[8], shown[200];
    int status = template_fill(exchange->options->url_template, &exchange->call->values, &exchange->url, error);
    if (status)
        return status;
    const char *url = exchange->url.data ? exchange->url.data : "";
    bool is_http = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    if (!is_http || strlen(url) != exchange->url.length || text_has_control(url) || strchr(url, ' ') ||
        !http_read_host(url, host, sizeof host, port, sizeof port))
        return error_set(error, ASYNQ_E_INVALID, "\"%s\" is no URL of HTTP", http_show_url(url, shown, sizeof shown));
    snprintf(exchange->host, sizeof exchange->host, "%s:%s", host, port);
    return ASYNQ_OK;
}

static int make_body(http_exchange *exchange, asynq_error *error)
{
    const http_options *options = exchange->options;
    int status = ASYNQ_OK;
    if (!options->has_body)
        return ASYNQ_OK;
    if (options->body_template) {
        status = template_fill(options->body_template, &exchange->call->values, &exchange->filled, error);
        exchange->body = (bytes){exchange->filled.data, exchange->filled.length};
    } else {
        exchange->body.data = asynq_job_payload(exchange->call->job, &exchange->body.length);
    }
    return status;
}

static void set_method(CURL *easy, const http_options *options, bytes body)
{
    bool is_post = strcmp(options->method, "POST") == 0;
    if (options->has_body || is_post) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data ? body.data : "");
    }
    if (strcmp(options->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (!is_post && (options->has_body || strcmp(options->method, "GET") != 0))
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method);
}

/* As libcurl does it, which then reads a file on the loop. */
static void set_authorities(CURL *easy, const http_options *options)
{
    const char *system_file = NULL;
    if (options->tls.ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->tls.ca_file);
    /* A folder beside the file would be trusted as well, and libcurl would read the file for each connection. */
    curl_easy_getinfo(easy, CURLINFO_CAINFO, &system_file);
    if (options->tls.ca_file || system_file)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* The system's are many, and need 30 ms; one's own may be renewed at any time. */
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, options->tls.ca_file ? 0L : (long)CA_KNOWN_S);
#endif
}

static void set_tls(http_client *client, CURL *easy, const http_options *options)
{
    if (!options->tls.verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!options->tls.verify || options->tls.ca_file || !http_client_trust_system(client, easy))
        set_authorities(easy, options);
    if (options->tls.cert_file) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->tls.cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->tls.key_file);
    }
}

void http_request_limit(http_exchange *exchange)
{
    CURL *easy = exchange->transfer.easy;
    const http_options *options = exchange->options;
    int64_t left_ms = handler_time_left_ms(exchange->call);
    exchange->limit_ms = options->timeout_ms < left_ms ? options->timeout_ms : left_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)exchange->limit_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
}

static void set_course(CURL *easy, const http_options *options)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else the loop waits for a name server that does not answer */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, options->redirects ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)options->redirects);
    curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL); /* a body is not dropped in silence */
    curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy ? options->proxy : "");
}

/* Only where it may be HTTP/2 is there anything to be shared. */
static void set_version(http_exchange *exchange)
{
    static const long versions[] = {CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE};
    long version = versions[exchange->options->version];
    bool has_tls = strncasecmp(exchange->url.data, "https:", 6) == 0;
    exchange->transfer.may_share =
        version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE || (version == CURL_HTTP_VERSION_2TLS && has_tls);
    curl_easy_setopt(exchange->transfer.easy, CURLOPT_HTTP_VERSION, version);
}

int http_request_make(http_exchange *exchange, asynq_error *error)
{
    CURL *easy = exchange->transfer.easy;
    int status = make_url(exchange, error);
    if (!status)
        status = make_body(exchange, error);
    if (!status)
        status = add_headers(exchange, error);
    if (status)
        return status;
    curl_easy_setopt(easy, CURLOPT_URL, exchange->url.data);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->problem);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_request_take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, http_request_begin_lookup);
    curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, exchange);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    set_method(easy, exchange->options, exchange->body);
    set_tls(exchange->client, easy, exchange->options);
    set_course(easy, exchange->options);
    set_version(exchange);
    return ASYNQ_OK;
}
