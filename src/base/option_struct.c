/* See option_struct.h. */
#include "base/option_struct.h"

#include "base/error.h"

#include <string.h>

size_t option_struct_size(const void *given, size_t version_1_size)
{
    size_t size = 0;
    memcpy(&size, given, sizeof size);
    return size ? size : version_1_size;
}

int option_struct_import(void *known, size_t known_size, const void *given, size_t version_1_size, const char *name,
                         asynq_error *error)
{
    memset(known, 0, known_size);
    if (!given)
        return ASYNQ_OK;
    size_t size = option_struct_size(given, version_1_size);
    if (size < sizeof size)
        return error_set(error, ASYNQ_E_INVALID, "%s.size is %zu; set it with the INIT macro", name, size);
    memcpy(known, given, size < known_size ? size : known_size);
    for (size_t i = known_size; i < size; i++)
        if (((const char *)given)[i])
            return error_set(error, ASYNQ_E_INVALID,
                             "%s has a field set at offset %zu that this version of libasynq does not know", name, i);
    return ASYNQ_OK;
}
