/* See outq.h. */
#include "redis/outq.h"

#include "base/alloc.h"

#include <errno.h>
#include <sys/socket.h>

enum { OUTQ_PIECE_SIZE = 32 * 1024, OUTQ_MAX_PARTS = 64 /* in one sendmsg */ };

struct outq_piece {
    outq_piece *next;
    size_t length;
    size_t capacity;
    char data[];
};

void redis_outq_init(redis_outq *q)
{
    *q = (redis_outq){0};
    q->end = &q->first;
}

void redis_outq_reset(redis_outq *q)
{
    while (q->first) {
        outq_piece *piece = q->first;
        q->first = piece->next;
        mem_free(piece);
    }
    redis_outq_init(q);
}

static outq_piece *outq_last(redis_outq *q)
{
    return q->first ? (outq_piece *)((char *)q->end - offsetof(outq_piece, next)) : NULL;
}

char *redis_outq_reserve(redis_outq *q, size_t length)
{
    outq_piece *last = outq_last(q);
    if (!last || last->capacity - last->length < length) {
        size_t capacity = length > OUTQ_PIECE_SIZE ? length : OUTQ_PIECE_SIZE;
        last = mem_alloc(sizeof *last + capacity);
        if (!last)
            return NULL;
        *last = (outq_piece){.capacity = capacity};
        *q->end = last;
        q->end = &last->next;
    }
    last->length += length;
    q->length += length;
    q->queued_to += length;
    return last->data + last->length - length;
}

size_t redis_outq_gather(const redis_outq *q, struct iovec *parts, size_t max)
{
    size_t count = 0;
    size_t skip = q->first_sent;
    for (outq_piece *piece = q->first; piece && count < max; piece = piece->next) {
        parts[count++] = (struct iovec){piece->data + skip, piece->length - skip};
        skip = 0;
    }
    return count;
}

void redis_outq_drop(redis_outq *q, size_t length)
{
    q->length -= length;
    q->sent_to += length;
    length += q->first_sent;
    while (q->first && length >= q->first->length) {
        outq_piece *first = q->first;
        length -= first->length;
        q->first = first->next;
        if (!q->first)
            q->end = &q->first;
        mem_free(first);
    }
    q->first_sent = length;
}

static ssize_t outq_sendmsg(int fd, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : sent;
}

bool redis_outq_send(redis_outq *q, int fd)
{
    while (q->first) {
        struct iovec parts[OUTQ_MAX_PARTS];
        size_t count = redis_outq_gather(q, parts, OUTQ_MAX_PARTS);
        ssize_t sent = outq_sendmsg(fd, parts, count);
        if (sent <= 0)
            return sent == 0;
        redis_outq_drop(q, (size_t)sent);
    }
    return true;
}
