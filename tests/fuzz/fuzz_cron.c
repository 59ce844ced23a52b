/* Cron specifications: whatever the text, an answer, and times that lie ahead. */
#include "base/alloc.h"
#include "base/bytes.h"

#include <asynq/cron.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t start_h = 0;
    if (size < sizeof start_h)
        return 0;
    memcpy(&start_h, data, sizeof start_h);
    char *text = mem_dup(data + sizeof start_h, size - sizeof start_h);
    asynq_error error;
    asynq_cron *cron = asynq_cron_new(text, "Europe/Berlin", &error);
    int64_t at_ms = (int64_t)start_h % 2000000 * 3600 * 1000;
    for (int i = 0; cron && i < 3 && at_ms != ASYNQ_NONE; i++) {
        int64_t next_ms = asynq_cron_next_ms(cron, at_ms);
        if (next_ms != ASYNQ_NONE && next_ms <= at_ms)
            __builtin_trap();
        at_ms = next_ms;
    }
    asynq_cron_free(cron);
    mem_free(text);
    return 0;
}
