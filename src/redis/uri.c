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

enum { REDIS_DEFAULT_PORT = 6379, SENTINEL_DEFAULT_PORT = 26379 };

typedef struct uri_scheme {
    const char *name;
    bool tls;
    enum { URI_HOST, URI_SOCKET, URI_SENTINELS, URI_CLUSTER } kind;
} uri_scheme;

static const uri_scheme uri_schemes[] = {
    {"redis", false, URI_HOST},
    {"rediss", true, URI_HOST},
    {"unix", false, URI_SOCKET},
    {"redis-socket", false, URI_SOCKET},
    {"redis-sentinel", false, URI_SENTINELS},
    {"redis-cluster", false, URI_CLUSTER},
    {"rediss-cluster", true, URI_CLUSTER},
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
static bool uri_is_number(bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!isdigit((unsigned char)text.data[i]))
            return false;
    return text.length > 0;
}

static int refuse_number(const redis_uri *uri, bytes found, long max, const char *what, asynq_error *error)
{
    if (!uri->has_secret && !uri_is_number(found))
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

/* One host with its port, if it has one. */
static int parse_place(const redis_uri *uri, const char *from, const char *to, redis_place *place, asynq_error *error)
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
    int status = set_part(&place->host, from, host_end, "host", error);
    if (!status && place->host[strcspn(place->host, " \t\r\n\"<>\\^`{|}@/?#,")])
        status = error_set(error, ASYNQ_E_INVALID,
                           "Redis URI: there is a space, or another sign that no host has, in the host");
    if (!status && port)
        status = parse_number(uri, port, to, 65535, "port", &place->port, error);
    return status;
}

static int parse_host(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    redis_place place = {.port = REDIS_DEFAULT_PORT};
    int status = parse_place(uri, from, to, &place, error);
    uri->host = place.host;
    uri->port = place.port;
    return status;
}

/* Hosts with commas between them. */
static int parse_places(const redis_uri *uri, const char *from, const char *to, int default_port, redis_places *places,
                        asynq_error *error)
{
    int status = ASYNQ_OK;
    for (const char *end = from; !status && end < to; from = end + 1) {
        end = memchr(from, ',', (size_t)(to - from));
        end = end ? end : to;
        if (places->count == REDIS_MAX_PLACES)
            return error_set(error, ASYNQ_E_INVALID, "Redis URI: there are more than %d hosts", REDIS_MAX_PLACES);
        redis_place *place = &places->at[places->count++];
        place->port = default_port;
        status = parse_place(uri, from, end, place, error);
    }
    return status;
}

static int parse_sentinels(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    redis_places *places = &uri->sentinels.places;
    int status = parse_places(uri, from, to, SENTINEL_DEFAULT_PORT, places, error);
    return status || places->count ? status
                                   : error_set(error, ASYNQ_E_INVALID,
                                               "Redis URI: the sentinels are missing, as in "
                                               "redis-sentinel://10.0.0.1,10.0.0.2,10.0.0.3/0?master=mymaster");
}

static int parse_seeds(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    int status = parse_places(uri, from, to, REDIS_DEFAULT_PORT, &uri->seeds, error);
    return status || uri->seeds.count ? status
                                      : error_set(error, ASYNQ_E_INVALID,
                                                  "Redis URI: the nodes are missing, as in "
                                                  "redis-cluster://10.0.0.1:7000,10.0.0.2:7000");
}

/* What stands before the hosts is the sentinels'. */
static void give_user_to_sentinels(redis_uri *uri)
{
    uri->sentinels.user = uri->user;
    uri->sentinels.password = uri->password;
    uri->user = uri->password = NULL;
}

static int parse_database_path(redis_uri *uri, const char *from, const char *to, asynq_error *error)
{
    const char *slash = memchr(from, '/', (size_t)(to - from)); /* further segments are ignored, as in Go */
    if (slash)
        to = slash;
    return from == to ? ASYNQ_OK : parse_number(uri, from, to, INT_MAX, "database", &uri->database, error);
}

static int parse_switch(bytes value, const char *name, bool *is_on, asynq_error *error)
{
    *is_on = bytes_equal(value, bytes_of("on"));
    if (*is_on || bytes_equal(value, bytes_of("off")))
        return ASYNQ_OK;
    return error_set(error, ASYNQ_E_INVALID, "Redis URI: %s is neither \"on\" nor \"off\"", name);
}

static int parse_verify(redis_uri *uri, bytes value, asynq_error *error)
{
    bool is_on;
    int status = parse_switch(value, "verify", &is_on, error);
    uri->tls_insecure = !status && !is_on;
    return status;
}

static int refuse_parameter(const redis_uri *uri, bytes name, asynq_error *error)
{
    const char *known = uri->sentinels.places.count
                            ? "known are master, username, password, tls, sentinel_tls, db, ca_file, "
                              "cert_file, key_file, server_name, verify"
                            : "known are db, ca_file, cert_file, key_file, server_name, verify";
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
        bool *is_on;
        bool is_of_sentinel;
    } known[] = {
        {"ca_file", &uri->tls_ca_file, NULL, false},       {"cert_file", &uri->tls_cert_file, NULL, false},
        {"key_file", &uri->tls_key_file, NULL, false},     {"server_name", &uri->tls_server_name, NULL, false},
        {"master", &uri->sentinels.master, NULL, true},    {"username", &uri->user, NULL, true},
        {"password", &uri->password, NULL, true},          {"tls", NULL, &uri->tls, true},
        {"sentinel_tls", NULL, &uri->sentinels.tls, true},
    };
    const char *equals = memchr(from, '=', (size_t)(to - from));
    const bytes name = {from, (size_t)((equals ? equals : to) - from)};
    const char *from_value = equals ? equals + 1 : to;
    const bytes value = {from_value, (size_t)(to - from_value)};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!bytes_equal(name, bytes_of(known[i].name)) || (known[i].is_of_sentinel && !uri->sentinels.places.count))
            continue;
        return known[i].part ? set_part(known[i].part, from_value, to, known[i].name, error)
                             : parse_switch(value, known[i].name, known[i].is_on, error);
    }
    if (bytes_equal(name, bytes_of("db")))
        return parse_number(uri, from_value, to, INT_MAX, "database", &uri->database, error);
    if (bytes_equal(name, bytes_of("verify")))
        return parse_verify(uri, value, error);
    return refuse_parameter(uri, name, error);
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
    static int (*const parse_hosts[])(redis_uri *, const char *, const char *, asynq_error *) = {
        [URI_HOST] = parse_host, [URI_SENTINELS] = parse_sentinels, [URI_CLUSTER] = parse_seeds};
    if (scheme->kind == URI_SENTINELS)
        give_user_to_sentinels(uri);
    if (!status && scheme->kind == URI_SOCKET) {
        status = parse_socket(uri, from, end, error);
    } else if (!status) {
        const char *slash = memchr(from, '/', (size_t)(end - from));
        status = parse_hosts[scheme->kind](uri, from, slash ? slash : end, error);
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
    static const char use[] = "use redis, rediss, unix, redis-socket, redis-sentinel, redis-cluster or "
                              "rediss-cluster";
    for (size_t i = 0; i < found.length; i++)
        if (!isalpha((unsigned char)found.data[i]) && !strchr("+-.", found.data[i]))
            return error_set(error, ASYNQ_E_INVALID, "unsupported uri scheme: %s", use);
    return error_set(error, ASYNQ_E_INVALID, "unsupported uri scheme: \"%.*s\"; %s", BYTES_ARGS(found), use);
}

static bool has_tls_part(const redis_uri *uri)
{
    return uri->tls_ca_file || uri->tls_cert_file || uri->tls_key_file || uri->tls_server_name || uri->tls_insecure;
}

static int check_tls_parts(const redis_uri *uri, bytes scheme, asynq_error *error)
{
    if (!uri->tls_cert_file != !uri->tls_key_file)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: cert_file and key_file go together");
    if (uri->tls || uri->sentinels.tls || !has_tls_part(uri))
        return ASYNQ_OK;
    static const char parts[] = "ca_file, cert_file, key_file, server_name and verify=off are for TLS";
    if (uri->sentinels.places.count)
        return error_set(error, ASYNQ_E_INVALID, "Redis URI: %s; add tls=on, sentinel_tls=on or both", parts);
    return error_set(error, ASYNQ_E_INVALID, "Redis URI: %s; write %s:// instead of %.*s://", parts,
                     uri->seeds.count ? "rediss-cluster" : "rediss", BYTES_ARGS(scheme));
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
    uri->has_secret = strchr(colon, '@') || strstr(colon, "%40") || strstr(colon, "password");
    int status = parse_behind_scheme(uri, scheme, colon + 3, error);
    if (!status)
        status = check_tls_parts(uri, (bytes){text, (size_t)(colon - text)}, error);
    if (!status && uri->seeds.count && uri->database)
        status = error_set(error, ASYNQ_E_INVALID, "Redis URI: a cluster has database 0 only, not %d", uri->database);
    if (!status && uri->sentinels.places.count && (!uri->sentinels.master || !uri->sentinels.master[0]))
        status = error_set(error, ASYNQ_E_INVALID,
                           "Redis URI: the master's name is missing, as in redis-sentinel://127.0.0.1?master=mymaster");
    if (status)
        redis_uri_clear(uri);
    return status;
}

static void places_clear(redis_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        mem_free(places->at[i].host);
}

void redis_uri_clear(redis_uri *uri)
{
    redis_sentinels *sentinels = &uri->sentinels;
    char *parts[] = {uri->host,         uri->path,          uri->user,          uri->password,
                     uri->tls_ca_file,  uri->tls_cert_file, uri->tls_key_file,  uri->tls_server_name,
                     sentinels->master, sentinels->user,    sentinels->password};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        mem_free(parts[i]);
    places_clear(&sentinels->places);
    places_clear(&uri->seeds);
    *uri = (redis_uri){0};
}

int redis_uri_auth(const redis_uri *uri, const char *words[REDIS_AUTH_WORDS])
{
    int count = 0;
    if (!uri->password)
        return 0;
    words[count++] = "AUTH";
    if (uri->user)
        words[count++] = uri->user;
    words[count++] = uri->password;
    return count;
}

void redis_uri_describe(const redis_uri *uri, char *text, size_t size)
{
    const redis_sentinels *sentinels = &uri->sentinels;
    size_t sentinel_count = sentinels->places.count;
    if (uri->path)
        snprintf(text, size, "%s", uri->path);
    else if (uri->seeds.count && !uri->host)
        snprintf(text, size, "the cluster of %.200s:%d", uri->seeds.at[0].host, uri->seeds.at[0].port);
    else if (sentinel_count && !uri->host)
        snprintf(text, size, "master %.100s/%d of %zu sentinel%s", sentinels->master, uri->database, sentinel_count,
                 sentinel_count == 1 ? "" : "s");
    else if (sentinel_count)
        snprintf(text, size, "%s:%d/%d, master %.100s", uri->host, uri->port, uri->database, sentinels->master);
    else
        snprintf(text, size, "%s:%d/%d", uri->host, uri->port, uri->database);
}
