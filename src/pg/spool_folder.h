/*
 * The folder of a spool: segments, 00000001.jsonl and on, and a lock that its owner has. What has anything else in it
 * is none of ours.
 */
#ifndef PG_SPOOL_FOLDER_H
#define PG_SPOOL_FOLDER_H

#include <asynq/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct spool_folder {
    char *path;      /* owned */
    int fd, lock_fd; /* -1: not open */
} spool_folder;

/* Which segments there are; all 0: none. */
typedef struct spool_survey {
    int64_t first, last, bytes;
} spool_survey;

/* False: out of memory. */
bool spool_folder_init(spool_folder *folder, const char *parent, const char *name);
/* Gives the lock up. */
void spool_folder_clear(spool_folder *folder);

/*
 * Makes the folder, with what is needed above it, and locks it. Returns 0, or ASYNQ_E_SYSTEM or _NO_MEMORY. If one is
 * open, the new one takes its place: the descriptors keep their numbers, as another thread may be using them.
 */
ASYNQ_MUST_CHECK int spool_folder_make(spool_folder *folder, asynq_error *error);
/* Whether the path still leads to the folder that is open, and the lock is in it. */
bool spool_folder_is_there(const spool_folder *folder);
/* Locks one that is there, and that nobody has locked. False: it is in use, or is no spool. */
bool spool_folder_adopt(spool_folder *folder);

spool_survey spool_folder_survey(const spool_folder *folder);

/* A descriptor, or -1 and errno. */
int spool_folder_open(const spool_folder *folder, int64_t segment, int flags);
void spool_folder_unlink(const spool_folder *folder, int64_t segment);
/* The first segment behind this one; 0: there is none; -1 and errno: it cannot be told. */
int64_t spool_folder_next(const spool_folder *folder, int64_t segment);
/* With all that is in it. */
void spool_folder_remove(const spool_folder *folder);

#endif
