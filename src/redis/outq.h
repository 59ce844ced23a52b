/*
 * Bytes on their way out: small commands share a piece, a large one has its own, and all leave gathered in few calls.
 * What was sent goes without moving the rest. Thread: that of its owner.
 */
#ifndef REDIS_OUTQ_H
#define REDIS_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct outq_piece outq_piece;

typedef struct redis_outq {
    outq_piece *first, **end;
    size_t first_sent;           /* bytes of the first piece that are gone */
    size_t length;               /* bytes that wait */
    uint64_t queued_to, sent_to; /* positions in the stream since the start */
} redis_outq;

void redis_outq_init(redis_outq *q);
/* Drops what waits and starts a new stream. */
void redis_outq_reset(redis_outq *q);

/* Room for so many bytes at the end, to be filled by the caller at once. NULL: out of memory. */
char *redis_outq_reserve(redis_outq *q, size_t length);

/* The first bytes, as up to `max` parts. Returns how many parts. */
size_t redis_outq_gather(const redis_outq *q, struct iovec *parts, size_t max);
void redis_outq_drop(redis_outq *q, size_t length);

/* Gives as much to the socket as it takes now. False: an error, in errno. */
bool redis_outq_send(redis_outq *q, int fd);

#endif
