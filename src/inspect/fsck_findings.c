/* What fsck tells, and the names of faults. See fsck.h. */
#include "inspect/fsck.h"

#include "base/error.h"

static const char *const fault_names[] = {
    [ASYNQ_FAULT_NO_TASK] = "member-without-task",
    [ASYNQ_FAULT_LOST] = "task-in-no-set",
    [ASYNQ_FAULT_TWICE] = "task-twice",
    [ASYNQ_FAULT_STATE] = "wrong-state",
    [ASYNQ_FAULT_NO_LEASE] = "active-without-lease",
    [ASYNQ_FAULT_LEASE] = "lease-without-active",
    [ASYNQ_FAULT_UNREADABLE] = "unreadable-task",
    [ASYNQ_FAULT_TYPE] = "wrong-type",
    [ASYNQ_FAULT_LOCK] = "stale-lock",
    [ASYNQ_FAULT_GROUP] = "unlisted-group",
    [ASYNQ_FAULT_EMPTY_GROUP] = "empty-group",
    [ASYNQ_FAULT_AGGREGATION] = "stale-aggregation-set",
    [ASYNQ_FAULT_NO_TTL] = "missing-ttl",
    [ASYNQ_FAULT_QUEUE] = "unregistered-queue",
    [ASYNQ_FAULT_RECORD] = "stale-record",
    [ASYNQ_FAULT_NOT_KEPT] = "unusable-queue",
};

enum { FAULTS_END = sizeof fault_names / sizeof *fault_names };

const char *asynq_fault_name(asynq_fault fault)
{
    return (int)fault > 0 && (int)fault < FAULTS_END ? fault_names[fault] : "unknown";
}

static asynq_fault fault_of_name(bytes name)
{
    for (int i = 1; i < FAULTS_END; i++)
        if (bytes_equal(bytes_of(fault_names[i]), name))
            return (asynq_fault)i;
    return 0;
}

uint64_t fsck_fingerprint(char kind, bytes text)
{
    uint64_t hash = (UINT64_C(14695981039346656037) ^ (unsigned char)kind) * UINT64_C(1099511628211); /* FNV-1a */
    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    return hash;
}

int fsck_report(fsck *f, const asynq_finding *finding)
{
    uint64_t fingerprint = fsck_fingerprint('t', bytes_of(finding->key));
    fsck_told *told;
    HASH_FIND(hh, f->told, &fingerprint, sizeof fingerprint, told);
    if (told)
        return ASYNQ_OK;
    told = arena_alloc(&f->names, sizeof *told);
    if (!told)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    *told = (fsck_told){.fingerprint = fingerprint};
    HASH_ADD(hh, f->told, fingerprint, sizeof fingerprint, told);
    if (!HASH_HAS(told))
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    f->result->findings++;
    f->result->repaired += *finding->repaired != '\0';
    if (f->found && !f->found(finding, f->arg))
        f->stopped = true;
    return ASYNQ_OK;
}

int fsck_report_result(fsck *f, const fsck_queue *queue, bytes id, bytes key, const check_result *result,
                       const char *detail)
{
    arena texts;
    if (!result->fault.length)
        return ASYNQ_OK;
    arena_init(&texts, 0);
    asynq_finding finding = {
        .fault = fault_of_name(result->fault),
        .queue = queue->name,
        .task_id = arena_dup(&texts, id.data, id.length),
        .key = arena_dup(&texts, key.data, key.length),
        .detail = detail,
        .repaired = arena_dup(&texts, result->repaired.data, result->repaired.length),
    };
    int status = finding.task_id && finding.key && finding.repaired ? fsck_report(f, &finding)
                                                                    : error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    arena_clear(&texts);
    return status;
}

void fsck_clear_findings(fsck *f)
{
    fsck_told *told, *next;
    HASH_ITER(hh, f->told, told, next)
        HASH_DEL(f->told, told);
}
