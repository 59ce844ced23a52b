/* A log of a program's own, with a level from its configuration. */
#include <asynq/asynq.h>
#include <stdio.h>

static void log_line(asynq_log_level level, const char *text, void *file)
{
    if (level == ASYNQ_LOG_ERROR)
        asynq_log_to_stderr(level, text, NULL);
    fprintf(file, "%s %s\n", asynq_log_level_name(level), text); /* a file; a terminal needs escapes */
}

asynq_client *make_client(const char *level, FILE *file, asynq_error *error)
{
    asynq_client_options options = {.log = log_line, .log_arg = file};
    if (asynq_log_level_parse(level, &options.log_level, error))
        return NULL;
    return asynq_client_new(&options, error);
}
