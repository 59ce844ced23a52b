/* The reply reader, fed in two pieces. */
#include "redis/reply.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t look_at(const redis_value *value)
{
    uint64_t sum = (uint64_t)redis_value_integer(value) + value->text.length;
    for (size_t i = 0; i < value->count; i++)
        sum += look_at(redis_value_at(value, i));
    return sum + (redis_value_double(value) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redis_reader *reader = redis_reader_new();
    size_t cut = size ? data[0] % size : 0;
    const size_t ends[] = {cut, size};
    size_t at = 0;
    for (int i = 0; i < 2; at = ends[i++]) {
        const redis_value *value = NULL;
        if (redis_reader_feed(reader, (const char *)data + at, ends[i] - at))
            break;
        int status;
        while ((status = redis_reader_next(reader, &value, NULL)) == 0 && value)
            look_at(value);
        if (status)
            break;
    }
    redis_reader_free(reader);
    return 0;
}
