/*
 * The Lua scripts of lua/, embedded at build time. Each is called by its SHA-1; a new connection loads them all, so a
 * call finds its script except after SCRIPT FLUSH.
 */
#ifndef REDIS_SCRIPT_H
#define REDIS_SCRIPT_H

#include "base/bytes.h"

typedef struct redis_script {
    const char *name; /* file name without ".lua" */
    const char *text;
    const char *sha1;                                     /* 40 hexadecimal digits */
    int min_keys, max_keys, min_arguments, max_arguments; /* below 0: any number */
} redis_script;

/* Generated: SCRIPT_ENQUEUE and so on, in the order of redis_scripts[]. */
#include "redis/scripts_gen.h"

extern const redis_script redis_scripts[SCRIPT_COUNT];

#endif
