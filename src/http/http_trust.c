/* See http_trust.h. */
#include "http/http_trust.h"

#include "base/alloc.h"
#include "base/container.h"
#include "event/timer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

enum { READ_AGAIN_MS = 3600000 };

struct http_trust {
    log_sink *log;
    errands *thread;
    loop_timer again;
    char *file;        /* the system's; NULL: libcurl has none, or is not to be helped */
    X509_STORE *store; /* NULL: none yet */
    bool is_reading, is_gone;

    /* The errand's while it runs. */
    errand read;
    X509_STORE *fresh;
    char problem[256];
};

/* ---- reading ---- */

static void http_trust_run_read(errand *one)
{
    http_trust *t = container_of(one, http_trust, read);
    X509_STORE *store = X509_STORE_new();
    ERR_clear_error();
    if (store && X509_STORE_load_locations(store, t->file, NULL)) {
        X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN); /* as libcurl does */
        t->fresh = store;
        return;
    }
    ERR_error_string_n(ERR_get_error(), t->problem, sizeof t->problem);
    ERR_clear_error();
    X509_STORE_free(store);
}

static void trust_clear(http_trust *t)
{
    X509_STORE_free(t->store);
    X509_STORE_free(t->fresh);
    mem_free(t->file);
    mem_free(t);
}

/* The old one stays if there is no other. */
static void http_trust_read_done(errand *one)
{
    http_trust *t = container_of(one, http_trust, read);
    t->is_reading = false;
    if (t->is_gone) {
        trust_clear(t);
        return;
    }
    if (t->fresh) {
        X509_STORE_free(t->store);
        t->store = t->fresh;
        log_debug(t->log, "the system's certificates of authorities were read: %s", t->file);
    } else if (*t->problem) {
        log_event(t->log, LOG_AUTHORITIES_UNREADABLE, "%s: %s", t->file, t->problem);
    }
    t->fresh = NULL;
    *t->problem = '\0';
    loop_timer_set(&t->again, READ_AGAIN_MS);
}

static void read_system(void *arg)
{
    http_trust *t = arg;
    t->read = (errand){.run = http_trust_run_read, .done = http_trust_read_done};
    t->is_reading = errands_send(t->thread, &t->read);
}

/* ---- the whole ---- */

/* A store of ours makes sense to libcurl only if both have the same library. */
static bool is_same_openssl(void)
{
    char own[64];
    const char *theirs = curl_version_info(CURLVERSION_NOW)->ssl_version;
    snprintf(own, sizeof own, "OpenSSL/%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    return theirs && strcmp(theirs, own) == 0;
}

static char *http_trust_find_file(void)
{
    CURL *easy = is_same_openssl() ? curl_easy_init() : NULL;
    char *file = NULL;
#if LIBCURL_VERSION_NUM >= 0x075400
    const char *known = NULL;
    if (easy && curl_easy_getinfo(easy, CURLINFO_CAINFO, &known) == CURLE_OK && known)
        file = mem_strdup(known);
#endif
    curl_easy_cleanup(easy);
    return file;
}

http_trust *http_trust_new(loop *l, log_sink *log, errands *thread)
{
    http_trust *t = mem_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->log = log;
    t->thread = thread;
    t->file = thread ? http_trust_find_file() : NULL;
    loop_timer_init(l, &t->again, read_system, t);
    if (t->file)
        read_system(t);
    return t;
}

void http_trust_free(http_trust *t)
{
    if (!t)
        return;
    loop_timer_cancel(&t->again);
    t->is_gone = true;
    if (!t->is_reading)
        trust_clear(t);
}

static CURLcode use_store(CURL *easy, void *context, void *arg)
{
    (void)easy;
    const http_trust *t = arg;
    SSL_CTX_set1_cert_store(context, t->store);
    return CURLE_OK;
}

bool http_trust_apply(http_trust *t, CURL *easy)
{
    if (!t->store)
        return false;
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    return curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, use_store) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, t) == CURLE_OK;
}
