/* The version of the library that a program runs with. */
#include <asynq/version.h>

const char *asynq_version(void)
{
    return ASYNQ_VERSION;
}
