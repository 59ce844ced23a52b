/*
 * What a route or a pool needs that is outside of the configuration: files, and programs (process/program.h). It may be
 * missing now and come before it is needed, so that is told and refused by nobody here. Thread: any.
 */
#ifndef HANDLER_OUTSIDE_H
#define HANDLER_OUTSIDE_H

typedef struct outside {
    const char *origin; /* "asynqd.yaml:12: routes[2]: " */
    void (*told)(void *arg, const char *origin, const char *text);
    void *arg;
} outside;

/* What this key names has this problem. */
void outside_tell(const outside *to, const char *key, const char *path, const char *problem);
/* A file that is read when it is needed, named by this key. NULL is passed over. */
void outside_file(const outside *to, const char *key, const char *path);

#endif
