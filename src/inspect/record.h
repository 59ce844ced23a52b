/* For the files of this folder that read records of servers and schedulers. */
#ifndef INSPECT_RECORD_H
#define INSPECT_RECORD_H

#include "inspect/inspect.h"
#include "wire/record.h"

/* Reads the records of one index; each record is one command whose reply goes to `visit`. */
typedef int (*record_cb)(void *arg, const redis_value *reply, asynq_error *error);
ASYNQ_MUST_CHECK int inspect_each_record(asynq_inspector *inspector, global_key index, const char *const *command,
                                         size_t command_words, record_cb visit, void *arg, asynq_error *error);

/* Unix time in ms; 0: never. */
int64_t inspect_ms_of(record_time at);

/*
 * What a reader of records returns for one that cannot be decoded: 0, as Go leaves it out, unless memory ran out.
 * `error` may be NULL.
 */
int inspect_left_out(int status, asynq_error *error);

/* A copy with a NUL behind; marks `failed` instead of returning NULL. */
const char *inspect_copy(arena *into, bytes text, bool *failed);

#endif
