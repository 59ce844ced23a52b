/*
 * The program of a pool of worker processes, as far as it consists of files: whether it has changed. Thread: any, which
 * may have to wait for a disk.
 */
#ifndef PROCESS_WORKER_PROGRAM_H
#define PROCESS_WORKER_PROGRAM_H

#include "process/worker_options.h"

/*
 * Looks at the files that a program is made of: those of argv that there are, argv[0] as it would be found, and what
 * `watch` names. Sets `stamp`, which is another one when one of them has changed. Returns 0, or a complaint about
 * `watch`.
 */
int worker_program_prepare(settings *file, settings_node *node, worker_options *options, asynq_error *error);
/* Likewise, without `watch`. */
uint64_t worker_program_stamp(const worker_options *options);

#endif
