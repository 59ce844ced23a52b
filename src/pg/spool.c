/* See spool.h. */
#include "pg/spool_state.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_QUEUE = 32 << 20 }; /* bytes in memory, when the disk stands still */

const char *spool_loss_name(spool_loss loss)
{
    static const char *const names[SPOOL_LOSSES] = {
        [SPOOL_FULL] = "spool_full",     [SPOOL_DISK_SLOW] = "disk_slow",   [SPOOL_WRITE_FAILED] = "write_failed",
        [SPOOL_NO_MEMORY] = "no_memory", [SPOOL_UNREADABLE] = "unreadable",
    };
    return names[loss];
}

/* ---- the whole ---- */

static void spool_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void survey(spool *s)
{
    spool_survey found = spool_folder_survey(&s->folder);
    s->first = found.first;
    s->last = found.last;
    s->used_bytes = s->stats.bytes = found.bytes;
}

static spool *spool_new(const char *parent, const char *name)
{
    spool *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    pthread_cond_init(&s->idle, NULL);
    buf_init(&s->pending, MAX_QUEUE);
    buf_init(&s->chunk, MAX_QUEUE);
    s->read_fd = s->write_fd = -1;
    s->name = mem_strdup(name);
    if (spool_folder_init(&s->folder, parent, name) && s->name)
        return s;
    spool_close(s);
    return NULL;
}

static void *write_lines(void *spool);

spool *spool_open(const char *parent, const char *name, int64_t max_bytes, spool_written_cb written, void *arg,
                  asynq_error *error)
{
    spool *s = spool_new(parent, name);
    if (!s)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    s->max_bytes = max_bytes;
    s->written = written;
    s->arg = arg;
    error->code = ASYNQ_OK;
    int status = spool_folder_make(&s->folder, error);
    if (!status)
        survey(s);
    s->first = s->first ? s->first : 1;
    if (status != ASYNQ_E_NO_MEMORY)
        s->has_writer = !thread_start(&s->writer, write_lines, s, error);
    if (s->has_writer)
        return s;
    spool_close(s);
    return NULL;
}

spool *spool_adopt(const char *parent)
{
    DIR *folder = opendir(parent);
    spool *found = NULL;
    for (struct dirent *item; folder && !found && (item = readdir(folder));) {
        if (*item->d_name == '.')
            continue;
        found = spool_new(parent, item->d_name);
        if (found && spool_folder_adopt(&found->folder)) {
            survey(found);
        } else {
            spool_close(found);
            found = NULL;
        }
    }
    if (folder)
        closedir(folder);
    return found;
}

const char *spool_name(const spool *s)
{
    return s->name;
}

static void end_writer(spool *s)
{
    if (!s->has_writer)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->writer, NULL);
}

void spool_close(spool *s)
{
    if (!s)
        return;
    end_writer(s);
    if (s->folder.lock_fd >= 0 && s->stats.bytes == 0)
        spool_folder_remove(&s->folder);
    spool_close_fd(&s->read_fd);
    spool_close_fd(&s->write_fd);
    spool_folder_clear(&s->folder);
    buf_clear(&s->pending);
    buf_clear(&s->chunk);
    pthread_cond_destroy(&s->more);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->name);
    mem_free(s);
}

/* ---- adding ---- */

/* All that was pending is lost. */
static void forget_pending(spool *s, int64_t bytes)
{
    s->used_bytes -= bytes;
    s->stats.bytes -= bytes;
    s->stats.lines -= s->pending_lines;
    s->stats.lost[SPOOL_NO_MEMORY] += s->pending_lines;
    s->pending_lines = 0;
    buf_init(&s->pending, MAX_QUEUE);
}

/* For the writer, which tells it. */
static bool spool_refuse(spool *s, spool_loss loss, const char *problem)
{
    s->stats.lost[loss]++;
    s->problem = problem;
    return false;
}

static bool append_locked(spool *s, const char *line, size_t length, bool is_first)
{
    int64_t max = is_first ? s->max_bytes / 8 * 7 : s->max_bytes, needed = (int64_t)length + 1;
    if (length > SPOOL_MAX_LINE || s->used_bytes + needed > max)
        return spool_refuse(s, SPOOL_FULL, "it is full");
    if (s->pending.length + length + 1 > MAX_QUEUE)
        return spool_refuse(s, SPOOL_DISK_SLOW, "the disk is too slow");
    int64_t before = (int64_t)s->pending.length;
    buf_append(&s->pending, line, length);
    buf_append(&s->pending, "\n", 1);
    if (buf_failed(&s->pending)) {
        forget_pending(s, before);
        return spool_refuse(s, SPOOL_NO_MEMORY, "out of memory");
    }
    s->used_bytes += needed;
    s->stats.bytes += needed;
    s->stats.lines++;
    s->pending_lines++;
    return true;
}

bool spool_append(spool *s, const char *line, size_t length, bool is_first)
{
    pthread_mutex_lock(&s->lock);
    bool is_taken = append_locked(s, line, length, is_first);
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    return is_taken;
}

void spool_count_lost(spool *s, spool_loss loss)
{
    pthread_mutex_lock(&s->lock);
    s->stats.lost[loss]++;
    pthread_mutex_unlock(&s->lock);
}

void spool_flush(spool *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->pending.length || s->is_writing)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* ---- writing ---- */

/* Somebody may have taken the folder away, or the segment: what is written there is seen by nobody. */
static bool segment_is_there(const spool *s)
{
    struct stat state;
    return !fstat(s->write_fd, &state) && state.st_nlink > 0;
}

/* Into which segment the next chunk goes. False: none can be made. */
static bool have_segment(spool *s)
{
    bool has_folder = s->folder.fd >= 0 && spool_folder_is_there(&s->folder);
    bool has_room = !s->last_bytes || s->last_bytes + (int64_t)s->chunk.length <= SPOOL_SEGMENT_BYTES;
    if (has_folder && s->write_fd >= 0 && has_room && segment_is_there(s))
        return true;
    if (!has_folder && spool_folder_make(&s->folder, &s->trouble))
        return false;
    s->trouble.code = ASYNQ_OK;
    pthread_mutex_lock(&s->lock);
    int64_t number = s->last ? s->last + 1 : s->first;
    pthread_mutex_unlock(&s->lock);
    int fd = spool_folder_open(&s->folder, number, O_WRONLY | O_CREAT | O_APPEND);
    if (fd < 0)
        return false;
    pthread_mutex_lock(&s->lock);
    int old_fd = s->write_fd;
    s->write_fd = fd;
    s->last = number;
    s->last_bytes = 0;
    pthread_mutex_unlock(&s->lock);
    spool_close_fd(&old_fd);
    return true;
}

static int64_t count_lines(const char *text, size_t length)
{
    int64_t lines = 0;
    for (const char *at = text; (at = memchr(at, '\n', length - (size_t)(at - text))); at++)
        lines++;
    return lines;
}

/* As much as the disk takes; errno says why it is not all. */
static size_t write_some(int fd, const char *text, size_t length)
{
    size_t written = 0;
    while (written < length) {
        ssize_t now = write(fd, text + written, length - written);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            break;
        written += (size_t)now;
    }
    return written;
}

/* Takes back the part of a line with which the segment ends. False: it stays, and the reader will count it. */
static bool untear(spool *s, size_t *written)
{
    const char *end = *written ? memrchr(s->chunk.data, '\n', *written) : NULL;
    size_t whole = end ? (size_t)(end - s->chunk.data) + 1 : 0;
    if (whole == *written)
        return true;
    if (ftruncate(s->write_fd, s->last_bytes + (off_t)whole))
        return false;
    *written = whole;
    return true;
}

/*
 * Not all was written, and the rest is lost. The next chunk goes into the same segment, so that a full disk does not
 * get one file more with each chunk; another one is begun if the fault may be that of this one.
 */
static void give_up_rest(spool *s, size_t written, int problem)
{
    bool is_whole = s->write_fd < 0 || untear(s, &written);
    int64_t rest = (int64_t)(s->chunk.length - written);
    int64_t lines = count_lines(s->chunk.data + written, (size_t)rest);
    bool begins_anew = !is_whole || (problem != ENOSPC && problem != EDQUOT && s->last_bytes + (int64_t)written > 0);
    pthread_mutex_lock(&s->lock);
    int old_fd = begins_anew ? s->write_fd : -1;
    if (begins_anew)
        s->write_fd = -1;
    s->has_failed = true;
    s->last_bytes += (int64_t)written;
    s->used_bytes -= rest;
    s->stats.bytes -= rest;
    s->stats.lines -= lines;
    s->stats.lost[SPOOL_WRITE_FAILED] += lines - !is_whole;
    pthread_mutex_unlock(&s->lock);
    spool_close_fd(&old_fd);
}

/* NULL: it is written. */
static const char *write_chunk(spool *s)
{
    bool has_segment = have_segment(s);
    size_t written = has_segment ? write_some(s->write_fd, s->chunk.data, s->chunk.length) : 0;
    int problem = errno;
    if (written < s->chunk.length) {
        give_up_rest(s, written, problem);
        return s->trouble.code ? s->trouble.text : strerror(problem);
    }
    pthread_mutex_lock(&s->lock);
    s->has_failed = false;
    s->last_bytes += (int64_t)written;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Under the lock. False: there is nothing to do any more. */
static bool wait_for_lines(spool *s)
{
    while (!s->pending.length && !s->problem && !s->is_ending)
        pthread_cond_wait(&s->more, &s->lock);
    return s->pending.length || s->problem;
}

static void *write_lines(void *arg)
{
    spool *s = arg;
    pthread_mutex_lock(&s->lock);
    while (wait_for_lines(s)) {
        buf taken = s->pending;
        const char *problem = s->problem;
        s->pending = s->chunk; /* is empty, and has its memory already */
        s->chunk = taken;
        s->pending_lines = 0;
        s->problem = NULL;
        s->is_writing = true;
        pthread_mutex_unlock(&s->lock);
        const char *failure = s->chunk.length ? write_chunk(s) : NULL;
        s->chunk.length = 0;
        s->written(s->arg, failure ? failure : problem);
        pthread_mutex_lock(&s->lock);
        s->is_writing = false;
        pthread_cond_broadcast(&s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void spool_get_stats(spool *s, spool_stats *stats)
{
    pthread_mutex_lock(&s->lock);
    *stats = s->stats;
    pthread_mutex_unlock(&s->lock);
}
