/* See base64.h. OpenSSL decodes, but it takes white space and padding of any kind, and counts padding as zeros. */
#include "wire/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_decode(const char *text, buf *out)
{
    size_t digits = strspn(text, base64_digits), pads = strspn(text + digits, "="), length = digits + pads;
    if (text[length] || length % 4 || pads > 2 || length > INT_MAX)
        return false;
    char *room = buf_reserve(out, length / 4 * 3 + 1);
    if (!room)
        return true;
    if (EVP_DecodeBlock((unsigned char *)room, (const unsigned char *)text, (int)length) < 0)
        return false;
    out->length += length / 4 * 3 - pads;
    return true;
}
