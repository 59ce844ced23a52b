/* The body of a request, in the pieces that came over the network. Thread: any, one at a time. */
#ifndef METRICS_ENDPOINT_BODY_H
#define METRICS_ENDPOINT_BODY_H

#include "base/bytes.h"

typedef struct evbuffer endpoint_body;

/* In one piece, for which it is copied: that is nothing for the loop. `data` NULL: out of memory. */
bytes endpoint_body_join(endpoint_body *body);
size_t endpoint_body_length(const endpoint_body *body);
/* Accepts NULL. */
void endpoint_body_free(endpoint_body *body);

#endif
