/* See call_files.h. */
#include "process/call_files.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"
#include "event/errands.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_BEGIN "asynqd-" /* names of directories, with FILES_RANDOM characters behind it */
#define FILE_BEGIN "payload-" /* those of files */

enum { FILES_RANDOM = 6, FILES_BASE_MAX = 200, FILES_PATH = 256, FILES_TRIES = 10 };

struct call_files {
    log_sink *log;
    errands *thread;
    char directory[FILES_PATH];
    int fd; /* of the directory, locked */
    errand sweep;
};

struct call_file {
    errand errand;
    call_files *files;
    call_file_options options;
    char path[FILES_PATH + 32];
    int problem;
};

/* ---- files ---- */

/* Returns 0, or an errno. */
static int write_all(int fd, bytes content)
{
    for (size_t written = 0; written < content.length;) {
        ssize_t more = write(fd, content.data + written, content.length - written);
        if (more < 0 && errno != EINTR)
            return errno;
        written += more > 0 ? (size_t)more : 0;
    }
    return 0;
}

static void run_write(errand *one)
{
    call_file *file = (call_file *)one;
    const call_file_options *options = &file->options;
    int fd = mkostemp(file->path, O_CLOEXEC);
    if (fd < 0) {
        file->problem = errno;
        return;
    }
    file->problem = write_all(fd, options->content);
    if (!file->problem && options->has_owner && fchown(fd, options->uid, options->gid))
        file->problem = errno;
    close(fd);
    if (file->problem)
        (void)unlink(file->path);
}

static void write_done(errand *one)
{
    call_file *file = (call_file *)one;
    file->options.written(file->options.arg, file->problem);
}

call_file *call_file_write(call_files *files, const call_file_options *options)
{
    call_file *file = mem_calloc(1, sizeof *file);
    if (!file)
        return NULL;
    *file = (call_file){.errand = {.run = run_write, .done = write_done}, .files = files, .options = *options};
    snprintf(file->path, sizeof file->path, "%s/" FILE_BEGIN "XXXXXX", files->directory);
    file->problem = ECANCELED; /* unless it is run */
    if (errands_send(files->thread, &file->errand))
        return file;
    mem_free(file);
    return NULL;
}

const char *call_file_path(const call_file *file)
{
    return file->path;
}

static void run_remove(errand *one)
{
    (void)unlink(((call_file *)one)->path);
}

static void remove_done(errand *one)
{
    mem_free(one);
}

void call_file_remove(call_file *file)
{
    file->errand = (errand){.run = run_remove, .done = remove_done};
    if (!file->problem && errands_send(file->files->thread, &file->errand))
        return;
    if (!file->problem)
        run_remove(&file->errand);
    mem_free(file);
}

/* ---- what others have left ---- */

static bool is_random(const char *name)
{
    for (size_t i = 0; i < FILES_RANDOM; i++)
        if (!isalnum((unsigned char)name[i]))
            return false;
    return name[FILES_RANDOM] == '\0';
}

static bool is_named(const char *name, const char *begin)
{
    size_t length = strlen(begin);
    return strncmp(name, begin, length) == 0 && is_random(name + length);
}

/* Nothing but what asynqd makes there: with anything else in it, the directory stays. */
static void empty_directory(int fd)
{
    DIR *directory = fdopendir(fd); /* closes it */
    if (!directory) {
        close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (is_named(entry->d_name, FILE_BEGIN))
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}

/* The lock is what a living owner has, whatever its pid is. */
static void remove_if_left(int base, const char *name)
{
    struct stat state;
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &state) && state.st_uid == geteuid() && !flock(fd, LOCK_EX | LOCK_NB)) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy >= 0)
            empty_directory(copy);
        (void)unlinkat(base, name, AT_REMOVEDIR);
    }
    close(fd);
}

static void call_files_run_sweep(errand *one)
{
    call_files *files = container_of(one, call_files, sweep);
    char path[FILES_PATH];
    const char *own = strrchr(files->directory, '/') + 1;
    snprintf(path, sizeof path, "%.*s", (int)(own - files->directory), files->directory);
    DIR *base = opendir(path);
    if (!base)
        return;
    for (const struct dirent *entry; (entry = readdir(base));)
        if (is_named(entry->d_name, FILES_BEGIN) && strcmp(entry->d_name, own) != 0)
            remove_if_left(dirfd(base), entry->d_name);
    closedir(base);
}

static void sweep_done(errand *one)
{
    (void)one;
}

/* ---- the directory ---- */

/* True if it is ours: before we had the lock, another process may have taken it for one that was left. */
static bool is_locked(int fd)
{
    struct stat state;
    return fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &state) && state.st_nlink > 0;
}

/* Returns the descriptor of a new directory; below 0: see errno. */
static int call_files_make_directory(call_files *files)
{
    const char *base = getenv("TMPDIR");
    for (int i = 0; i < FILES_TRIES; i++) {
        snprintf(files->directory, sizeof files->directory, "%s/" FILES_BEGIN "XXXXXX",
                 base && *base && strlen(base) < FILES_BASE_MAX ? base : "/tmp");
        if (!mkdtemp(files->directory))
            return -1;
        int fd = open(files->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (is_locked(fd) && !fchmod(fd, 0711))
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

call_files *call_files_new(loop *l, log_sink *log, asynq_error *error)
{
    call_files *files = mem_calloc(1, sizeof *files);
    if (!files)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    files->log = log;
    files->fd = call_files_make_directory(files);
    if (files->fd < 0)
        error_set(error, ASYNQ_E_SYSTEM, "%s: %s", files->directory, strerror(errno));
    else
        files->thread = errands_new(l, error);
    files->sweep = (errand){.run = call_files_run_sweep, .done = sweep_done};
    if (files->thread && errands_send(files->thread, &files->sweep))
        return files;
    call_files_free(files);
    return NULL;
}

void call_files_free(call_files *files)
{
    if (!files)
        return;
    errands_free(files->thread);
    if (files->fd >= 0 && rmdir(files->directory))
        log_event(files->log, LOG_CALL_FILES, "%s: %s", files->directory, strerror(errno));
    if (files->fd >= 0)
        close(files->fd);
    mem_free(files);
}
