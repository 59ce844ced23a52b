/*
 * A socket that frames come and go over, without ever waiting. What cannot be sent at once is kept; what has arrived is
 * taken whole frame by whole frame. Thread: that of the loop.
 */
#ifndef PROCESS_FRAME_LINK_H
#define PROCESS_FRAME_LINK_H

#include "event/watch.h"
#include "process/frame.h"

typedef struct frame_link_events {
    /* What the frame points to is gone afterwards. False: no more are taken. */
    bool (*frame)(void *arg, const frame *f);
    /* It is of no use any more, as bytes came that are no frame, or for want of memory. The link is to be shut. */
    void (*broken)(void *arg, const char *why);
    void *arg;
} frame_link_events;

/* Zeros: not open; then nothing can be sent. */
typedef struct frame_link {
    loop *loop;
    frame_link_events events;
    bool is_open, is_shut;
    int fd;
    loop_watch watch;
    buf in, out;
    size_t out_sent;
    int64_t heard_at_ms; /* on the steady clock */
} frame_link;

/* Takes over the descriptor. That the other side closes it is not told: the end of its process will be. */
void frame_link_open(frame_link *link, loop *l, int fd, const frame_link_events *events);
/* False: it is not open, shut, or breaks. */
bool frame_link_send(frame_link *link, const frame *f);
/* What the other side had sent before it ended, and not what others send who still have its socket. */
void frame_link_read_last(frame_link *link);
/* Nothing is taken or sent any more. */
void frame_link_shut(frame_link *link);
/* For how long nothing has come, since it was opened or frame_link_expect() was called. */
int64_t frame_link_silent_ms(const frame_link *link);
void frame_link_expect(frame_link *link);
void frame_link_close(frame_link *link);

#endif
