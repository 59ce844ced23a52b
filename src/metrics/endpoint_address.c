/* Where an endpoint listens, as it is written; see endpoint.h. */
#include "base/text.h"
#include "metrics/endpoint.h"

#include <stdio.h>
#include <string.h>

bool endpoint_read_address(const char *listen, char *host, int *port)
{
    const char *colon = strrchr(listen, ':');
    int64_t number;
    if (!colon || !text_read_number(colon + 1, &number) || number > 65535)
        return false;
    size_t length = (size_t)(colon - listen);
    bool is_v6 = length > 2 && listen[0] == '[' && listen[length - 1] == ']';
    if (!length || length > 250 || (!is_v6 && memchr(listen, ':', length)))
        return false;
    snprintf(host, 256, "%.*s", (int)(is_v6 ? length - 2 : length), is_v6 ? listen + 1 : listen);
    *port = (int)number;
    return true;
}
