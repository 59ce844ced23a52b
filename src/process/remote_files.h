/*
 * Whether what a process needs for its start is on a file system that can keep it waiting, as one on another machine
 * can or one that a program provides.
 */
#ifndef PROCESS_REMOTE_FILES_H
#define PROCESS_REMOTE_FILES_H

#include "process/process.h"

/*
 * Looks at the working directory, and wherever the program may be in the PATH. It waits for such a file system itself.
 * What cannot be looked at counts as here. Thread: any.
 */
bool remote_files_are_needed(const process_options *options, const char *program);

#endif
