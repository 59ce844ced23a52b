/*
 * What a configuration says about the process of a command or of a worker: its environment, folder, user and limits. It
 * lives in the memory of its settings. Thread: any.
 */
#ifndef PROCESS_PROCESS_H
#define PROCESS_PROCESS_H

#include "base/settings.h"
#include "process/child.h"

/* What a process may have. */
typedef struct process_options {
    setting_list inherit;    /* names of variables */
    setting_pairs variables; /* set by us */
    const char *directory;
    const char *user;
    setting_pairs limits;

    /* Made by process_prepare(). */
    child_user found_user;
    child_limit *found_limits;
    size_t limit_count;
    bool is_remote; /* remote_files_are_needed(), for whoever knows the program to set */
} process_options;

extern const setting process_table[];

int process_prepare(settings *file, settings_node *node, process_options *options, asynq_error *error);

/* What of it concerns the start of a child; the rest is the caller's to set. The texts are borrowed. */
child_options process_child_options(const process_options *options);

/* Its environment, ending with NULL; `own` are further "NAME=value" texts, ending with NULL. In `memory`. */
const char *const *process_environment(const process_options *options, const char *const *own, arena *memory);

#endif
