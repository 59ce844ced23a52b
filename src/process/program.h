/* The program of a process, as it is named in a configuration: whether it is there. Thread: any. */
#ifndef PROCESS_PROGRAM_H
#define PROCESS_PROGRAM_H

#include "handler/outside.h"
#include "process/process.h"

/* By its name in the PATH that its process gets, or by its path. NULL and placeholders are passed over. */
void program_look(const outside *to, const process_options *options, const char *name);
/* `argv: "echo hello"` is one word, which is no program; there are such with a space in their path. NULL: it is fine.
 */
const char *program_check_words(const setting_list *argv);

#endif
