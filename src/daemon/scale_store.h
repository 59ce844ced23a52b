/*
 * The samples of a fleet in Redis: a sorted set by time, for all who serve the same queues. One asynqd at a time adds
 * to it: the one that has the turn, a key that ends by itself.
 *
 *     TIME -> is it our turn? -> what there is -> look at queues and servers -> ZADD
 *
 * What is not a sample is passed over: anybody may have written it. Thread: that of the inspector. Each call waits for
 * Redis. Errors are those of the inspector.
 */
#ifndef DAEMON_SCALE_STORE_H
#define DAEMON_SCALE_STORE_H

#include "daemon/scale.h"
#include "inspect/inspect.h"

typedef struct scale_store {
    asynq_inspector *inspector;
    const setting_pairs *queues;
    int64_t keep_ms;     /* how long samples are of use */
    int64_t now_ms;      /* Redis's clock when it was opened */
    buf samples, turn;   /* names of the keys */
    size_t ignored;      /* by the last reading */
    const char *problem; /* with the last of those */
} scale_store;

/* All is borrowed. The caller closes it in any case. */
ASYNQ_MUST_CHECK int scale_store_open(scale_store *s, asynq_inspector *inspector, const setting_pairs *queues,
                                      int64_t keep_ms, asynq_error *error);
void scale_store_close(scale_store *s);

/* Whether it is the turn of the one with this id, for so long from now on. */
ASYNQ_MUST_CHECK int scale_store_take_turn(scale_store *s, const char *id, int64_t life_ms, bool *is_ours,
                                           asynq_error *error);

/* The newest samples, the oldest of them first, with room for one more; they live in `memory`. */
ASYNQ_MUST_CHECK int scale_store_read(scale_store *s, arena *memory, scale_sample **samples, size_t *count,
                                      asynq_error *error);

/* How things are now: all but what follows from other samples. */
ASYNQ_MUST_CHECK int scale_store_look(scale_store *s, arena *memory, scale_sample *sample, asynq_error *error);

/* Adds one, and forgets those that are too old, or of the future. */
ASYNQ_MUST_CHECK int scale_store_add(scale_store *s, const scale_sample *sample, asynq_error *error);

#endif
