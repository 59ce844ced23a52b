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

enum { SPOOL_LINE_MOST = 128 * 1024 };

/* Told after each write: there is more to be read. `problem`: why lines were lost; NULL: none were. Thread: its own. */
typedef void (*spool_written_cb)(void *arg, const char *problem);

/*
 * Makes the folder `parent`/`name` with what is needed above it, and locks it. `most_bytes` bounds what waits. Returns
 * NULL and fills `error` (ASYNQ_E_SYSTEM, ASYNQ_E_NO_MEMORY).
 */
spool *spool_open(const char *parent, const char *name, int64_t most_bytes, spool_written_cb written, void *arg,
                  asynq_error *error);

/*
 * The next folder in `parent` that nobody has locked any more, for reading alone; NULL: there is none.
 */
spool *spool_adopt(const char *parent);

const char *spool_name(const spool *s);

/*
 * Adds a line, which is without a line end. What announces another line (`is_first`) gets only 7/8 of the room, so that
 * the other one has some left. False: it is lost, as there is no room. Thread: any.
 */
bool spool_append(spool *s, const char *line, size_t length, bool is_first);

/* Waits until what was added is written. Thread: any. */
void spool_flush(spool *s);

/*
 * Appends the next lines to `out`, separated by commas, and returns how many they are, at most `most`; 0: there are
 * none. They come again until spool_advance() is called.
 */
size_t spool_read(spool *s, size_t most, buf *out);
/* What was read last need not be kept. */
void spool_advance(spool *s);

typedef struct spool_stats {
    int64_t bytes; /* that wait */
    int64_t lines; /* that wait; those of adopted folders are not counted before they are read */
    int64_t lost;  /* lines that there was no room for */
} spool_stats;

/* Thread: any. */
void spool_get_stats(spool *s, spool_stats *stats);

/* Removes the folder if nothing waits in it. Accepts NULL. */
void spool_close(spool *s);

#endif
