/* Where a program may be, as execvp(3) looks for it: one way for starting it, for checking it, and for watching it. */
#ifndef PROCESS_SEARCH_PATH_H
#define PROCESS_SEARCH_PATH_H

#include "base/buf.h"

/*
 * Appends the paths to be tried, each with its NUL byte: the name itself if it has a slash, else one for each folder of
 * the PATH of the environment, whose list ends with NULL. The one of an empty folder is the name, in the directory that
 * the process runs in. Without memory the buffer fails.
 */
void search_path_list(const char *const *environment, const char *name, buf *paths);

/* The path behind this one; NULL: there is no other. The first one: `path` NULL. */
const char *search_path_next(const buf *paths, const char *path);

#endif
