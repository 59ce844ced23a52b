/* The end of a text that grows. It belongs to its owner, and is its owner's thread's. */
#ifndef HANDLER_TEXT_TAIL_H
#define HANDLER_TEXT_TAIL_H

#include "base/buf.h"

/* Of what a process writes: the last `most` bytes. */
typedef struct text_tail {
    size_t max;
    buf text;
    bool is_cut;
} text_tail;

void text_tail_init(text_tail *tail, size_t max);
void text_tail_add(text_tail *tail, const char *data, size_t length);
/* Without white space around it, as UTF-8; "" if there is nothing. Belongs to the tail. */
const char *text_tail_get(text_tail *tail);
void text_tail_clear(text_tail *tail);

#endif
