/* See endpoint_tls.h. */
#include "metrics/endpoint_tls.h"

#include "base/error.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static int endpoint_tls_fail(const char *path, asynq_error *error)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return error_set(error, ASYNQ_E_INVALID, "%s: %s", path, text);
}

static int tls_load(SSL_CTX *tls, const char *cert_file, const char *key_file, asynq_error *error)
{
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(tls, cert_file) != 1)
        return endpoint_tls_fail(cert_file, error);
    if (SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(tls) != 1)
        return endpoint_tls_fail(key_file, error);
    return ASYNQ_OK;
}

SSL_CTX *endpoint_tls_new(const char *cert_file, const char *key_file, asynq_error *error)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    if (!tls_load(tls, cert_file, key_file, error))
        return tls;
    SSL_CTX_free(tls);
    return NULL;
}

struct bufferevent *endpoint_tls_connection(SSL_CTX *tls, struct event_base *base)
{
    if (!tls)
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    SSL *own = SSL_new(tls);
    struct bufferevent *made =
        own ? bufferevent_openssl_socket_new(base, -1, own, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (made)
        bufferevent_openssl_set_allow_dirty_shutdown(made, 1);
    return made;
}
