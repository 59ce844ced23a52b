/* See search_path.h. */
#include "process/search_path.h"

#include <string.h>

static const char *search_path_of(const char *const *environment)
{
    for (; *environment; environment++)
        if (strncmp(*environment, "PATH=", 5) == 0)
            return *environment + 5;
    return "/bin:/usr/bin";
}

static void search_path_add(buf *paths, const char *folder, size_t length, const char *name)
{
    if (length)
        buf_append_format(paths, "%.*s/", (int)length, folder);
    buf_append(paths, name, strlen(name) + 1);
}

void search_path_list(const char *const *environment, const char *name, buf *paths)
{
    const char *folder = search_path_of(environment);
    if (strchr(name, '/'))
        search_path_add(paths, "", 0, name);
    for (bool is_last = strchr(name, '/') || !*name; !is_last; folder++) {
        size_t length = strcspn(folder, ":");
        search_path_add(paths, folder, length, name);
        folder += length;
        is_last = !*folder;
    }
}

const char *search_path_next(const buf *paths, const char *path)
{
    if (path)
        path += strlen(path) + 1;
    else
        path = paths->data;
    return path && path < paths->data + paths->length ? path : NULL;
}
