/*
 * What a route or a pool needs that is outside of the configuration: programs, files. It may be missing now and come
 * before it is needed, so that is told and refused by nobody here.
 */
#ifndef HANDLER_OUTSIDE_H
#define HANDLER_OUTSIDE_H

#include "handler/command.h"

typedef struct outside {
    const char *origin; /* "asynqd.yaml:12: routes[2]: " */
    void (*told)(void *arg, const char *origin, const char *text);
    void *arg;
} outside;

/* A program, by its name in the PATH that its process gets, or by its path. NULL and placeholders are passed over. */
void outside_program(const outside *to, const process_options *options, const char *name);
/* `argv: "echo hello"` is one word, which is no program; there are such with a space in their path. NULL: it is fine.
 */
const char *outside_check_words(const setting_list *argv);
/* A file that is read when it is needed, named by this key. NULL is passed over. */
void outside_file(const outside *to, const char *key, const char *path);

#endif
