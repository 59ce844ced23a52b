/* See outside.h. */
#include "handler/outside.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTSIDE_PATH_MAX = 4096 };

static void outside_tell(const outside *to, const char *key, const char *path, const char *problem)
{
    char text[OUTSIDE_PATH_MAX + 256];
    snprintf(text, sizeof text, "%s: %s: %s", key, path, problem);
    to->told(to->arg, to->origin, text);
}

/* 0, or why it cannot be started. Another user may have rights that we do not have. */
static int why_not_program(int folder, const char *path, bool is_of_another)
{
    struct stat found;
    if (fstatat(folder, path, &found, 0))
        return errno;
    if (S_ISDIR(found.st_mode))
        return EISDIR;
    return is_of_another || !faccessat(folder, path, X_OK, AT_EACCESS) ? 0 : errno;
}

static const char *path_of(const process_options *options, arena *memory)
{
    static const char *const none[] = {NULL};
    const char *const *list = process_environment(options, none, memory);
    const char *found = "";
    for (; list && *list; list++)
        if (strncmp(*list, "PATH=", 5) == 0)
            found = *list + 5;
    return found;
}

/* In the folders of the PATH, one after the other. */
static int why_not_found(const process_options *options, int directory, const char *name)
{
    char full[OUTSIDE_PATH_MAX];
    arena memory;
    int reason = ENOENT;
    arena_init(&memory, 0);
    for (const char *folder = path_of(options, &memory), *next; *folder && reason; folder = next) {
        size_t length = strcspn(folder, ":");
        next = folder + length + (folder[length] == ':');
        if (snprintf(full, sizeof full, "%.*s/%s", (int)length, folder, name) >= (int)sizeof full)
            continue;
        int problem = why_not_program(directory, full, options->user != NULL);
        reason = problem != ENOENT && problem != ENOTDIR && problem != EISDIR ? problem : reason;
    }
    arena_clear(&memory);
    return reason;
}

void outside_program(const outside *to, const process_options *options, const char *name)
{
    if (!name || !*name || strstr(name, "{{"))
        return;
    int directory = options->directory ? open(options->directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD;
    if (options->directory && directory < 0) {
        outside_tell(to, "process.directory", options->directory, strerror(errno));
        return;
    }
    bool is_path = strchr(name, '/') != NULL;
    int reason =
        is_path ? why_not_program(directory, name, options->user != NULL) : why_not_found(options, directory, name);
    if (reason)
        outside_tell(to, "argv", name,
                     reason == ENOENT && !is_path ? "there is no such program in the PATH of its process"
                                                  : strerror(reason));
    if (directory >= 0)
        close(directory);
}

const char *outside_check_words(const setting_list *argv)
{
    bool is_one = argv->count == 1 && strpbrk(argv->items[0], " \t\n") && !strchr(argv->items[0], '/');
    return is_one ? "is one word with spaces in it, the name of a program; write a list: [program, argument]" : NULL;
}

void outside_file(const outside *to, const char *key, const char *path)
{
    if (path && access(path, R_OK))
        outside_tell(to, key, path, strerror(errno));
}
