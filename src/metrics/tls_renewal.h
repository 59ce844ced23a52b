/*
 * Reading a certificate and its key again while connections are served. The disk may be slow or hang, so a thread reads
 * them. Thread: the loop's.
 */
#ifndef METRICS_TLS_RENEWAL_H
#define METRICS_TLS_RENEWAL_H

#include "event/loop.h"

#include <asynq/error.h>
#include <openssl/types.h>

typedef struct tls_renewal tls_renewal;

typedef struct tls_renewal_options {
    loop *loop;
    const char *cert_file, *key_file;
    /* `fresh` is the callee's; NULL: see `error`. */
    void (*renewed)(void *arg, SSL_CTX *fresh, const asynq_error *error);
    void *arg;
} tls_renewal_options;

/* NULL with `error`. */
tls_renewal *tls_renewal_new(const tls_renewal_options *options, asynq_error *error);
/* Waits for what is read. Accepts NULL. */
void tls_renewal_free(tls_renewal *r);
/* Reads them, once more if they are being read; `renewed` follows. */
void tls_renewal_begin(tls_renewal *r);

#endif
