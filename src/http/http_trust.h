/*
 * The certificates of authorities that the system trusts: some hundred and fifty, of which libcurl would make a store
 * on the loop, for 30 ms, once an hour. Here an errand does it, at the start and each hour, and all connections share
 * the store.
 *
 *   errand: file --> X509_STORE --> the loop's, for connections that begin from then on
 *
 * Thread: that of the loop.
 */
#ifndef HTTP_HTTP_TRUST_H
#define HTTP_HTTP_TRUST_H

#include "base/log.h"
#include "event/errands.h"

#include <curl/curl.h>

typedef struct http_trust http_trust;

/* `thread` NULL: there is none, and libcurl does it. NULL: out of memory. */
http_trust *http_trust_new(loop *l, log_sink *log, errands *thread);
/* Before the errands, and after the transfers. Accepts NULL. */
void http_trust_free(http_trust *t);

/*
 * A transfer trusts whom the system does. False: nothing was set, as there is no store: it has not been read yet, could
 * not be, or libcurl has another OpenSSL than we have, or none.
 */
bool http_trust_apply(http_trust *t, CURL *easy);

#endif
