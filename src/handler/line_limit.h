/*
 * How much of what a process says is logged: so many lines a second from each, and from all together in a moment what
 * the loop has time for. What is left out is counted, and told while it goes on.
 *
 * Thread: that of the loop.
 */
#ifndef HANDLER_LINE_LIMIT_H
#define HANDLER_LINE_LIMIT_H

#include "base/log.h"
#include "event/timer.h"

enum { LINES_AT_ONCE = 1000, LINES_PER_SECOND = 500 };

typedef struct line_room {
    int64_t used; /* thousandths of a line */
    int64_t at_ms;
} line_room;

typedef struct line_limit {
    log_sink *log;
    char who[96];
    line_room room;
    uint64_t left_out;
    loop_timer tell;
} line_limit;

/* `who` says it, as in "worker python.3". */
void line_limit_init(line_limit *limit, loop *l, log_sink *log, const char *who);
/* Whether one more line is logged; if not, it is counted. */
bool line_limit_pass(line_limit *limit);
/* Tells what was left out since it was last told. It may say more afterwards; but then the end has to be told again. */
void line_limit_end(line_limit *limit);

#endif
