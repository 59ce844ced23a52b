/*
 * How large structs are in the program that calls. Structs may get more members in later versions; so that programs and
 * libraries of different versions understand each other, each call that takes or fills a struct hands over the sizes
 * that the program was compiled with. Programs do nothing for it: the calls are macros, such as
 *
 *     #define asynq_enqueue(...) asynq_enqueue_sized(&asynq_sizes_of_client, __VA_ARGS__)
 *
 * What is compiled without a C preprocessor, such as a binding for another language, calls asynq_enqueue_sized() and
 * gives NULL for the sizes if its structs are those of the library it runs with. docs/abi.md has the rules.
 */
#ifndef ASYNQ_SIZES_H
#define ASYNQ_SIZES_H

#include <stddef.h>

#define ASYNQ_SIZED_API __attribute__((visibility("default")))
/* Of calls that are macros in programs: not exported under their own names. */
#define ASYNQ_SIZED
#define ASYNQ_UNUSED __attribute__((unused))

/* The headers with structs: places in `of` of asynq_sizes. */
enum {
    ASYNQ_SIZES_CLIENT = 0,
    ASYNQ_SIZES_SERVER = 1,
    ASYNQ_SIZES_SCHEDULER = 2,
    ASYNQ_SIZES_INSPECTOR = 3,
    ASYNQ_SIZES_FSCK = 4,
    ASYNQ_SIZES_SEMAPHORE = 5,
    ASYNQ_SIZES_PLUGIN = 6,
    ASYNQ_SIZES_COUNT = 8
};

/*
 * The sizes of the structs that a program was compiled with. Calls that take or fill structs pass them to the library,
 * so that program and library can be of different versions; C and C++ programs do nothing for it. A binding for another
 * language calls the function whose name ends with `_sized` and passes NULL, if its structs are those of the library
 * that it runs with.
 *
 * For each header: how many sizes follow, and the sizes in the order of the header's own list, to which new structs are
 * appended. NULL: the program did not include that header.
 */
typedef struct asynq_sizes {
    const size_t *of[ASYNQ_SIZES_COUNT];
} asynq_sizes;

#endif
