/* Base64 with padding (RFC 4648, 4), and nothing else: no white space, no padding inside, no other alphabet. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "base/buf.h"

#include <stdbool.h>

/* Appends the bytes. False: it is no base64; `out` may have failed, too. */
bool base64_decode(const char *text, buf *out);

#endif
