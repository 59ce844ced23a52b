/* Prints the version and all errors that a call can return. */
#include <asynq/asynq.h>
#include <stdio.h>

#if !ASYNQ_VERSION_AT_LEAST(0, 1, 0)
#error "libasynq is too old"
#endif

#define PRINT(name, number, is_temporary, text)                                                                        \
    printf("%s: %s%s\n", asynq_status_name(number), asynq_status_text(number),                                         \
           asynq_status_is_retryable(number) ? " (temporary)" : "");

int main(void)
{
    printf("compiled with %s, runs with %s\n", ASYNQ_VERSION, asynq_version());
    ASYNQ_ERROR_MAP(PRINT)
    return 0;
}
