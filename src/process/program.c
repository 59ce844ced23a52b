/* See program.h. */
#include "process/program.h"

#include "base/arena.h"
#include "process/search_path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* In the folders of the PATH, one after the other. */
static int why_not_found(const process_options *options, int directory, const char *name)
{
    static const char *const none[] = {NULL};
    arena memory;
    buf paths;
    int reason = ENOENT;
    arena_init(&memory, 0);
    buf_init(&paths, 0);
    const char *const *environment = process_environment(options, none, &memory);
    if (environment)
        search_path_list(environment, name, &paths);
    for (const char *path = NULL; reason && (path = search_path_next(&paths, path));) {
        int problem = why_not_program(directory, path, options->user != NULL);
        reason = problem != ENOENT && problem != ENOTDIR && problem != EISDIR ? problem : reason;
    }
    buf_clear(&paths);
    arena_clear(&memory);
    return reason;
}

void program_look(const outside *to, const process_options *options, const char *name)
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

const char *program_check_words(const setting_list *argv)
{
    bool is_one = argv->count == 1 && strpbrk(argv->items[0], " \t\n") && !strchr(argv->items[0], '/');
    return is_one ? "is one word with spaces in it, the name of a program; write a list: [program, argument]" : NULL;
}
