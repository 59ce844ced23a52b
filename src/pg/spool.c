/* See spool.h. */
#include "pg/spool.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define SEGMENT_FORM "%08u.jsonl"

enum {
    SEGMENT_BYTES = 4 << 20,
    READ_BYTES = 4 * SPOOL_LINE_MOST,
    SEGMENT_NAME_SIZE = 32,
    LOCK_TRIES = 5,
    QUEUE_MOST = 32 << 20 /* bytes in memory, when the disk stands still */
};

struct spool {
    char *path, *name;
    int folder_fd, lock_fd;
    int64_t most_bytes;

    /* The reader's. */
    unsigned first; /* the segment that is read */
    int read_fd;    /* -1: not open */
    int64_t read_at;
    int64_t taken_bytes; /* what spool_read() returned last */
    size_t taken_lines;

    /* The writer's. */
    pthread_t writer;
    bool has_writer; /* false for one that was adopted */
    spool_written_cb written;
    void *arg;
    buf chunk; /* being written */

    pthread_mutex_t lock; /* of what follows; nobody waits for the disk under it */
    pthread_cond_t more, idle;
    buf pending; /* lines that the writer has not taken */
    int64_t pending_lines;
    bool is_writing, is_ending;
    const char *problem; /* why a line was not taken, for the writer to tell; NULL: none */
    unsigned last;       /* the segment that is written */
    int write_fd;        /* -1: a new segment is needed. While it writes, the writer's alone */
    int64_t last_bytes;  /* in it */
    int64_t used_bytes;  /* of the room: in all segments, and pending */
    spool_stats stats;
};

/* ---- the folder ---- */

static void name_segment(unsigned number, char name[SEGMENT_NAME_SIZE])
{
    snprintf(name, SEGMENT_NAME_SIZE, SEGMENT_FORM, number);
}

static int make_folders(const char *path, asynq_error *error)
{
    char *copy = mem_strdup(path);
    if (!copy)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = ASYNQ_OK;
    char *slash = copy;
    do {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(copy, 0700) && errno != EEXIST)
            status = error_set(error, ASYNQ_E_SYSTEM, "%s: %s", copy, strerror(errno));
        if (slash)
            *slash = '/';
    } while (slash && !status);
    mem_free(copy);
    return status;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Takes the lock without waiting. False: another has it, or has just removed the folder. */
static bool lock_folder(spool *s)
{
    struct stat state;
    s->folder_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->lock_fd = s->folder_fd < 0 ? -1 : openat(s->folder_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 && fstat(s->lock_fd, &state) == 0 &&
        state.st_nlink > 0)
        return true;
    int problem = errno;
    close_fd(&s->lock_fd);
    close_fd(&s->folder_fd);
    return errno = problem, false;
}

/* Which segments there are. */
static void survey(spool *s)
{
    DIR *folder = opendir(s->path);
    struct stat state;
    for (struct dirent *item; folder && (item = readdir(folder));) {
        char *end;
        unsigned long number = strtoul(item->d_name, &end, 10);
        if (end == item->d_name || strcmp(end, ".jsonl") != 0 || number == 0 || number > UINT32_MAX ||
            fstatat(s->folder_fd, item->d_name, &state, 0))
            continue;
        if (!s->last || number < s->first)
            s->first = (unsigned)number;
        if (number > s->last)
            s->last = (unsigned)number;
        s->used_bytes += state.st_size;
        s->stats.bytes += state.st_size;
    }
    if (folder)
        closedir(folder);
}

static spool *spool_new(const char *parent, const char *name)
{
    spool *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    pthread_cond_init(&s->idle, NULL);
    buf_init(&s->pending, QUEUE_MOST);
    buf_init(&s->chunk, QUEUE_MOST);
    s->folder_fd = s->lock_fd = s->read_fd = s->write_fd = -1;
    buf path;
    buf_init(&path, 0);
    buf_append_format(&path, "%s/%s", parent, name);
    s->path = buf_take(&path);
    s->name = mem_strdup(name);
    if (s->path && s->name)
        return s;
    spool_close(s);
    return NULL;
}

static void *write_lines(void *spool);

static int open_folder(spool *s, asynq_error *error)
{
    /* Somebody who looks for folders without an owner may come between. */
    for (int i = 0; i < LOCK_TRIES; i++) {
        int status = make_folders(s->path, error);
        if (status || lock_folder(s))
            return status;
    }
    return error_set(error, ASYNQ_E_SYSTEM, "%s: cannot be locked: %s", s->path, strerror(errno));
}

spool *spool_open(const char *parent, const char *name, int64_t most_bytes, spool_written_cb written, void *arg,
                  asynq_error *error)
{
    spool *s = spool_new(parent, name);
    if (!s)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    s->most_bytes = most_bytes;
    s->written = written;
    s->arg = arg;
    int status = open_folder(s, error);
    if (!status) {
        survey(s);
        s->first = s->first ? s->first : 1;
        status = thread_start(&s->writer, write_lines, s, error);
        s->has_writer = !status;
    }
    if (!status)
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
        if (found && lock_folder(found)) {
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

static void remove_folder(spool *s)
{
    char name[SEGMENT_NAME_SIZE];
    for (unsigned i = s->first; s->last && i <= s->last; i++) {
        name_segment(i, name);
        unlinkat(s->folder_fd, name, 0);
    }
    unlinkat(s->folder_fd, LOCK_FILE, 0);
    rmdir(s->path);
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
    if (s->lock_fd >= 0 && s->stats.bytes == 0)
        remove_folder(s);
    close_fd(&s->read_fd);
    close_fd(&s->write_fd);
    close_fd(&s->lock_fd);
    close_fd(&s->folder_fd);
    buf_clear(&s->pending);
    buf_clear(&s->chunk);
    pthread_cond_destroy(&s->more);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->path);
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
    s->stats.lost += s->pending_lines;
    s->pending_lines = 0;
    buf_init(&s->pending, QUEUE_MOST);
}

static bool append_locked(spool *s, const char *line, size_t length, bool is_first)
{
    int64_t most = is_first ? s->most_bytes / 8 * 7 : s->most_bytes, needed = (int64_t)length + 1;
    if (length > SPOOL_LINE_MOST || s->used_bytes + needed > most) {
        s->problem = "it is full";
        return false;
    }
    if (s->pending.length + length + 1 > QUEUE_MOST) {
        s->problem = "the disk is too slow";
        return false;
    }
    int64_t before = (int64_t)s->pending.length;
    buf_append(&s->pending, line, length);
    buf_append(&s->pending, "\n", 1);
    if (buf_failed(&s->pending)) {
        s->problem = "out of memory";
        forget_pending(s, before);
        return false;
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
    s->stats.lost += !is_taken;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    return is_taken;
}

void spool_flush(spool *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->pending.length || s->is_writing)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* ---- writing ---- */

/* Into which segment the next chunk goes. False: none can be made. */
static bool have_segment(spool *s)
{
    char name[SEGMENT_NAME_SIZE];
    if (s->write_fd >= 0 && s->last_bytes + (int64_t)s->chunk.length <= SEGMENT_BYTES)
        return true;
    pthread_mutex_lock(&s->lock);
    unsigned number = s->last ? s->last + 1 : s->first;
    pthread_mutex_unlock(&s->lock);
    name_segment(number, name);
    int fd = openat(s->folder_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    pthread_mutex_lock(&s->lock);
    int old_fd = s->write_fd;
    s->write_fd = fd;
    s->last = number;
    s->last_bytes = 0;
    pthread_mutex_unlock(&s->lock);
    close_fd(&old_fd);
    return true;
}

static int64_t count_lines(const char *text, size_t length)
{
    int64_t lines = 0;
    for (const char *at = text; (at = memchr(at, '\n', length - (size_t)(at - text))); at++)
        lines++;
    return lines;
}

/*
 * Not all was written. The segment ends with what there is of it; the reader leaves out a line that was torn off, and
 * counts it.
 */
static void give_up_rest(spool *s, size_t written)
{
    int64_t rest = (int64_t)(s->chunk.length - written);
    int64_t lines = count_lines(s->chunk.data + written, (size_t)rest);
    bool is_torn = written && s->chunk.data[written - 1] != '\n';
    pthread_mutex_lock(&s->lock);
    int old_fd = s->write_fd;
    s->write_fd = -1;
    s->last_bytes += (int64_t)written;
    s->used_bytes -= rest;
    s->stats.bytes -= rest;
    s->stats.lines -= lines;
    s->stats.lost += lines - is_torn;
    pthread_mutex_unlock(&s->lock);
    close_fd(&old_fd);
}

/* NULL: it is written. */
static const char *write_chunk(spool *s)
{
    ssize_t written = have_segment(s) ? write(s->write_fd, s->chunk.data, s->chunk.length) : -1;
    int problem = written < 0 ? errno : ENOSPC;
    if (written == (ssize_t)s->chunk.length) {
        pthread_mutex_lock(&s->lock);
        s->last_bytes += written;
        pthread_mutex_unlock(&s->lock);
        return NULL;
    }
    give_up_rest(s, written > 0 ? (size_t)written : 0);
    return strerror(problem);
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

/* ---- reading ---- */

/*
 * Under the lock: the segment may go, as it was read to its end and nothing more will come. `was_complete`: it was
 * written to its end before it was read; otherwise more may have come in between.
 */
static bool is_over(const spool *s, bool was_complete)
{
    if (s->first < s->last)
        return was_complete;
    return s->last_bytes >= SEGMENT_BYTES / 4 && s->read_at == s->last_bytes && !s->is_writing;
}

/* The segment that was read to its end goes. False: it is still written, or was the last one. */
static bool next_segment(spool *s, bool was_complete)
{
    char name[SEGMENT_NAME_SIZE];
    int old_fd = -1;
    pthread_mutex_lock(&s->lock);
    bool is_last = s->first >= s->last, goes = is_over(s, was_complete);
    name_segment(s->first, name);
    if (goes) {
        s->used_bytes -= s->read_at;
        s->first++;
    }
    if (goes && is_last) { /* large enough: the next line begins another */
        old_fd = s->write_fd;
        s->write_fd = -1;
        s->last = 0;
        s->last_bytes = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (!goes)
        return false;
    unlinkat(s->folder_fd, name, 0);
    close_fd(&old_fd);
    close_fd(&s->read_fd);
    s->read_at = 0;
    return !is_last;
}

static bool open_segment(spool *s)
{
    char name[SEGMENT_NAME_SIZE];
    if (s->read_fd >= 0)
        return true;
    pthread_mutex_lock(&s->lock);
    bool exists = s->last >= s->first && s->last;
    pthread_mutex_unlock(&s->lock);
    name_segment(s->first, name);
    s->read_fd = exists ? openat(s->folder_fd, name, O_RDONLY | O_CLOEXEC) : -1;
    return s->read_fd >= 0;
}

/* Lines from the beginning of `text`; a part of one is not taken. Returns how many. */
static size_t take_lines(spool *s, const char *text, size_t length, size_t most, buf *out)
{
    size_t lines = 0, used = 0;
    for (const char *end; lines < most && (end = memchr(text + used, '\n', length - used)); lines++) {
        buf_append(out, ",", lines ? 1 : 0);
        buf_append(out, text + used, (size_t)(end - text) - used);
        used = (size_t)(end - text) + 1;
    }
    s->taken_bytes = (int64_t)used;
    s->taken_lines = lines;
    return lines;
}

/* What a process that was killed did not write to its end. */
static void drop_torn_end(spool *s, ssize_t length)
{
    s->read_at += length;
    pthread_mutex_lock(&s->lock);
    s->stats.bytes -= length;
    s->stats.lost += length > 0;
    pthread_mutex_unlock(&s->lock);
}

static bool is_behind(spool *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_done = s->first < s->last || s->write_fd < 0;
    pthread_mutex_unlock(&s->lock);
    return is_done;
}

size_t spool_read(spool *s, size_t most, buf *out)
{
    char *text = mem_alloc(READ_BYTES);
    size_t lines = 0;
    s->taken_bytes = 0;
    s->taken_lines = 0;
    while (text && !lines && open_segment(s)) {
        bool was_complete = is_behind(s); /* before it is read */
        ssize_t length = pread(s->read_fd, text, READ_BYTES, s->read_at);
        if (length > 0)
            lines = take_lines(s, text, (size_t)length, most, out);
        if (lines || length < 0)
            break;
        if (was_complete)
            drop_torn_end(s, length);
        if (!next_segment(s, was_complete))
            break;
    }
    mem_free(text);
    return buf_failed(out) ? 0 : lines;
}

void spool_advance(spool *s)
{
    s->read_at += s->taken_bytes;
    pthread_mutex_lock(&s->lock);
    s->stats.bytes -= s->taken_bytes;
    s->stats.lines -= s->stats.lines < (int64_t)s->taken_lines ? s->stats.lines : (int64_t)s->taken_lines;
    pthread_mutex_unlock(&s->lock);
    s->taken_bytes = 0;
    s->taken_lines = 0;
}

void spool_get_stats(spool *s, spool_stats *stats)
{
    pthread_mutex_lock(&s->lock);
    *stats = s->stats;
    pthread_mutex_unlock(&s->lock);
}
