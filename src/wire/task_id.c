/*
 * See task_id.h. One question to the kernel for each id, 0.4 us: libuuid's own generator stirs bits of random() in,
 * which was a third of all our CPU time per task, and OpenSSL's took 0.7 us and 2 MB of memory. Nothing is kept that a
 * fork could copy.
 */
#include "wire/task_id.h"

#include <sys/random.h>
#include <uuid/uuid.h>

void task_id_make_random(char text[TASK_ID_RANDOM_SIZE])
{
    uuid_t id;
    if (getrandom(id, sizeof id, 0) == (ssize_t)sizeof id) {
        id[6] = (id[6] & 0x0f) | 0x40;
        id[8] = (id[8] & 0x3f) | 0x80;
    } else {
        uuid_generate_random(id); /* a signal came, or the kernel is older than the call */
    }
    uuid_unparse_lower(id, text);
}
