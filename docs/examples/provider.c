/* A scheduler with entries from a database, beside one of its own, in a program that has other things to do. */
#include <asynq/scheduler.h>
#include <stdio.h>

struct row {
    const char *name, *spec, *type;
};
const struct row *next_row(void *database);
void other_work(void);

static int provide(asynq_periodic_list *list, void *database, asynq_error *error)
{
    const struct row *row;
    while ((row = next_row(database))) {
        asynq_periodic entry = {.name = row->name, .spec = row->spec, .task = {.type = row->type}};
        if (asynq_periodic_list_add(list, &entry, error))
            fprintf(stderr, "%s: %s\n", row->name, error->text); /* left out; the others are scheduled */
    }
    return 0; /* or ASYNQ_PROVIDER_UNCHANGED */
}

int schedule(void *database, const char *former_entry)
{
    asynq_error error;
    asynq_scheduler *scheduler =
        asynq_scheduler_new(&(asynq_scheduler_options){.provide = provide, .provide_arg = database}, &error);
    if (!scheduler || asynq_scheduler_start(scheduler, &error) || asynq_scheduler_ping(scheduler, 5000, &error)) {
        asynq_scheduler_free(scheduler);
        return error.code;
    }
    if (asynq_scheduler_unregister(scheduler, former_entry, &error) == ASYNQ_E_NOT_FOUND)
        fprintf(stderr, "there is no such entry\n");
    other_work();
    if (asynq_scheduler_sync(scheduler, &error)) /* now, instead of in three minutes */
        fprintf(stderr, "%s\n", error.text);
    asynq_scheduler_shutdown(scheduler);
    asynq_scheduler_free(scheduler);
    return 0;
}
