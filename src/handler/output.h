/*
 * What commands and worker processes write while they have a task, kept as a route asks for it: its end, standard
 * output and error together, in the order in which they came. It goes into the history, and into the error when the
 * attempt fails.
 *
 * Thread: that of the daemon's loop, except where "any" is said.
 */
#ifndef HANDLER_OUTPUT_H
#define HANDLER_OUTPUT_H

#include "base/buf.h"
#include "base/setting.h"
#include "handler/handler.h"

typedef enum output_keep { OUTPUT_NEVER, OUTPUT_FAILURE, OUTPUT_ALWAYS } output_keep;

typedef struct output_options {
    int keep; /* output_keep */
    int64_t max_size;
    bool is_logged; /* each line, while it runs */
} output_options;

extern const setting output_table[];

/* From now on, if it is asked for; after handler_start(). */
void handler_keep_output(handler_call *call, const output_options *options);
/* `stream` is 1 or 2. Nothing happens if it is neither kept nor logged. */
void handler_add_output(handler_call *call, int stream, const char *data, size_t length);
/* There is nothing more: the rest of a line is logged, too. */
void handler_end_output(handler_call *call);
/* Whether output is kept for the error of a failed attempt. */
bool handler_keeps_output(handler_call *call);
/* ": what is kept", its end if there is not enough room; or nothing. Returns `room`. */
const char *attempt_output_complaint(handler_call *call, char *room, size_t size);

/* Appends what is kept, as UTF-8 without NUL; nothing if it is not to be kept after such an end. Thread: any. */
void attempt_output_append(const attempt_note *note, bool has_failed, buf *text);
/* Accepts NULL. */
void attempt_output_free(attempt_output *output);

#endif
