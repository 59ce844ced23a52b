/*
 * See task_id.h. libuuid's own generator asks the kernel for each id and stirs bits of random() in: a third of all our
 * CPU time per task went there. OpenSSL's is seeded by the kernel, too, and notices a fork.
 */
#include "wire/task_id.h"

#include <openssl/rand.h>
#include <uuid/uuid.h>

void task_id_make_random(char text[TASK_ID_RANDOM_SIZE])
{
    uuid_t id;
    if (RAND_bytes(id, sizeof id) == 1) {
        id[6] = (id[6] & 0x0f) | 0x40;
        id[8] = (id[8] & 0x3f) | 0x80;
    } else {
        uuid_generate_random(id);
    }
    uuid_unparse_lower(id, text);
}
