/* See spool_folder.h. */
#include "pg/spool_folder.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define MAX_SEGMENT INT64_C(999999999999) /* far beyond all that are ever written, and from a number's end */

enum { NAME_SIZE = 32, LOCK_TRIES = 5 };

/* ---- names ---- */

static void name_segment(int64_t number, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%08" PRId64 ".jsonl", number);
}

/* 0: it is none. */
static int64_t segment_of(const char *name)
{
    char as_ours[NAME_SIZE];
    char *end;
    errno = 0;
    int64_t number = strtoll(name, &end, 10);
    if (errno || end == name || number <= 0 || number > MAX_SEGMENT)
        return 0;
    name_segment(number, as_ours);
    return strcmp(name, as_ours) == 0 ? number : 0;
}

/* ---- what is in it ---- */

/* Calls `visit` with each segment; one that is no file counts as something else. Returns 0, or -1 and errno. */
static int spool_folder_walk(const spool_folder *folder, void (*visit)(void *arg, int64_t segment, int64_t length),
                             void *arg, bool *has_others)
{
    struct stat state;
    DIR *entries = opendir(folder->path);
    if (!entries)
        return -1;
    for (struct dirent *item; (item = readdir(entries));) {
        if (*item->d_name == '.' || strcmp(item->d_name, LOCK_FILE) == 0)
            continue;
        int64_t number = segment_of(item->d_name);
        if (number && !fstatat(folder->fd, item->d_name, &state, AT_SYMLINK_NOFOLLOW) && S_ISREG(state.st_mode))
            visit(arg, number, state.st_size);
        else
            *has_others = true;
    }
    closedir(entries);
    return 0;
}

static void survey_one(void *arg, int64_t segment, int64_t length)
{
    spool_survey *s = arg;
    if (!s->first || segment < s->first)
        s->first = segment;
    if (segment > s->last)
        s->last = segment;
    s->bytes += length;
}

spool_survey spool_folder_survey(const spool_folder *folder)
{
    spool_survey found = {0};
    bool ignored = false;
    if (spool_folder_walk(folder, survey_one, &found, &ignored))
        return (spool_survey){0};
    return found;
}

typedef struct search {
    int64_t behind, found;
} search;

static void search_one(void *arg, int64_t segment, int64_t length)
{
    (void)length;
    search *own = arg;
    if (segment > own->behind && (!own->found || segment < own->found))
        own->found = segment;
}

int64_t spool_folder_next(const spool_folder *folder, int64_t segment)
{
    search own = {segment, 0};
    bool ignored = false;
    return spool_folder_walk(folder, search_one, &own, &ignored) ? -1 : own.found;
}

int spool_folder_open(const spool_folder *folder, int64_t segment, int flags)
{
    char name[NAME_SIZE];
    name_segment(segment, name);
    return openat(folder->fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void spool_folder_unlink(const spool_folder *folder, int64_t segment)
{
    char name[NAME_SIZE];
    name_segment(segment, name);
    unlinkat(folder->fd, name, 0);
}

static void unlink_one(void *arg, int64_t segment, int64_t length)
{
    (void)length;
    spool_folder_unlink(arg, segment);
}

void spool_folder_remove(const spool_folder *folder)
{
    spool_folder copy = *folder;
    bool has_others = false;
    if (spool_folder_walk(folder, unlink_one, &copy, &has_others) || has_others)
        return;
    unlinkat(folder->fd, LOCK_FILE, 0);
    rmdir(folder->path);
}

/* ---- the lock ---- */

static void spool_folder_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/*
 * Takes the lock without waiting; `flags` say whether its file is made. False: another has it, or has just removed the
 * folder.
 */
static bool lock_folder(spool_folder *folder, int flags)
{
    struct stat state;
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    folder->lock_fd =
        folder->fd < 0 ? -1 : openat(folder->fd, LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (folder->lock_fd >= 0 && flock(folder->lock_fd, LOCK_EX | LOCK_NB) == 0 && fstat(folder->lock_fd, &state) == 0 &&
        state.st_nlink > 0)
        return true;
    int problem = errno;
    spool_folder_close_fd(&folder->lock_fd);
    spool_folder_close_fd(&folder->fd);
    return errno = problem, false;
}

static void ignore_one(void *arg, int64_t segment, int64_t length)
{
    (void)arg, (void)segment, (void)length;
}

bool spool_folder_adopt(spool_folder *folder)
{
    bool has_others = false;
    if (!lock_folder(folder, O_NONBLOCK))
        return false;
    if (!spool_folder_walk(folder, ignore_one, NULL, &has_others) && !has_others)
        return true;
    spool_folder_close_fd(&folder->lock_fd);
    spool_folder_close_fd(&folder->fd);
    return false;
}

/* ---- making it ---- */

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

/* False: errno. */
static bool replace_fd(int *fd, int *by)
{
    bool is_done = *fd < 0 || dup3(*by, *fd, O_CLOEXEC) >= 0;
    if (*fd < 0)
        *fd = *by;
    else
        close(*by);
    *by = -1;
    return is_done;
}

int spool_folder_make(spool_folder *folder, asynq_error *error)
{
    spool_folder fresh = {folder->path, -1, -1};
    /* Somebody who looks for folders without an owner may come between. */
    for (int i = 0; i < LOCK_TRIES; i++) {
        int status = make_folders(folder->path, error);
        if (status)
            return status;
        if (lock_folder(&fresh, O_CREAT) && replace_fd(&folder->fd, &fresh.fd) &&
            replace_fd(&folder->lock_fd, &fresh.lock_fd))
            return ASYNQ_OK;
        spool_folder_close_fd(&fresh.lock_fd);
    }
    return error_set(error, ASYNQ_E_SYSTEM, "%s: cannot be locked: %s", folder->path, strerror(errno));
}

bool spool_folder_is_there(const spool_folder *folder)
{
    struct stat there, ours, lock;
    return !lstat(folder->path, &there) && !fstat(folder->fd, &ours) && !fstat(folder->lock_fd, &lock) &&
           there.st_dev == ours.st_dev && there.st_ino == ours.st_ino && lock.st_nlink > 0;
}

bool spool_folder_init(spool_folder *folder, const char *parent, const char *name)
{
    buf path;
    buf_init(&path, 0);
    buf_append_format(&path, "%s/%s", parent, name);
    *folder = (spool_folder){buf_take(&path), -1, -1};
    return folder->path != NULL;
}

void spool_folder_clear(spool_folder *folder)
{
    spool_folder_close_fd(&folder->lock_fd);
    spool_folder_close_fd(&folder->fd);
    mem_free(folder->path);
    folder->path = NULL;
}
