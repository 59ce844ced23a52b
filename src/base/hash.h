/*
 * Hash tables: uthash, with our memory and without its habit of ending the process when there is none. After an
 * add, HASH_HAS says whether it worked.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/alloc.h"

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(memory, size) mem_free(memory)
#include <uthash.h>

#define HASH_HAS(element) ((element)->hh.tbl != NULL)

#endif
