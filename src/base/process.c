/* See process.h. */
#include "base/process.h"

#include "base/error.h"

#include <unistd.h>

int process_check(pid_t owner, const char *what, asynq_error *error)
{
    if (!owner || owner == getpid())
        return ASYNQ_OK;
    return error_set(error, ASYNQ_E_STATE, "this %s was used before a fork; make a new one in the child", what);
}
