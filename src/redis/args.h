/* The arguments of one command, collected and then formatted by hiredis. Bytes are borrowed until the command is sent.
 */
#ifndef REDIS_ARGS_H
#define REDIS_ARGS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "redis/script.h"

#include <stdbool.h>
#include <stdint.h>

enum { REDIS_SCRIPT_KEYS = 3 };

typedef struct redis_args {
    const char **argv;
    size_t *lengths;
    int count;
    int capacity;
    arena scratch;                     /* numbers and other texts made for this command */
    bool failed;                       /* out of memory; sending then fails */
    const struct redis_script *script; /* NULL: a plain command */
    int key_count;                     /* of the script: keys stand at REDIS_SCRIPT_KEYS and behind */
    const struct redis_node *node;     /* that is to have it; NULL: the one that has the key */
} redis_args;

void redis_args_init(redis_args *args);
void redis_args_clear(redis_args *args);

/* Starts a new command in the same memory. */
void redis_args_reset(redis_args *args);
/* The same with EVALSHA: the script's SHA-1 and the number of keys. The caller adds keys, then arguments. */
void redis_args_begin_script(redis_args *args, script_id script, int key_count);
/* A copy of this key behind the script's own, when all of these are there. */
void redis_args_append_key(redis_args *args, bytes key);

void redis_args_add(redis_args *args, bytes argument);
void redis_args_add_text(redis_args *args, const char *argument);
void redis_args_add_copy(redis_args *args, bytes argument);
/* The two as one argument. */
void redis_args_add_joined(redis_args *args, bytes first, bytes second);
void redis_args_add_integer(redis_args *args, int64_t argument);

/* Redis takes arguments of this length. */
bool redis_args_fit(const redis_args *args);

#endif
