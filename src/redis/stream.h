/*
 * A connected socket as a stream of commands and replies:
 *
 *   commands --> outq --> [TLS] --> sendmsg          (once per turn of the loop)
 *   replies  <-- hiredis's reader <-- [TLS] <-- recv
 *
 * It knows nothing of what they mean. Thread: loop.
 */
#ifndef REDIS_STREAM_H
#define REDIS_STREAM_H

#include "event/watch.h"
#include "redis/outq.h"
#include "redis/reply.h"
#include "redis/tls.h"

typedef struct redis_stream_events {
    void (*reply)(void *arg, const redis_value *value); /* may close the stream */
    void (*lost)(void *arg, const asynq_error *error);  /* the stream is of no use any more; close it */
    void *arg;
} redis_stream_events;

typedef struct redis_stream {
    loop *loop;
    redis_stream_events events;
    int fd; /* -1: closed */
    loop_watch watch;
    redis_tls *tls;
    redis_outq out;       /* commands */
    redis_outq encrypted; /* what TLS made of them */
    buf decrypted;
    redis_reader *reader;
    bool has_heard;      /* a reply, or a part of one, has come on this socket */
    int64_t heard_at_ms; /* steady clock */
} redis_stream;

void redis_stream_init(redis_stream *stream, loop *l, const redis_stream_events *events);
void redis_stream_clear(redis_stream *stream);

/* Takes the socket over, also when it fails: it is to be closed then. `uri` says whether and how TLS is used. */
ASYNQ_MUST_CHECK int redis_stream_open(redis_stream *stream, int fd, const redis_uri *uri, asynq_error *error);

/* `drop`: what the kernel has not delivered yet shall never arrive. What waits to be sent stays until the next
 * opening, for redis_stream_has_sent(). */
void redis_stream_close(redis_stream *stream, bool drop);

/* Queues a command. Returns the position of its end in what is sent on this socket; 0: out of memory. */
uint64_t redis_stream_queue(redis_stream *stream, int count, const char *const *argv, const size_t *lengths);

/* The command that ends there has been given to the kernel, or to TLS, as a whole. */
static inline bool redis_stream_has_sent(const redis_stream *stream, uint64_t end)
{
    return end <= stream->out.sent_to;
}

static inline size_t redis_stream_waiting(const redis_stream *stream)
{
    return stream->out.length;
}

/* Gives the socket what it takes now. If it takes nothing any more, this reads what has come, then reports the loss: so
 * not within a reply, which the next one would overwrite. */
void redis_stream_write(redis_stream *stream);
/* The same within a reply: that the socket takes nothing is left to the next write. */
void redis_stream_flush(redis_stream *stream);

#endif
