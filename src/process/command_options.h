/*
 * What a route says about a command: the table of its settings, and what is made of them. It lives in the memory of its
 * settings, and is not changed once it is prepared. Thread: any.
 */
#ifndef PROCESS_COMMAND_OPTIONS_H
#define PROCESS_COMMAND_OPTIONS_H

#include "handler/handler.h"
#include "handler/output.h"
#include "process/process.h"

typedef enum command_input { INPUT_PAYLOAD, INPUT_FILE, INPUT_NONE } command_input;

typedef struct command_options {
    setting_list argv;
    const char *shell;
    int input; /* command_input */
    bool takes_options;
    process_options process;
    setting_list success, permanent;
    int64_t timeout_ms, grace_ms, max_result, max_error;
    output_options output;

    /* Made by command_options_prepare(). */
    template **words;
    bool is_success[256], is_permanent[256];
} command_options;

extern const setting command_table[];

/* These three are for the kind of handler. */
int command_options_prepare(settings *file, settings_node *node, void *target, asynq_error *error);
void command_options_clear(void *target);
void command_options_look(const void *target, const struct outside *to);

/* Its program, as it would be looked for. */
const char *command_options_program(const command_options *options);

#endif
