/* Commands as Redis reads them: an array of strings. Thread: any. */
#ifndef REDIS_COMMAND_H
#define REDIS_COMMAND_H

#include <stddef.h>

/* Bytes of the command with these arguments. */
size_t redis_command_size(int count, const size_t *lengths);

/* Writes so many bytes to `out`. */
void redis_command_write(char *out, int count, const char *const *argv, const size_t *lengths);

#endif
