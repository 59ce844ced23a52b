/*
 * Where Redis is and how to be let in, read from a URI:
 *
 *   redis://[[user]:password@]host[:port][/db]       rediss://  the same over TLS
 *   unix:///path[?db=n]    redis-socket://[[user]:password@]/path[?db=n]
 *
 * Query parameters for TLS: ca_file, cert_file, key_file, server_name, verify=on or off. Parts may be percent-encoded;
 * in a password "/", "?", "#" and "@" should be.
 * Go ignores a user name here; we use it, because ACL users are common by now.
 */
#ifndef REDIS_URI_H
#define REDIS_URI_H

#include <asynq/error.h>
#include <stddef.h>

typedef struct redis_uri {
    char *host; /* NULL when `path` is set */
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
} redis_uri;

/* Returns 0, ASYNQ_E_INVALID with what is wrong and where (never the password), or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int redis_uri_parse(redis_uri *uri, const char *text, asynq_error *error);
void redis_uri_clear(redis_uri *uri);

/* "127.0.0.1:6379/0" or "/run/redis.sock", for messages; no secrets. */
void redis_uri_describe(const redis_uri *uri, char *text, size_t size);

#endif
