/* See spool.h: the reader. */
#include "pg/spool_state.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4 * SPOOL_MAX_LINE };

static void close_reading(spool *s)
{
    if (s->read_fd >= 0)
        close(s->read_fd);
    s->read_fd = -1;
}

/* ---- segments ---- */

/*
 * Under the lock: the segment may go, as it was read to its end and nothing more will come. `was_complete`: it was
 * written to its end before it was read; otherwise more may have come in between.
 */
static bool is_over(const spool *s, bool was_complete)
{
    if (s->first < s->last)
        return was_complete;
    bool is_worth_it = s->last_bytes >= SPOOL_SEGMENT_BYTES / 4 || (s->has_failed && s->last_bytes);
    return is_worth_it && s->read_at == s->last_bytes && !s->is_writing;
}

/* Under the lock: the next line begins another segment. Returns the descriptor of the old one, to be closed without it.
 */
static int begin_anew(spool *s)
{
    int old_fd = s->write_fd;
    s->write_fd = -1;
    s->last = 0;
    s->last_bytes = 0;
    return old_fd;
}

/* The segment that was read to its end goes. False: it is still written, or was the last one. */
static bool next_segment(spool *s, bool was_complete)
{
    int old_fd = -1;
    pthread_mutex_lock(&s->lock);
    int64_t number = s->first;
    bool is_last = s->first >= s->last, goes = is_over(s, was_complete);
    if (goes) {
        s->used_bytes -= s->read_at;
        s->first++;
    }
    if (goes && is_last)
        old_fd = begin_anew(s);
    pthread_mutex_unlock(&s->lock);
    if (!goes)
        return false;
    spool_folder_unlink(&s->folder, number);
    if (old_fd >= 0)
        close(old_fd);
    close_reading(s);
    s->read_at = 0;
    s->skipping = SKIP_NOTHING;
    return !is_last;
}

/*
 * Somebody has taken the segment away, or some of them. What is left is read. False: `problem`, or there is nothing.
 */
static bool pass_gap(spool *s, int64_t last, const char **problem)
{
    int64_t next = spool_folder_next(&s->folder, s->first);
    int old_fd = -1;
    if (next < 0) {
        *problem = strerror(errno);
        return false;
    }
    pthread_mutex_lock(&s->lock);
    bool is_found = next && next <= s->last, is_end = !is_found && last == s->last && !s->is_writing;
    if (is_found)
        s->first = next;
    if (is_end) {
        s->first = last + 1;
        old_fd = begin_anew(s);
    }
    s->stats.lost[SPOOL_UNREADABLE] += is_found || is_end;
    pthread_mutex_unlock(&s->lock);
    s->read_at = is_found || is_end ? 0 : s->read_at;
    s->skipping = SKIP_NOTHING;
    if (old_fd >= 0)
        close(old_fd);
    return is_found;
}

/* False: `problem`, or there is nothing to be read. */
static bool open_segment(spool *s, const char **problem)
{
    while (s->read_fd < 0) {
        pthread_mutex_lock(&s->lock);
        int64_t last = s->last;
        pthread_mutex_unlock(&s->lock);
        if (last < s->first)
            return false;
        s->read_fd = spool_folder_open(&s->folder, s->first, O_RDONLY);
        if (s->read_fd < 0 && errno != ENOENT)
            *problem = strerror(errno);
        if (s->read_fd < 0 && (*problem || !pass_gap(s, last, problem)))
            return false;
    }
    return true;
}

/* ---- lines ---- */

/* A line, or what stands in its place: zeros before it, or one that is longer than any of ours. */
static void take_line(spool_taken *taken, const char *text, size_t length, buf *out)
{
    const char *zero = memrchr(text, '\0', length);
    const char *line = zero ? zero + 1 : text;
    size_t left = length - (size_t)(line - text);
    bool is_rest = !zero && taken->skipping == SKIP_LINE, is_long = !is_rest && left > SPOOL_MAX_LINE;
    taken->unreadable += (zero && taken->skipping != SKIP_ZEROS) + is_long;
    taken->skipping = SKIP_NOTHING;
    if (is_rest || is_long || !left)
        return;
    buf_append(out, ",", taken->lines ? 1 : 0);
    buf_append(out, line, left);
    taken->lines++;
}

/* A whole buffer without a line end: no line of ours has room in it. What follows the last zero may be the next one. */
static void pass_over(spool_taken *taken, const char *text, size_t length)
{
    const char *zero = memrchr(text, '\0', length);
    taken->unreadable += taken->skipping == SKIP_NOTHING;
    taken->skipping = zero ? SKIP_ZEROS : SKIP_LINE;
    taken->bytes = (int64_t)(zero ? (size_t)(zero - text) + 1 : length);
}

/* Up to `max` lines from the beginning of `text`; a part of one is not taken. */
static void take_lines(spool *s, const char *text, size_t length, size_t max, buf *out)
{
    size_t used = 0;
    s->taken = (spool_taken){.skipping = s->skipping};
    for (const char *end; (size_t)s->taken.lines < max && (end = memchr(text + used, '\n', length - used));) {
        take_line(&s->taken, text + used, (size_t)(end - text) - used, out);
        used = (size_t)(end - text) + 1;
    }
    if (!used && length == READ_BYTES)
        pass_over(&s->taken, text, length);
    else
        s->taken.bytes = (int64_t)used;
}

/* What a process that was killed did not write to its end. */
static void drop_torn_end(spool *s, int64_t length)
{
    s->read_at += length;
    pthread_mutex_lock(&s->lock);
    s->stats.bytes -= length;
    s->stats.lost[SPOOL_UNREADABLE] += length > 0 && s->skipping == SKIP_NOTHING;
    pthread_mutex_unlock(&s->lock);
    s->skipping = SKIP_NOTHING;
}

static bool is_behind(spool *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_done = s->first < s->last || s->write_fd < 0;
    pthread_mutex_unlock(&s->lock);
    return is_done;
}

/* Nothing is left to be read, so nothing waits: whatever was counted of segments that somebody has taken away. */
static void settle(spool *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_empty = !s->pending.length && !s->is_writing &&
                    (!s->has_writer || !s->last || (s->first == s->last && s->read_at == s->last_bytes));
    if (is_empty) {
        s->stats.bytes = s->stats.lines = 0;
        s->used_bytes = s->last_bytes;
    }
    pthread_mutex_unlock(&s->lock);
}

/* False: there are lines, a problem, or no more. */
static bool spool_read_on(spool *s, char *text, size_t max, buf *out, const char **problem)
{
    if (!open_segment(s, problem))
        return false;
    bool was_complete = is_behind(s); /* before it is read */
    ssize_t length = pread(s->read_fd, text, READ_BYTES, s->read_at);
    if (length < 0) {
        *problem = strerror(errno);
        close_reading(s); /* it is opened again */
        return false;
    }
    take_lines(s, text, (size_t)length, max, out);
    if (s->taken.lines)
        return false;
    if (s->taken.bytes) {
        spool_advance(s);
        return true;
    }
    if (was_complete)
        drop_torn_end(s, length);
    return next_segment(s, was_complete);
}

size_t spool_read(spool *s, size_t max, buf *out, const char **problem)
{
    char *text = mem_alloc(READ_BYTES);
    s->taken = (spool_taken){.skipping = s->skipping};
    *problem = text ? NULL : "out of memory";
    while (text && spool_read_on(s, text, max, out, problem))
        ;
    mem_free(text);
    if (buf_failed(out))
        *problem = "out of memory";
    if (*problem)
        s->taken = (spool_taken){.skipping = s->skipping};
    else if (!s->taken.lines)
        settle(s);
    return (size_t)s->taken.lines;
}

void spool_advance(spool *s)
{
    spool_taken taken = s->taken;
    s->read_at += taken.bytes;
    s->skipping = taken.skipping;
    s->taken = (spool_taken){.skipping = s->skipping};
    pthread_mutex_lock(&s->lock);
    s->stats.bytes -= taken.bytes;
    s->stats.lines -= s->stats.lines < taken.lines ? s->stats.lines : taken.lines;
    s->stats.lost[SPOOL_UNREADABLE] += taken.unreadable;
    pthread_mutex_unlock(&s->lock);
}
