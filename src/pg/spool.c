/* See spool.h. */
#include "pg/spool.h"

#include "base/alloc.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define SEGMENT_FORM "%08u.jsonl"

enum { SEGMENT_BYTES = 4 << 20, READ_BYTES = 4 * SPOOL_LINE_MOST, SEGMENT_NAME_SIZE = 32, LOCK_TRIES = 5 };

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

    pthread_mutex_t lock; /* of what follows */
    unsigned last;        /* the segment that is written */
    int write_fd;         /* -1: a new segment is needed */
    int64_t last_bytes;   /* in it */
    int64_t disk_bytes;   /* in all segments */
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
        s->disk_bytes += state.st_size;
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

spool *spool_open(const char *parent, const char *name, int64_t most_bytes, asynq_error *error)
{
    spool *s = spool_new(parent, name);
    if (!s)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    s->most_bytes = most_bytes;
    int status = ASYNQ_OK;
    bool is_locked = false;
    /* Somebody who looks for folders without an owner may have come between. */
    for (int i = 0; !status && !is_locked && i < LOCK_TRIES; i++) {
        status = make_folders(s->path, error);
        is_locked = !status && lock_folder(s);
    }
    if (!status && !is_locked)
        status = error_set(error, ASYNQ_E_SYSTEM, "%s: cannot be locked: %s", s->path, strerror(errno));
    if (!status) {
        survey(s);
        s->first = s->first ? s->first : 1;
        return s;
    }
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

void spool_close(spool *s)
{
    if (!s)
        return;
    if (s->lock_fd >= 0 && s->stats.bytes == 0)
        remove_folder(s);
    close_fd(&s->read_fd);
    close_fd(&s->write_fd);
    close_fd(&s->lock_fd);
    close_fd(&s->folder_fd);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->path);
    mem_free(s->name);
    mem_free(s);
}

/* ---- writing ---- */

static bool begin_segment(spool *s)
{
    char name[SEGMENT_NAME_SIZE];
    unsigned number = s->last ? s->last + 1 : s->first;
    name_segment(number, name);
    int fd = openat(s->folder_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    close_fd(&s->write_fd);
    s->write_fd = fd;
    s->last = number;
    s->last_bytes = 0;
    return true;
}

/* A part of a line is taken back; if even that fails, it ends the segment, and the reader leaves it out. */
static bool write_line(spool *s, const char *line, size_t length)
{
    char end = '\n';
    struct iovec parts[] = {{.iov_base = (char *)line, .iov_len = length}, {.iov_base = &end, .iov_len = 1}};
    ssize_t written = writev(s->write_fd, parts, 2);
    if (written == (ssize_t)(length + 1))
        return true;
    int problem = written < 0 ? errno : ENOSPC;
    if (written > 0 && ftruncate(s->write_fd, s->last_bytes)) {
        close_fd(&s->write_fd);
        s->disk_bytes += written;
        s->stats.bytes += written;
    }
    return errno = problem, false;
}

static bool append_locked(spool *s, const char *line, size_t length, bool is_first, asynq_error *error)
{
    int64_t most = is_first ? s->most_bytes / 8 * 7 : s->most_bytes, needed = (int64_t)length + 1;
    if (length > SPOOL_LINE_MOST || s->disk_bytes + needed > most)
        return error_set(error, ASYNQ_E_SYSTEM, "%s: is full", s->path), false;
    if ((s->write_fd < 0 || s->last_bytes + needed > SEGMENT_BYTES) && !begin_segment(s))
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", s->path, strerror(errno)), false;
    if (!write_line(s, line, length))
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", s->path, strerror(errno)), false;
    s->last_bytes += needed;
    s->disk_bytes += needed;
    s->stats.bytes += needed;
    s->stats.lines++;
    return true;
}

bool spool_append(spool *s, const char *line, size_t length, bool is_first, asynq_error *error)
{
    pthread_mutex_lock(&s->lock);
    bool is_written = append_locked(s, line, length, is_first, error);
    s->stats.lost += !is_written;
    pthread_mutex_unlock(&s->lock);
    return is_written;
}

/* ---- reading ---- */

/* The segment that was read to its end goes. False: it is still written, or was the last one. */
static bool next_segment(spool *s)
{
    char name[SEGMENT_NAME_SIZE];
    pthread_mutex_lock(&s->lock);
    bool is_last = s->first >= s->last;
    if (is_last && s->last_bytes < SEGMENT_BYTES / 4) {
        pthread_mutex_unlock(&s->lock);
        return false;
    }
    name_segment(s->first, name);
    unlinkat(s->folder_fd, name, 0);
    s->disk_bytes -= s->read_at;
    s->first++;
    if (is_last) { /* large enough: the next line begins another */
        close_fd(&s->write_fd);
        s->last = 0;
        s->last_bytes = 0;
    }
    pthread_mutex_unlock(&s->lock);
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
        bool is_complete = is_behind(s); /* before it is read */
        ssize_t length = pread(s->read_fd, text, READ_BYTES, s->read_at);
        if (length > 0)
            lines = take_lines(s, text, (size_t)length, most, out);
        if (lines || length < 0)
            break;
        if (is_complete)
            drop_torn_end(s, length);
        if (!next_segment(s))
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
