/* See outside.h. */
#include "handler/outside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OUTSIDE_PATH_MAX = 4096 };

void outside_tell(const outside *to, const char *key, const char *path, const char *problem)
{
    char text[OUTSIDE_PATH_MAX + 256];
    snprintf(text, sizeof text, "%s: %s: %s", key, path, problem);
    to->told(to->arg, to->origin, text);
}

void outside_file(const outside *to, const char *key, const char *path)
{
    if (path && access(path, R_OK))
        outside_tell(to, key, path, strerror(errno));
}
