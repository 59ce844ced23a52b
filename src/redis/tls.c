/* See tls.h. */
#include "redis/tls.h"

#include "base/alloc.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct redis_tls {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;  /* from the socket; owned by ssl */
    BIO *out; /* to the socket; owned by ssl */
};

static int redis_tls_fail(asynq_error *error, int status, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return error_set(error, status, "TLS: %s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

/* Whether the server's alert is about our certificate: that does not get better by trying again. */
static int status_of_alert(void)
{
    switch (ERR_GET_REASON(ERR_peek_error())) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: /* how TLS 1.2 says that a certificate is wanted */
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return ASYNQ_E_AUTH;
    default:
        return ASYNQ_E_UNAVAILABLE;
    }
}

static int load_files(redis_tls *tls, const redis_uri *uri, asynq_error *error)
{
    char what[400];
    if (uri->tls_ca_file) {
        snprintf(what, sizeof what, "cannot read the CA file %s", uri->tls_ca_file);
        if (SSL_CTX_load_verify_locations(tls->context, uri->tls_ca_file, NULL) != 1)
            return redis_tls_fail(error, ASYNQ_E_INVALID, what);
    } else if (SSL_CTX_set_default_verify_paths(tls->context) != 1) {
        return redis_tls_fail(error, ASYNQ_E_SYSTEM, "cannot read the system's CA certificates");
    }
    if (!uri->tls_cert_file)
        return ASYNQ_OK;
    snprintf(what, sizeof what, "cannot use the client certificate %s", uri->tls_cert_file);
    if (SSL_CTX_use_certificate_chain_file(tls->context, uri->tls_cert_file) != 1)
        return redis_tls_fail(error, ASYNQ_E_INVALID, what);
    snprintf(what, sizeof what, "cannot use the key %s", uri->tls_key_file);
    if (SSL_CTX_use_PrivateKey_file(tls->context, uri->tls_key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls->context) != 1)
        return redis_tls_fail(error, ASYNQ_E_INVALID, what);
    return ASYNQ_OK;
}

/* The name to verify: an address must match an address entry, a name a name entry; only names go into SNI. */
static bool expect_name(redis_tls *tls, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name) == 1;
    return SSL_set1_host(tls->ssl, name) == 1 && SSL_set_tlsext_host_name(tls->ssl, name) == 1;
}

static int tls_setup(redis_tls *tls, const redis_uri *uri, asynq_error *error)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
        return redis_tls_fail(error, ASYNQ_E_SYSTEM, "cannot set up OpenSSL");
    SSL_CTX_set_verify(tls->context, uri->tls_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    int status = load_files(tls, uri, error);
    if (status)
        return status;

    tls->ssl = SSL_new(tls->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        if (!tls->ssl) {
            BIO_free(tls->in);
            BIO_free(tls->out);
        }
        return redis_tls_fail(error, ASYNQ_E_SYSTEM, "cannot make a session");
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    const char *name = uri->tls_server_name ? uri->tls_server_name : uri->host;
    if (name && !expect_name(tls, name))
        return redis_tls_fail(error, ASYNQ_E_INVALID, "cannot use the server name");
    return ASYNQ_OK;
}

redis_tls *redis_tls_new(const redis_uri *uri, asynq_error *error)
{
    redis_tls *tls = mem_calloc(1, sizeof *tls);
    if (!tls) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    if (tls_setup(tls, uri, error)) {
        redis_tls_free(tls);
        return NULL;
    }
    return tls;
}

void redis_tls_free(redis_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    mem_free(tls);
}

bool redis_tls_is_ready(const redis_tls *tls)
{
    return SSL_is_init_finished(tls->ssl);
}

static int tls_explain(redis_tls *tls, asynq_error *error)
{
    long verified = SSL_get_verify_result(tls->ssl);
    if (verified == X509_V_OK)
        return redis_tls_fail(error, status_of_alert(), "the handshake failed");
    ERR_clear_error();
    return error_set(error, ASYNQ_E_AUTH, "TLS: the server's certificate is not trusted: %s; give its CA with ca_file=",
                     X509_verify_cert_error_string(verified));
}

int redis_tls_receive(redis_tls *tls, const char *data, size_t length, buf *plain, asynq_error *error)
{
    if (length && BIO_write(tls->in, data, (int)length) != (int)length)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    ERR_clear_error();
    if (!SSL_is_init_finished(tls->ssl)) {
        int result = SSL_do_handshake(tls->ssl);
        if (result != 1 && SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ)
            return tls_explain(tls, error);
    }
    while (SSL_is_init_finished(tls->ssl)) {
        char *room = buf_reserve(plain, 16 * 1024);
        if (!room)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        int result = SSL_read(tls->ssl, room, 16 * 1024);
        if (result > 0) {
            plain->length += (size_t)result;
            continue;
        }
        int reason = SSL_get_error(tls->ssl, result);
        if (reason == SSL_ERROR_WANT_READ)
            break;
        if (reason == SSL_ERROR_ZERO_RETURN)
            return error_set(error, ASYNQ_E_UNAVAILABLE, "TLS: the server closed the session");
        /* TLS 1.3 reports a missing certificate here. */
        return redis_tls_fail(error, status_of_alert(), "the server refused the session");
    }
    return ASYNQ_OK;
}

int redis_tls_send(redis_tls *tls, const char *data, size_t length, asynq_error *error)
{
    ERR_clear_error();
    for (size_t sent = 0; sent < length;) {
        size_t piece = length - sent < (1u << 20) ? length - sent : 1u << 20;
        int result = SSL_write(tls->ssl, data + sent, (int)piece);
        if (result <= 0)
            return redis_tls_fail(error, ASYNQ_E_UNAVAILABLE, "cannot encrypt");
        sent += (size_t)result;
    }
    return ASYNQ_OK;
}

int redis_tls_take_output(redis_tls *tls, redis_outq *out, asynq_error *error)
{
    size_t waiting = BIO_ctrl_pending(tls->out);
    if (!waiting)
        return ASYNQ_OK;
    char *room = redis_outq_reserve(out, waiting);
    if (!room || BIO_read(tls->out, room, (int)waiting) != (int)waiting)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return ASYNQ_OK;
}
