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

/*
 * uthash doubles a table when a chain has grown to 10 elements; then a look-up in a table of 10,000 jobs walks over
 * several of them, each a cache miss: a quarter of the CPU time of a server at that size. At 6 there are about as many
 * buckets as elements.
 */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

#define HASH_HAS(element) ((element)->hh.tbl != NULL)

#endif
