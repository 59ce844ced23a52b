/* See resources.h. */
#include "handler/resources.h"

#include "base/alloc.h"

#include <limits.h>

struct resources {
    shortage *of_processes, *of_all;
    asynq_capacity *processes; /* as large as anybody wants, but for a shortage */
};

static int64_t resources_running(void *arg)
{
    const resources *r = arg;
    return asynq_capacity_in_use(r->processes);
}

static void resources_changed(void *arg)
{
    const resources *r = arg;
    int64_t limit = shortage_limit(r->of_processes);
    asynq_capacity_set_max(r->processes, limit < INT_MAX ? (int)limit : INT_MAX);
}

resources *resources_new(const shortage_options *options)
{
    resources *r = mem_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    shortage_options own = *options;
    own.running = resources_running;
    own.changed = resources_changed;
    own.arg = r;
    r->processes = asynq_capacity_new(INT_MAX);
    r->of_processes = shortage_new(&own);
    r->of_all = shortage_new(options);
    if (r->processes && r->of_processes && r->of_all)
        return r;
    resources_free(r);
    return NULL;
}

void resources_free(resources *r)
{
    if (!r)
        return;
    shortage_free(r->of_processes);
    shortage_free(r->of_all);
    asynq_capacity_free(r->processes);
    mem_free(r);
}

void resources_tell(resources *r, bool for_process, const char *what, int problem)
{
    shortage_tell(for_process ? r->of_processes : r->of_all, what, problem);
}

asynq_capacity *resources_processes(const resources *r)
{
    return r->processes;
}

int64_t resources_limit(const resources *r)
{
    return shortage_limit(r->of_all);
}

const char *resources_problem(const resources *r)
{
    const char *of_all = shortage_problem(r->of_all);
    return of_all ? of_all : shortage_problem(r->of_processes);
}

bool resources_are_paused(const resources *r)
{
    return shortage_is_paused(r->of_all);
}
