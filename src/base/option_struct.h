/*
 * Option structs of the public interface begin with their size, so that fields can be added at the end: a program
 * built against an older header gives fewer fields, which then are zero (the default); one built against a newer
 * header may give fields that we do not know, which must be zero. Size 0 means the struct as of version 1.
 */
#ifndef BASE_OPTION_STRUCT_H
#define BASE_OPTION_STRUCT_H

#include <asynq/error.h>
#include <stddef.h>

/* What a caller's struct really spans. */
size_t option_struct_size(const void *given, size_t version_1_size);

/*
 * Copies `given` (NULL: all zero) to `known`, which has `known_size` bytes. Returns 0, or ASYNQ_E_INVALID if a field
 * is set that this library is too old for.
 */
ASYNQ_MUST_CHECK int option_struct_import(void *known, size_t known_size, const void *given, size_t version_1_size,
                                          const char *name, asynq_error *error);

#endif
