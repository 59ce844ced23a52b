/* The URI parser and the texts that come with it. */
#include "base/alloc.h"
#include "base/text.h"
#include "redis/uri.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_dup(data, size), where[300];
    asynq_error error;
    redis_uri uri;
    if (redis_uri_parse(&uri, text, &error) == 0) {
        redis_uri_describe(&uri, where, sizeof where);
        redis_uri_clear(&uri);
    }
    buf quoted;
    buf_init(&quoted, 0);
    text_append_quoted(&quoted, text, size);
    text_is_blank(text, size);
    text_make_utf8(text, size);
    if (!text_is_utf8(text, size) || !text_is_utf8(quoted.data, quoted.length))
        __builtin_trap();
    buf_clear(&quoted);
    mem_free(text);
    return 0;
}
