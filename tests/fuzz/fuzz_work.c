/*
 * Decoding is linear: four times as many bytes of the same kind are about four times the work. The input is repeated
 * with a count in it, so that a few bytes of the fuzzer's become a message of 60 kB, and one of four times as many.
 * What is measured is the CPU time of the thread, and only what takes long is judged.
 */
#include "wire/scheduler_entry.h"
#include "wire/server_info.h"
#include "wire/task_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SMALL = 60 * 1000, TIMES = 4, JUDGED_FROM_MS = 40, WORSE = 2, TRIES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The first byte says where in each repetition a count of four digits stands, and whether it rises or falls. */
static void repeat(const uint8_t *data, size_t size, size_t wanted, buf *out)
{
    const size_t place = size > 5 ? data[0] / 2 % (size - 4) + 1 : 0;
    for (unsigned n = 0; out->length + size <= wanted; n++) {
        char digits[16];
        size_t at = out->length;
        buf_append(out, data + 1, size - 1);
        snprintf(digits, sizeof digits, "%04u", (data[0] & 1 ? n : 9999 - n % 10000) % 10000);
        if (place)
            memcpy(out->data + at + place - 1, digits, 4);
    }
}

#define DECODE(type, bytes)                                                                                            \
    do {                                                                                                               \
        type record;                                                                                                   \
        arena memory;                                                                                                  \
        record_arena_init(&memory, (bytes).length);                                                                    \
        (void)!type##_decode(&record, bytes, &memory, NULL);                                                           \
        arena_clear(&memory);                                                                                          \
    } while (0)

static double decode_ms(bytes raw)
{
    double best = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double begun = cpu_ms();
        DECODE(task_message, raw);
        DECODE(server_info, raw);
        DECODE(worker_info, raw);
        DECODE(scheduler_entry, raw);
        DECODE(scheduler_event, raw);
        double took = cpu_ms() - begun;
        best = took < best ? took : best;
        if (took < JUDGED_FROM_MS)
            break; /* fast enough, whatever it is */
    }
    return best;
}

static double repeated_ms(const uint8_t *data, size_t size, size_t wanted)
{
    buf raw;
    buf_init(&raw, 0);
    repeat(data, size, wanted, &raw);
    double took = raw.data ? decode_ms((bytes){raw.data, raw.length}) : 0;
    buf_clear(&raw);
    return took;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 200)
        return 0;
    double large = repeated_ms(data, size, TIMES * SMALL);
    if (large < JUDGED_FROM_MS)
        return 0;
    double small = repeated_ms(data, size, SMALL);
    if (large > WORSE * TIMES * small) {
        fprintf(stderr, "%.1f ms for %d bytes, %.1f ms for %d\n", small, SMALL, large, TIMES * SMALL);
        abort();
    }
    return 0;
}
