/* A scheduler with one entry: a report on each working day. */
#include <asynq/asynq.h>
#include <stdio.h>

int main(void)
{
    asynq_error error;
    asynq_scheduler *scheduler =
        asynq_scheduler_new(&(asynq_scheduler_options){.zone = "Europe/Berlin", .log = asynq_log_to_stderr}, &error);
    asynq_periodic report = {.spec = "30 6 * * mon-fri",
                             .task = {.type = "report:daily", .options = {.queue = "low"}},
                             .name = "daily report",
                             .catch_up = ASYNQ_CATCH_UP_ONCE};
    char id[ASYNQ_ENTRY_ID_SIZE];
    int status = !scheduler || asynq_scheduler_register(scheduler, &report, id, &error) ||
                 asynq_scheduler_run(scheduler, &error); /* until TERM or INT */
    if (status)
        fprintf(stderr, "%s\n", error.text);
    asynq_scheduler_free(scheduler);
    return status;
}
