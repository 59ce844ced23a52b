/* See worker_program.h. */
#include "process/worker_program.h"

#include "base/arena.h"
#include "base/error.h"
#include "process/search_path.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PROGRAM_FILES_MAX = 10000, PROGRAM_PATH_MAX = 4096 };

/* FNV-1a of 64 bits: it has to differ, not to withstand anybody. */
static uint64_t mix(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

/* Files are summed up, as a folder has no order. */
static void add_file(uint64_t *sum, const char *path, const struct stat *found)
{
    const uint64_t facts[] = {(uint64_t)found->st_dev, (uint64_t)found->st_ino, (uint64_t)found->st_size,
                              (uint64_t)found->st_mtim.tv_sec, (uint64_t)found->st_mtim.tv_nsec};
    *sum += mix(mix(0xcbf29ce484222325, path, strlen(path)), facts, sizeof facts);
}

/* As the process sees it. False: it is too long. */
static bool place(const worker_options *options, const char *path, char *full)
{
    const char *directory = options->process.directory;
    bool is_below = directory && *path != '/';
    return snprintf(full, PROGRAM_PATH_MAX, "%s%s%s", is_below ? directory : "", is_below ? "/" : "", path) <
           PROGRAM_PATH_MAX;
}

static bool add_if_file(uint64_t *sum, const worker_options *options, const char *path)
{
    struct stat found;
    char full[PROGRAM_PATH_MAX];
    if (!place(options, path, full) || stat(full, &found) || !S_ISREG(found.st_mode))
        return false;
    add_file(sum, path, &found);
    return true;
}

/* ---- argv ---- */

/* The first that the process would find; without memory none. */
static void add_command(uint64_t *sum, const worker_options *options, const char *name)
{
    static const char *const none[] = {NULL};
    arena memory;
    buf paths;
    arena_init(&memory, 0);
    buf_init(&paths, 0);
    const char *const *environment = process_environment(&options->process, none, &memory);
    if (environment)
        search_path_list(environment, name, &paths);
    for (const char *path = NULL; (path = search_path_next(&paths, path)) && !add_if_file(sum, options, path);)
        continue;
    buf_clear(&paths);
    arena_clear(&memory);
}

uint64_t worker_program_stamp(const worker_options *options)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < options->argv.count; i++)
        if (i == 0)
            add_command(&sum, options, options->argv.items[i]);
        else
            add_if_file(&sum, options, options->argv.items[i]);
    return sum;
}

/* ---- watch ---- */

/* What programs write for themselves there does not count. */
static bool is_skipped(const FTSENT *entry)
{
    return entry->fts_level > 0 && (*entry->fts_name == '.' || strcmp(entry->fts_name, "__pycache__") == 0);
}

/* What has gone since its folder was read does not matter. */
static bool is_unreadable(const FTSENT *entry)
{
    bool is_problem = entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR;
    return is_problem && (entry->fts_level == 0 || entry->fts_errno != ENOENT);
}

/* Returns 0, or an errno. */
static int add_tree(uint64_t *sum, char *path)
{
    char *const paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return errno;
    int problem = 0, seen = 0;
    for (FTSENT *entry; !problem && (entry = fts_read(tree));) {
        if (is_skipped(entry))
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F)
            add_file(sum, entry->fts_path, entry->fts_statp);
        else if (is_unreadable(entry))
            problem = entry->fts_errno;
        if (++seen > PROGRAM_FILES_MAX)
            problem = E2BIG;
    }
    fts_close(tree);
    return problem;
}

int worker_program_prepare(settings *file, settings_node *node, worker_options *options, asynq_error *error)
{
    uint64_t sum = worker_program_stamp(options);
    char full[PROGRAM_PATH_MAX];
    for (size_t i = 0; i < options->watch.count; i++) {
        const char *path = options->watch.items[i];
        int problem = place(options, path, full) ? add_tree(&sum, full) : ENAMETOOLONG;
        if (problem == E2BIG)
            return settings_complain(file, node, error,
                                     "watch: %s: %d files and folders are the most that can be watched", path,
                                     PROGRAM_FILES_MAX);
        if (problem)
            return settings_complain(file, node, error, "watch: %s: %s", path, strerror(problem));
    }
    options->stamp = sum;
    return ASYNQ_OK;
}
