/* See usage.h. */
#include "daemon/usage.h"

#include "base/alloc.h"
#include "daemon/meters.h"

#include <unistd.h>

typedef struct usage_row {
    pid_t pid;
    bool is_known;
    proc_usage read;
} usage_row;

struct usage {
    usage_row own;
    double started_at_s;
    proc_files files;
    size_t count, next;
    usage_row rows[]; /* of the pools */
};

static void add_process(worker_process *process, void *arg)
{
    usage *u = arg;
    u->rows[u->count++].pid = child_pid(process->child);
}

usage *usage_begin(worker_pools *pools)
{
    size_t processes = pools ? worker_pools_each(pools, NULL, NULL) : 0;
    usage *u = mem_calloc(1, sizeof *u + processes * sizeof *u->rows);
    if (!u)
        return NULL;
    u->own.pid = getpid();
    u->files = (proc_files){-1, -1};
    if (pools)
        worker_pools_each(pools, add_process, u);
    return u;
}

void usage_read(usage *u)
{
    u->own.is_known = proc_read(u->own.pid, &u->own.read);
    u->started_at_s = u->own.is_known ? proc_started_at_s(&u->own.read) : 0;
    u->files = proc_read_files();
    for (size_t i = 0; i < u->count; i++)
        u->rows[i].is_known = proc_read(u->rows[i].pid, &u->rows[i].read);
}

/* They stand in the order in which they are visited again, but for those that have come and gone. */
static void note_process(worker_process *process, void *arg)
{
    usage *u = arg;
    pid_t pid = child_pid(process->child);
    size_t at = u->next;
    while (at < u->count && u->rows[at].pid != pid)
        at++;
    if (at == u->count)
        return;
    u->next = at + 1;
    if (!u->rows[at].is_known)
        return;
    process->cpu_s = u->rows[at].read.cpu_s;
    process->resident_bytes = u->rows[at].read.resident_bytes;
}

static void usage_set(metrics *m, meter which, double value)
{
    static const char *const none[METRIC_MAX_LABELS] = {0};
    metrics_set(m, which, none, value);
}

static void measure_own(const usage *u, metrics *m)
{
    if (u->own.is_known) {
        usage_set(m, METER_PROCESS_CPU, u->own.read.cpu_s);
        usage_set(m, METER_PROCESS_RESIDENT, (double)u->own.read.resident_bytes);
        usage_set(m, METER_PROCESS_VIRTUAL, (double)u->own.read.virtual_bytes);
    }
    if (u->started_at_s > 0)
        usage_set(m, METER_PROCESS_STARTED, u->started_at_s);
    if (u->files.open >= 0)
        usage_set(m, METER_PROCESS_FILES, (double)u->files.open);
    usage_set(m, METER_PROCESS_MAX_FILES, (double)u->files.max);
}

void usage_end(usage *u, worker_pools *pools, metrics *meters)
{
    if (!u)
        return;
    measure_own(u, meters);
    if (pools)
        worker_pools_each(pools, note_process, u);
    mem_free(u);
}
