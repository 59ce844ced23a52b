/* What processes use, as /proc tells. Reading it takes tens of microseconds a process. Thread: any. */
#ifndef METRICS_PROC_H
#define METRICS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proc_usage {
    double cpu_s;   /* user and system, since it began */
    double began_s; /* since the machine was started */
    int64_t resident_bytes, virtual_bytes;
} proc_usage;

/* False: there is no such process, or /proc does not tell. */
bool proc_read(pid_t pid, proc_usage *usage);

/* The same as Unix time. 0: not known. */
double proc_started_at_s(const proc_usage *usage);

/* Of this process: descriptors that are open, below 0 if that is not known, and how many may be. */
typedef struct proc_files {
    int64_t open, max;
} proc_files;
proc_files proc_read_files(void);

#endif
