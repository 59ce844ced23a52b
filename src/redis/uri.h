/*
 * Where Redis is and how to be let in, read from a URI:
 *
 *   redis://[[user]:password@]host[:port][/db]       rediss://  the same over TLS
 *   unix:///path[?db=n]    redis-socket://[[user]:password@]/path[?db=n]
 *   redis-sentinel://[[user]:password@]host[:port][,host[:port]...][/db]?master=NAME
 *   redis-cluster://[[user]:password@]host[:port][,host[:port]...]     rediss-cluster://  the same over TLS
 *
 * Query parameters for TLS: ca_file, cert_file, key_file, server_name, verify=on or off. Parts may be percent-encoded;
 * in a password "/", "?", "#" and "@" should be.
 * Go ignores a user name here; we use it, because ACL users are common by now.
 *
 * With Sentinel, the hosts and the credentials before them are the sentinels', as with Go's. Those of the Redis servers
 * are the parameters username and password; tls=on and sentinel_tls=on turn TLS on for the one and the other.
 *
 * With Cluster, the hosts are some of its nodes: they are asked for all of them. The credentials are those of each
 * node.
 */
#ifndef REDIS_URI_H
#define REDIS_URI_H

#include <asynq/error.h>
#include <stddef.h>

enum { REDIS_MAX_PLACES = 32 };

typedef struct redis_place {
    char *host;
    int port;
} redis_place;

typedef struct redis_places {
    redis_place at[REDIS_MAX_PLACES];
    size_t count;
} redis_places;

/* Who is asked where Redis is. */
typedef struct redis_sentinels {
    char *master; /* its name; NULL: nobody is asked */
    redis_places places;
    char *user;
    char *password;
    bool tls;
} redis_sentinels;

typedef struct redis_uri {
    char *host; /* NULL when `path` is set, or there are sentinels or seeds */
    int port;
    char *path; /* unix socket */
    char *user;
    char *password;
    int database;
    bool tls;
    bool tls_insecure; /* do not verify the server */
    bool has_secret;   /* a password may stand anywhere in the text: errors quote nothing of it */
    char *tls_ca_file;
    char *tls_cert_file;
    char *tls_key_file;
    char *tls_server_name; /* verified and sent as SNI; default: host */
    redis_sentinels sentinels;
    redis_places seeds; /* nodes of a cluster that are asked for the others; none: it is no cluster */
} redis_uri;

/* Returns 0, ASYNQ_E_INVALID with what is wrong and where (never the password), or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int redis_uri_parse(redis_uri *uri, const char *text, asynq_error *error);
void redis_uri_clear(redis_uri *uri);

enum { REDIS_AUTH_WORDS = 3 };

/* The words of AUTH; returns how many. 0: there is no password. */
int redis_uri_auth(const redis_uri *uri, const char *words[REDIS_AUTH_WORDS]);

/* "127.0.0.1:6379/0", "/run/redis.sock", "master mymaster/0 of 3 sentinels" or "the cluster of 127.0.0.1:7000", for
 * messages; no secrets. */
void redis_uri_describe(const redis_uri *uri, char *text, size_t size);

#endif
