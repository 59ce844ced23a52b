/* What a request of libevent's says of itself. */
#ifndef METRICS_HTTP_REQUEST_H
#define METRICS_HTTP_REQUEST_H

struct evhttp_request;

/* As routes have it: GET also for HEAD. "?": none of ours. */
const char *http_request_method(const struct evhttp_request *http);
/* Another server in front may have taken it for another one, so that it is to go no further; why. NULL: it is clear. */
const char *http_request_why_ambiguous(struct evhttp_request *http);

#endif
