/*
 * Files that live as long as a call, in a directory of this process. They are written and removed by a thread, as the
 * disk may be slow or hang. Thread: the loop's.
 *
 * The directory is locked as long as its process lives; without its lock it is what one has left that was killed, and
 * the next asynqd of the same user removes it.
 */
#ifndef PROCESS_CALL_FILES_H
#define PROCESS_CALL_FILES_H

#include "base/bytes.h"
#include "base/log.h"
#include "event/loop.h"

#include <asynq/error.h>
#include <sys/types.h>

typedef struct call_files call_files;
typedef struct call_file call_file;

/* Makes the directory in $TMPDIR, or /tmp. NULL with `error`. */
call_files *call_files_new(loop *l, log_sink *log, asynq_error *error);
/* All files must be removed, or on their way. Accepts NULL. */
void call_files_free(call_files *files);

typedef struct call_file_options {
    bytes content;  /* stays until `written` */
    bool has_owner; /* another user's than ours */
    uid_t uid;
    gid_t gid;
    void (*written)(void *arg, int problem); /* errno; 0: it is there */
    void *arg;
} call_file_options;

/* Writes a file that only its owner can read; `written` follows. NULL: out of memory. */
call_file *call_file_write(call_files *files, const call_file_options *options);
/* Once it is written, or could not be. */
const char *call_file_path(const call_file *file);
void call_file_remove(call_file *file);

#endif
