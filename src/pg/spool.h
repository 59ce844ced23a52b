/*
 * Lines that wait on disk until they are in the database, so that neither a database that is away nor the end of this
 * process loses them: a folder of segments, 00000001.jsonl and on, in the order in which they were written. The folder
 * is locked by its owner; one whose owner has died can be adopted.
 *
 *   spool_append(), any thread --memory--> the spool's own thread --segments--> spool_read(), one reader
 *
 * Nobody waits for the disk but the spool's own thread, which writes at once what there is. What was written stays when
 * the process is killed; it is not forced to the disk, so a machine that loses power can lose the last seconds.
 */
#ifndef PG_SPOOL_H
#define PG_SPOOL_H

#include "base/buf.h"

#include <stdint.h>

typedef struct spool spool;

enum { SPOOL_MAX_LINE = 128 * 1024 };

/* Why lines are lost. */
typedef enum spool_loss {
    SPOOL_FULL,
    SPOOL_DISK_SLOW, /* more came than the disk takes, and memory has its bounds */
    SPOOL_WRITE_FAILED,
    SPOOL_NO_MEMORY,
    SPOOL_UNREADABLE, /* torn by a crash, overwritten, or taken away; each piece counts as one line */
    SPOOL_LOSSES
} spool_loss;

/* For labels: "spool_full". */
const char *spool_loss_name(spool_loss loss);

/* Told after each write: there is more to be read. `problem`: why lines were lost; NULL: none were. Thread: its own. */
typedef void (*spool_written_cb)(void *arg, const char *problem);

/*
 * Makes the folder `parent`/`name` with what is needed above it, and locks it. `max_bytes` bounds what waits. If the
 * folder cannot be made, `error` says why (ASYNQ_E_SYSTEM), and that is tried again with each write; until then lines
 * are lost. NULL: there was no memory, or no thread.
 */
spool *spool_open(const char *parent, const char *name, int64_t max_bytes, spool_written_cb written, void *arg,
                  asynq_error *error);

/*
 * The next spool in `parent` that nobody has locked any more, for reading alone; NULL: there is none. Folders in which
 * there is anything else than a lock and segments are left alone.
 */
spool *spool_adopt(const char *parent);

const char *spool_name(const spool *s);

/*
 * Adds a line, which is without a line end. What announces another line (`is_first`) gets only 7/8 of the room, so that
 * the other one has some left. False: it is lost, as there is no room. Thread: any.
 */
bool spool_append(spool *s, const char *line, size_t length, bool is_first);

/* Counts a line that could not even be made. Thread: any. */
void spool_count_lost(spool *s, spool_loss loss);

/* Waits until what was added is written. Thread: any. */
void spool_flush(spool *s);

/*
 * Appends the next lines to `out`, separated by commas, and returns how many they are, at most `max`; 0: there are
 * none, or `problem` says why they cannot be read now. They come again until spool_advance() is called.
 */
size_t spool_read(spool *s, size_t max, buf *out, const char **problem);
/* What was read last need not be kept. */
void spool_advance(spool *s);

typedef struct spool_stats {
    int64_t bytes; /* that wait */
    int64_t lines; /* that wait; those of adopted folders are not counted before they are read */
    int64_t lost[SPOOL_LOSSES];
} spool_stats;

/* Thread: any. */
void spool_get_stats(spool *s, spool_stats *stats);

/* Removes the folder if nothing waits in it. Accepts NULL. */
void spool_close(spool *s);

#endif
