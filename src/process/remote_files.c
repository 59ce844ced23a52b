/* See remote_files.h. */
#include "process/remote_files.h"

#include "process/search_path.h"

#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

/* Those that linux/magic.h does not have. */
enum { GFS2_MAGIC = 0x01161970, GPFS_MAGIC = 0x47504653, LUSTRE_MAGIC = 0x0bd00bd0, BEEGFS_MAGIC = 0x19830326 };

static const unsigned remote_types[] = {
    NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,   FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,
    V9FS_MAGIC,      AFS_SUPER_MAGIC, AFS_FS_MAGIC,     AUTOFS_SUPER_MAGIC, CODA_SUPER_MAGIC, OCFS2_SUPER_MAGIC,
    GFS2_MAGIC,      GPFS_MAGIC,      LUSTRE_MAGIC,     BEEGFS_MAGIC,
};

/* Of a file that is not there its folder counts, as that is where it is looked for. */
static bool is_remote(const char *path)
{
    struct statfs found;
    char folder[4096];
    if (statfs(path, &found)) {
        const char *slash = strrchr(path, '/');
        snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
        if (statfs(folder, &found))
            return false;
    }
    for (size_t i = 0; i < sizeof remote_types / sizeof *remote_types; i++)
        if (remote_types[i] == (unsigned)found.f_type)
            return true;
    return false;
}

/* As the process sees it, which is in its own directory by then. */
static bool is_remote_from(const char *directory, const char *path)
{
    char full[4096];
    bool is_relative = directory && *path != '/';
    snprintf(full, sizeof full, "%s%s%s", is_relative ? directory : "", is_relative ? "/" : "", path);
    return is_remote(full);
}

bool remote_files_are_needed(const process_options *options, const char *program)
{
    static const char *const none[] = {NULL};
    arena memory;
    buf paths;
    arena_init(&memory, 0);
    buf_init(&paths, 0);
    const char *const *environment = process_environment(options, none, &memory);
    if (environment)
        search_path_list(environment, program, &paths);
    bool is_needed = options->directory && is_remote(options->directory);
    for (const char *path = NULL; !is_needed && (path = search_path_next(&paths, path));)
        is_needed = is_remote_from(options->directory, path);
    buf_clear(&paths);
    arena_clear(&memory);
    return is_needed;
}
