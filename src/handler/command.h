/* The command handler: each attempt is a run of a program. */
#ifndef HANDLER_COMMAND_H
#define HANDLER_COMMAND_H

#include "handler/child.h"
#include "handler/handler.h"

extern const handler_kind handler_command;

/* ---- what commands and worker processes have in common: process.c ---- */

/* What a process may have. */
typedef struct process_options {
    setting_list inherit;    /* names of variables */
    setting_pairs variables; /* set by us */
    const char *directory;
    const char *user;
    setting_pairs limits;

    /* Made by process_prepare(). */
    child_user found_user;
    child_limit *found_limits;
    size_t limit_count;
} process_options;

extern const setting process_table[];

int process_prepare(settings *file, settings_node *node, process_options *options, asynq_error *error);

/* Its environment, ending with NULL; `own` are further "NAME=value" texts, ending with NULL. In `memory`. */
const char *const *process_environment(const process_options *options, const char *const *own, arena *memory);

/* The end of a text that a process writes: the last `most` bytes. */
typedef struct text_tail {
    size_t most;
    buf text;
    bool is_cut;
} text_tail;

void text_tail_init(text_tail *tail, size_t most);
void text_tail_add(text_tail *tail, const char *data, size_t length);
/* Without white space around it, as UTF-8; "" if there is nothing. Belongs to the tail. */
const char *text_tail_get(text_tail *tail);
void text_tail_clear(text_tail *tail);

#endif
