/* See endpoint_body.h. */
#include "metrics/endpoint_body.h"

#include <event2/buffer.h>

bytes endpoint_body_join(endpoint_body *body)
{
    size_t length = evbuffer_get_length(body);
    return (bytes){length ? (const char *)evbuffer_pullup(body, -1) : "", length};
}

size_t endpoint_body_length(const endpoint_body *body)
{
    return evbuffer_get_length(body);
}

void endpoint_body_free(endpoint_body *body)
{
    if (body)
        evbuffer_free(body);
}
