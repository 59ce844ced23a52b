/* Prints when a cron specification is due next. */
#include <asynq/cron.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char **argv)
{
    asynq_error error;
    asynq_cron *cron = asynq_cron_new(argc > 1 ? argv[1] : "30 9 * * mon-fri", "Europe/Berlin", &error);
    if (!cron) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int64_t at_ms = asynq_cron_next_ms(cron, time(NULL) * INT64_C(1000));
    if (at_ms == ASYNQ_NONE)
        printf("never\n");
    else
        printf("%lld s after 1970, in %s\n", (long long)at_ms / 1000, asynq_cron_zone(cron));
    asynq_cron_free(cron);
    return 0;
}
