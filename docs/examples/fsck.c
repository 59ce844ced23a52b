/* Checks Redis, repairs what is wrong, and prints what is in quarantine. */
#include <asynq/fsck.h>
#include <stdio.h>

static bool print_finding(const asynq_finding *finding, void *arg)
{
    (void)arg;
    printf("%s: %s: %s\n", asynq_fault_name(finding->fault), finding->key, finding->detail);
    return true; /* false would stop it */
}

static bool print_entry(const asynq_quarantined *entry, void *arg)
{
    (void)arg;
    printf("%s: %s\n", entry->name, entry->reason);
    return true;
}

int check(asynq_inspector *inspector, asynq_error *error)
{
    asynq_fsck_result result;
    asynq_fsck_options options = {.repair = true};
    if (asynq_inspector_fsck(inspector, &options, print_finding, NULL, &result, error))
        return error->code;
    printf("%lld faults in %lld keys\n", (long long)result.findings, (long long)result.keys);
    if (asynq_inspector_quarantine(inspector, "default", print_entry, NULL, error))
        return error->code;
    return asynq_inspector_quarantine_delete(inspector, "default", "t:one", error);
}
