/* See tls_renewal.h. */
#include "metrics/tls_renewal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "event/errands.h"
#include "metrics/endpoint_tls.h"

#include <openssl/ssl.h>

struct tls_renewal {
    errand errand;
    tls_renewal_options options;
    errands *thread;
    bool is_reading, is_wanted; /* the second: once more */
    SSL_CTX *fresh;             /* the thread's, while it reads; so is `error` */
    asynq_error error;
};

static void read_files(errand *one)
{
    tls_renewal *r = (tls_renewal *)one;
    r->fresh = endpoint_tls_new(r->options.cert_file, r->options.key_file, &r->error);
}

static void files_are_read(errand *one)
{
    tls_renewal *r = (tls_renewal *)one;
    SSL_CTX *fresh = r->fresh;
    r->is_reading = false;
    r->fresh = NULL;
    if (r->is_wanted) {
        SSL_CTX_free(fresh); /* it may be half of what there is now */
        tls_renewal_begin(r);
    } else {
        r->options.renewed(r->options.arg, fresh, &r->error);
    }
}

void tls_renewal_begin(tls_renewal *r)
{
    r->is_wanted = r->is_reading;
    if (r->is_reading)
        return;
    r->errand = (errand){.run = read_files, .done = files_are_read};
    error_set_code(&r->error, ASYNQ_E_CLOSED); /* unless it is run */
    r->is_reading = errands_send(r->thread, &r->errand);
}

tls_renewal *tls_renewal_new(const tls_renewal_options *options, asynq_error *error)
{
    tls_renewal *r = mem_calloc(1, sizeof *r);
    if (!r)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    r->options = *options;
    r->thread = errands_new(options->loop, error);
    if (r->thread)
        return r;
    mem_free(r);
    return NULL;
}

void tls_renewal_free(tls_renewal *r)
{
    if (!r)
        return;
    errands_free(r->thread);
    mem_free(r);
}
