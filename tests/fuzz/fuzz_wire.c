/* Every record decoder: what it takes it can write, and what it wrote it takes again. */
#include "wire/scheduler_entry.h"
#include "wire/server_info.h"
#include "wire/task_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUND(type)                                                                                                    \
    do {                                                                                                               \
        type record;                                                                                                   \
        arena memory, again;                                                                                           \
        buf out;                                                                                                       \
        buf_init(&out, 0);                                                                                             \
        record_arena_init(&memory, size);                                                                              \
        if (type##_decode(&record, (bytes){(const char *)data, size}, &memory, NULL) == 0) {                           \
            if (type##_encode(&record, &out, NULL))                                                                    \
                abort();                                                                                               \
            record_arena_init(&again, out.length);                                                                     \
            if (type##_decode(&record, (bytes){out.data, out.length}, &again, NULL))                                   \
                abort();                                                                                               \
            arena_clear(&again);                                                                                       \
        }                                                                                                              \
        buf_clear(&out);                                                                                               \
        arena_clear(&memory);                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ROUND(task_message);
    ROUND(server_info);
    ROUND(worker_info);
    ROUND(scheduler_entry);
    ROUND(scheduler_event);
    return 0;
}
