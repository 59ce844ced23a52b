/* A spool from inside: spool.c opens and writes it, spool_read.c reads it. */
#ifndef PG_SPOOL_STATE_H
#define PG_SPOOL_STATE_H

#include "pg/spool.h"
#include "pg/spool_folder.h"

#include <pthread.h>

enum { SPOOL_SEGMENT_BYTES = 4 << 20 };

/* What the reader is in the middle of, that is no line. */
typedef enum spool_skipping {
    SKIP_NOTHING,
    SKIP_ZEROS, /* as a machine that lost power leaves them; what follows may be a line */
    SKIP_LINE   /* that is too long for one of ours, up to its end */
} spool_skipping;

/* What spool_read() returned last, and passed over. */
typedef struct spool_taken {
    int64_t bytes, lines, unreadable;
    spool_skipping skipping; /* behind it */
} spool_taken;

struct spool {
    spool_folder folder;
    char *name;
    int64_t max_bytes;

    /* The reader's; `first` is written under the lock. */
    int64_t first; /* the segment that is read */
    int read_fd;   /* -1: not open */
    int64_t read_at;
    spool_skipping skipping; /* at read_at */
    spool_taken taken;

    /* The writer's. */
    pthread_t writer;
    bool has_writer; /* false for one that was adopted */
    spool_written_cb written;
    void *arg;
    buf chunk;           /* being written */
    asynq_error trouble; /* code: the folder could not be made, and is tried again */

    pthread_mutex_t lock; /* of what follows; nobody waits for the disk under it */
    pthread_cond_t more, idle;
    buf pending; /* lines that the writer has not taken */
    int64_t pending_lines;
    bool is_writing, is_ending;
    bool has_failed;     /* the last chunk was not written: room on the disk is worth a file */
    const char *problem; /* why a line was not taken, for the writer to tell; NULL: none */
    int64_t last;        /* the segment that is written, or was last; 0: the next one is `first` */
    int write_fd;        /* -1: a new segment is needed. While it writes, the writer's alone */
    int64_t last_bytes;  /* in it */
    int64_t used_bytes;  /* of the room: in all segments, and pending */
    spool_stats stats;
};

#endif
