/* See uri.h. */
#include "redis/uri.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { REDIS_DEFAULT_PORT = 6379 };

typedef struct uri_scheme {
    const char *name;
    bool tls;
    bool is_socket;
} uri_scheme;

static const uri_scheme uri_schemes[] = {
    {"redis", false, false},
    {"rediss", true, false},
    {"unix", false, true},
    {"redis-socket", false, true},
};

static int hex_value(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* A copy of [from, to) with %XX decoded. NULL: out of memory or a bad escape (then *bad is set). */
static char *decode_part(const char *from, const char *to, bool *bad)
{
    char *out = mem_alloc((size_t)(to - from) + 1);
    if (!out)
        return NULL;
    char *end = out;
    for (const char *at = from; at < to; at++) {
        if (*at != '%') {
            *end++ = *at;
            continue;
        }
        int high = to - at > 2 ? hex_value(at[1]) : -1;
        int low = high >= 0 ? hex_value(at[2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            *bad = true;
            mem_free(out);
            return NULL;
        }
        *end++ = (char)(high * 16 + low);
        at += 2;
    }
    *end = '\0';
    return out;
}

static int set_part(char **part, const char *from, const char *to, const char *what, asynq_error *error)
{
    bool bad = false;
    mem_free(*part);
    *part = decode_part(from, to, &bad);
    if (*part)
        return ASYNQ_OK;
    if (bad)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: bad %%-escape in the %s", what);
    return error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* What is no number may be a password at a wrong place, as in "redis://user:password": it is not shown. */
static bool is_number(bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!isdigit((unsigned char)text.data[i]))
            return false;
    return text.length > 0;
}

static int refuse_number(const redis_uri *uri, bytes found, long max, const char *what, asynq_error *error)
{
    if (!uri->has_secret && !is_number(found))
        return error_set(error, ASYNQ_E_INVALID,
                         "Redis URI: the %s is not a number from 0 to %ld; a password stands before the host, as in "
                         "redis://:password@host:6379",
                         what, max);
    if (uri->has_secret)
        return error_set(error, ASYNQ_E_INVALID,
                         "Redis URI: the %s is not a number from 0 to %ld; in a password write / as %%2F, ? as %%3F, # "
                         "as %%23 and @ as %%40",
                         what, max);
    return error_set(error, ASYNQ_E_INVALID, "Redis URI: %s \"%.*s\" is not a number from 0 to %ld", what,
                     BYTES_ARGS(found), max);
}

static int parse_number(const redis_uri *uri, const char *from, const char *to, long max, const char *what, int *number,
                        asynq_error *error)
{
    char digits[16] = "";
    size_t length = (size_t)(to - from);
    bool fits = length > 0 && length < sizeof digits;
    if (fits)
        memcpy(digits, from, length);
    for (size_t i = 0; fits && i < length; i++)
        fits = isdigit((unsigned char)digits[i]);
    long value = fits ? strtol(digits, NULL, 10) : -1;
    if (value < 0 || value > max)
        return refuse_number(uri, (bytes){from, length}, max, what, error);
    *number = (int)value;
    return ASYNQ_OK;
}

static int parse_user(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));
    int status = ASYNQ_OK;
    if (colon && colon > from)
        status = set_part(&uri->user, from, colon, "user name", error);
    if (!status && colon)
        status = set_part(&uri->password, colon + 1, to, "password", error);
    if (!status && !colon)
        status = error_set(error, ASYNQ_E_INVALID,
                           "Redis URI: the part before \"@\" has no \":\"; write :password@ or user:password@");
    return status;
}

static int parse_host(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    const char *port = NULL;
    const char *host_end = to;
    if (from < to && *from == '[') { /* an IPv6 address */
        host_end = memchr(from, ']', (size_t)(to - from));
        if (!host_end)
            return error_set(error, ASYNQ_E_INVALID, "Redis URI: \"[\" without \"]\" in the host");
        if (host_end + 1 < to && host_end[1] != ':')
            return error_set(error, ASYNQ_E_INVALID, "Redis URI: behind \"]\" comes \":\" and the port, or nothing");
        if (host_end + 1 < to)
            port = host_end + 2;
        from++;
    } else {
        const char *colon = memchr(from, ':', (size_t)(to - from));
        if (colon) {
            host_end = colon;
            port = colon + 1;
        }
    }
    if (from == host_end)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: the host is missing, as in redis://127.0.0.1:6379");
    uri->port = REDIS_DEFAULT_PORT;
    int status = set_part(&uri->host, from, host_end, "host", error);
    if (!status && uri->host[strcspn(uri->host, " \t\r\n\"<>\\^`{|}@/?#")])
        status = error_set(error, ASYNQ_E_INVALID,
                           "Redis URI: there is a space, or another sign that no host has, in the host");
    if (!status && port)
        status = parse_number(uri, port, to, 65535, "port", &uri->port, error);
    return status;
}

static int parse_database_path(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    const char *slash = memchr(from, '/', (size_t)(to - from)); /* further segments are ignored, as in Go */
    if (slash)
        to = slash;
    return from == to ? ASYNQ_OK : parse_number(uri, from, to, INT_MAX, "database", &uri->database, error);
}

static int parse_verify(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    bytes value = {from, (size_t)(to - from)};
    uri->tls_insecure = bytes_equal(value, bytes_of("off"));
    if (uri->tls_insecure || bytes_equal(value, bytes_of("on")))
        return ASYNQ_OK;
    return error_set(error, ASYNQ_E_INVALID, "Redis URI: verify is neither \"on\" nor \"off\"");
}

static int refuse_parameter(const redis_uri *uri, bytes name, asynq_error *error)
{
    static const char known[] = "known are db, ca_file, cert_file, key_file, server_name, verify";
    if (uri->has_secret)
        return error_set(error, ASYNQ_E_INVALID,
                         "Redis URI: unknown parameter behind \"?\"; %s; in a password write ? as %%3F", known);
    return error_set(error, ASYNQ_E_INVALID, "Redis URI: unknown parameter \"%.*s\"; %s", BYTES_ARGS(name), known);
}

static int parse_parameter(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    const struct {
        const char *name;
        char **part;
    } texts[] = {
        {"ca_file", &uri->tls_ca_file},
        {"cert_file", &uri->tls_cert_file},
        {"key_file", &uri->tls_key_file},
        {"server_name", &uri->tls_server_name},
    };
    const char *equals = memchr(from, '=', (size_t)(to - from));
    size_t name_length = (size_t)((equals ? equals : to) - from);
    const char *value = equals ? equals + 1 : to;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].name) == name_length && memcmp(texts[i].name, from, name_length) == 0)
            return set_part(texts[i].part, value, to, texts[i].name, error);
    if (name_length == 2 && memcmp(from, "db", 2) == 0)
        return parse_number(uri, value, to, INT_MAX, "database", &uri->database, error);
    if (name_length == 6 && memcmp(from, "verify", 6) == 0)
        return parse_verify(uri, value, to, error);
    return refuse_parameter(uri, (bytes){from, name_length}, error);
}

static int parse_query(redis_uri *uri, const char *from, asynq_error *error)
{
    int status = ASYNQ_OK;
    while (!status && *from) {
        const char *end = from + strcspn(from, "&");
        if (end > from)
            status = parse_parameter(uri, from, end, error);
        from = *end ? end + 1 : end;
    }
    return status;
}

static int parse_socket(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    if (from == to || *from != '/')
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: a socket needs an absolute path, as in unix:///run/redis");
    int status = set_part(&uri->path, from, to, "path", error);
    if (!status && strlen(uri->path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: a socket path may have at most %zu bytes",
                         sizeof((struct sockaddr_un *)0)->sun_path - 1);
    return status;
}

static const uri_scheme *find_scheme(const char *text, const char *end)
{
    for (size_t i = 0; i < sizeof uri_schemes / sizeof *uri_schemes; i++)
        if (strlen(uri_schemes[i].name) == (size_t)(end - text) &&
            memcmp(uri_schemes[i].name, text, (size_t)(end - text)) == 0)
            return &uri_schemes[i];
    return NULL;
}

static int parse_behind_scheme(redis_uri *uri, const uri_scheme *scheme, const char *from, asynq_error *error)
{
    const char *query = strchr(from, '?');
    const char *end = query ? query : from + strlen(from);
    const char *user_end = memchr(from, '@', (size_t)(end - from));
    int status = ASYNQ_OK;
    for (const char *at = user_end; at && at < end; at = memchr(at + 1, '@', (size_t)(end - at - 1)))
        user_end = at; /* the last one: an unescaped "@" in a password is tolerated */
    if (user_end) {
        status = parse_user(uri, from, user_end, error);
        from = user_end + 1;
    }
    if (!status && scheme->is_socket) {
        status = parse_socket(uri, from, end, error);
    } else if (!status) {
        const char *slash = memchr(from, '/', (size_t)(end - from));
        status = parse_host(uri, from, slash ? slash : end, error);
        if (!status && slash)
            status = parse_database_path(uri, slash + 1, end, error);
    }
    if (!status && query)
        status = parse_query(uri, query + 1, error);
    return status;
}

/* What stands there may be more than a scheme, as in "user:password@redis://host". */
static int refuse_scheme(bytes found, asynq_error *error)
{
    static const char use[] = "use redis, rediss, unix or redis-socket";
    for (size_t i = 0; i < found.length; i++)
        if (!isalpha((unsigned char)found.data[i]) && !strchr("+-.", found.data[i]))
            return error_set(error, ASYNQ_E_INVALID, "unsupported uri scheme: %s", use);
    return error_set(error, ASYNQ_E_INVALID, "unsupported uri scheme: \"%.*s\"; %s", BYTES_ARGS(found), use);
}

static bool has_tls_part(const redis_uri *uri)
{
    return uri->tls_ca_file || uri->tls_cert_file || uri->tls_key_file || uri->tls_server_name || uri->tls_insecure;
}

int redis_uri_parse(redis_uri *uri, const char *text, asynq_error *error)
{
    *uri = (redis_uri){0};
    if (!text || !*text)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI is missing; write for example redis://127.0.0.1:6379");
    const char *colon = strstr(text, "://");
    const uri_scheme *scheme = colon ? find_scheme(text, colon) : NULL;
    if (!colon)
        return error_set(error, ASYNQ_E_INVALID,
                         "Redis URI has no scheme; write for example redis://127.0.0.1:6379 or unix:///run/redis.sock");
    if (!scheme)
        return refuse_scheme((bytes){text, (size_t)(colon - text)}, error);
    uri->tls = scheme->tls;
    uri->has_secret = strchr(colon, '@') || strstr(colon, "%40");
    int status = parse_behind_scheme(uri, scheme, colon + 3, error);
    if (!status && !uri->tls_cert_file != !uri->tls_key_file)
        status = error_set(error, ASYNQ_E_INVALID, "Redis URI: cert_file and key_file go together");
    if (!status && !uri->tls && has_tls_part(uri))
        status = error_set(error, ASYNQ_E_INVALID,
                           "Redis URI: ca_file, cert_file, key_file, server_name and verify=off are for TLS; write "
                           "rediss:// instead of %.*s://",
                           (int)(colon - text), text);
    if (status)
        redis_uri_clear(uri);
    return status;
}

void redis_uri_clear(redis_uri *uri)
{
    char *parts[] = {uri->host,        uri->path,          uri->user,         uri->password,
                     uri->tls_ca_file, uri->tls_cert_file, uri->tls_key_file, uri->tls_server_name};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        mem_free(parts[i]);
    *uri = (redis_uri){0};
}

void redis_uri_describe(const redis_uri *uri, char *text, size_t size)
{
    if (uri->path)
        snprintf(text, size, "%s", uri->path);
    else
        snprintf(text, size, "%s:%d/%d", uri->host, uri->port, uri->database);
}
