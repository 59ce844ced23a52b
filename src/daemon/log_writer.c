/* See log_writer.h. */
#include "daemon/log_writer.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_QUEUED = 4 << 20,   /* bytes; some ten thousand lines */
    LOOK_AGAIN_MS = 200,    /* whether we are to end, while nobody reads */
    LAST_WAIT_MS = 1000,    /* for a reader, at the end */
    GIVE_UP_AFTER_MS = 5000 /* at the end, whatever is left */
};

struct log_writer {
    int fd;
    log_writer_send send;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    buf queued;     /* entries that wait */
    uint64_t count; /* of them */
    size_t in_hand; /* bytes that the thread has taken and not written yet */
    uint64_t dropped;
    bool is_ending; /* no more will come */
    bool is_ended;  /* the thread does nothing any more */
};

/* In the queue an entry for `send` stands behind its length. */
typedef size_t entry_length;

static size_t log_writer_overhead(const log_writer *w)
{
    return w->send ? sizeof(entry_length) : 0;
}

/* Out of memory: what waited is lost, what comes later is not. */
static void log_writer_lose(log_writer *w)
{
    buf_init(&w->queued, 0);
    w->dropped += w->count;
    w->count = 0;
}

bool log_writer_add(log_writer *w, bytes entry)
{
    entry_length length = entry.length;
    pthread_mutex_lock(&w->lock);
    size_t needed = length + log_writer_overhead(w);
    bool has_room =
        entry.data && w->queued.length + w->in_hand + needed <= MAX_QUEUED && buf_reserve(&w->queued, needed);
    if (has_room && w->send)
        buf_append(&w->queued, &length, sizeof length);
    if (has_room)
        buf_append(&w->queued, entry.data, entry.length);
    w->count += has_room;
    w->dropped += !has_room;
    if (buf_failed(&w->queued))
        log_writer_lose(w);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return has_room;
}

uint64_t log_writer_dropped(log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t dropped = w->dropped;
    pthread_mutex_unlock(&w->lock);
    return dropped;
}

/* ---- the thread ---- */

static bool log_writer_is_ending(log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool is_ending = w->is_ending;
    pthread_mutex_unlock(&w->lock);
    return is_ending;
}

/* False: we are to end, and nobody has read for a while. */
static bool log_writer_wait_for_reader(log_writer *w)
{
    struct pollfd poll_fd = {.fd = w->fd, .events = POLLOUT};
    for (int waited_ms = 0; waited_ms < LAST_WAIT_MS;) {
        if (poll(&poll_fd, 1, LOOK_AGAIN_MS) > 0)
            return true;
        if (log_writer_is_ending(w))
            waited_ms += LOOK_AGAIN_MS;
    }
    return false;
}

static void log_writer_drop(log_writer *w, const char *lines, size_t length)
{
    uint64_t count = 0;
    for (const char *at = lines; (at = memchr(at, '\n', length - (size_t)(at - lines))); at++)
        count++;
    pthread_mutex_lock(&w->lock);
    w->dropped += count;
    pthread_mutex_unlock(&w->lock);
}

/*
 * A pipe that poll() calls writable takes PIPE_BUF bytes without waiting. The descriptor itself is left in its mode,
 * which it shares with other processes.
 */
static bool log_writer_write(log_writer *w, const char *data, size_t length)
{
    while (length) {
        size_t part = length < PIPE_BUF ? length : PIPE_BUF;
        if (!log_writer_wait_for_reader(w))
            return false;
        ssize_t sent = send(w->fd, data, part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == ENOTSOCK)
            sent = write(w->fd, data, part);
        if (sent < 0 && errno != EINTR && errno != EAGAIN) {
            log_writer_drop(w, data, length); /* later ones are tried again */
            return true;
        }
        data += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

static bool log_writer_send_each(log_writer *w, const char *data, size_t length)
{
    const char *end = data + length;
    while (data < end) {
        entry_length own;
        memcpy(&own, data, sizeof own);
        data += sizeof own;
        w->send((bytes){data, own});
        data += own;
    }
    return true;
}

/* Waits for entries and takes all of them. False: there are none, and none will come. */
static bool log_writer_take(log_writer *w, buf *taken)
{
    pthread_mutex_lock(&w->lock);
    w->in_hand = 0;
    while (!w->queued.length && !w->is_ending)
        pthread_cond_wait(&w->changed, &w->lock);
    *taken = w->queued;
    buf_init(&w->queued, 0);
    w->count = 0;
    w->in_hand = taken->length;
    pthread_mutex_unlock(&w->lock);
    return taken->length > 0;
}

static void *log_writer_run(void *arg)
{
    log_writer *w = arg;
    buf taken;
    bool is_taken = true;
    while (is_taken && log_writer_take(w, &taken)) {
        is_taken =
            w->send ? log_writer_send_each(w, taken.data, taken.length) : log_writer_write(w, taken.data, taken.length);
        buf_clear(&taken);
    }
    pthread_mutex_lock(&w->lock);
    w->is_ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- its life ---- */

static void log_writer_free(log_writer *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    buf_clear(&w->queued);
    mem_free(w);
}

log_writer *log_writer_start(int fd, log_writer_send send_entry)
{
    asynq_error error;
    log_writer *w = mem_calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->fd = fd;
    w->send = send_entry;
    buf_init(&w->queued, 0);
    pthread_mutex_init(&w->lock, NULL);
    thread_cond_init(&w->changed);
    if (!thread_start(&w->thread, log_writer_run, w, &error))
        return w;
    log_writer_free(w);
    return NULL;
}

void log_writer_stop(log_writer *w)
{
    if (!w)
        return;
    struct timespec until = thread_wait_end(GIVE_UP_AFTER_MS);
    pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    pthread_cond_broadcast(&w->changed);
    while (!w->is_ended && !pthread_cond_timedwait(&w->changed, &w->lock, &until))
        continue;
    bool is_ended = w->is_ended;
    pthread_mutex_unlock(&w->lock);
    if (!is_ended) {
        pthread_detach(w->thread);
        return;
    }
    pthread_join(w->thread, NULL);
    log_writer_free(w);
}
