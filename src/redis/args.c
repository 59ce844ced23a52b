/* See args.h. */
#include "redis/args.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Redis's proto-max-bulk-len, unless somebody raised it: it closes the connection when an argument is longer. */
#define ARGS_MAX_LENGTH ((size_t)512 << 20)

void redis_args_init(redis_args *args)
{
    *args = (redis_args){0};
    arena_init(&args->scratch, 0);
}

void redis_args_clear(redis_args *args)
{
    mem_free(args->argv);
    mem_free(args->lengths);
    arena_clear(&args->scratch);
    redis_args_init(args);
}

void redis_args_reset(redis_args *args)
{
    args->count = 0;
    args->failed = false;
    args->script = NULL;
    args->key_count = 0;
    args->node = NULL;
    arena_reset(&args->scratch);
}

void redis_args_append_key(redis_args *args, bytes key)
{
    int place = REDIS_SCRIPT_KEYS + args->key_count;
    redis_args_add_integer(args, args->key_count + 1);
    redis_args_add_copy(args, key);
    if (args->failed)
        return;
    int last = args->count - 1;
    const char *count_text = args->argv[last - 1], *name = args->argv[last];
    args->argv[REDIS_SCRIPT_KEYS - 1] = count_text;
    args->lengths[REDIS_SCRIPT_KEYS - 1] = args->lengths[last - 1];
    memmove(&args->argv[place + 1], &args->argv[place], (size_t)(last - 1 - place) * sizeof *args->argv);
    memmove(&args->lengths[place + 1], &args->lengths[place], (size_t)(last - 1 - place) * sizeof *args->lengths);
    args->argv[place] = name;
    args->lengths[place] = key.length;
    args->count = last;
    args->key_count++;
}

void redis_args_begin_script(redis_args *args, script_id script, int key_count)
{
    redis_args_reset(args);
    redis_args_add_text(args, "EVALSHA");
    redis_args_add_text(args, redis_scripts[script].sha1);
    redis_args_add_integer(args, key_count);
    args->script = &redis_scripts[script];
    args->key_count = key_count;
}

static bool redis_args_grow(redis_args *args)
{
    int capacity = args->capacity ? args->capacity * 2 : 32;
    const char **argv = mem_realloc(args->argv, (size_t)capacity * sizeof *argv);
    if (argv)
        args->argv = argv;
    size_t *lengths = argv ? mem_realloc(args->lengths, (size_t)capacity * sizeof *lengths) : NULL;
    if (!lengths)
        return false;
    args->lengths = lengths;
    args->capacity = capacity;
    return true;
}

void redis_args_add(redis_args *args, bytes argument)
{
    if (args->count == args->capacity && !redis_args_grow(args)) {
        args->failed = true;
        return;
    }
    args->argv[args->count] = argument.data ? argument.data : "";
    args->lengths[args->count++] = argument.length;
}

void redis_args_add_text(redis_args *args, const char *argument)
{
    redis_args_add(args, bytes_of(argument));
}

void redis_args_add_copy(redis_args *args, bytes argument)
{
    const char *copy = arena_dup(&args->scratch, argument.data, argument.length);
    if (copy)
        redis_args_add(args, (bytes){copy, argument.length});
    else
        args->failed = true;
}

void redis_args_add_integer(redis_args *args, int64_t argument)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRId64, argument);
    redis_args_add_copy(args, (bytes){text, (size_t)length});
}

void redis_args_add_joined(redis_args *args, bytes first, bytes second)
{
    char *joined = arena_alloc(&args->scratch, first.length + second.length + 1);
    if (!joined) {
        args->failed = true;
        return;
    }
    if (first.length)
        memcpy(joined, first.data, first.length);
    if (second.length)
        memcpy(joined + first.length, second.data, second.length);
    redis_args_add(args, (bytes){joined, first.length + second.length});
}

bool redis_args_fit(const redis_args *args)
{
    for (int i = 0; i < args->count; i++)
        if (args->lengths[i] > ARGS_MAX_LENGTH)
            return false;
    return true;
}
