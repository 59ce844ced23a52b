/* A call in frames: the task that a worker process is sent, and the answer that ends it. Thread: that of the loop. */
#ifndef PROCESS_CALL_FRAME_H
#define PROCESS_CALL_FRAME_H

#include "handler/handler.h"
#include "process/frame.h"

/* The largest payload that fits into a frame with all that a task may have beside it. */
enum { CALL_FRAME_MAX_PAYLOAD = FRAME_MAX / 2 };

/* Makes a frame of the call; what it points to is the job's, and `pairs`. */
void call_frame_make(const handler_call *call, int64_t number, frame_pair pairs[FRAME_MAX_HEADERS], frame *f);

/* Ends the call as a frame of the type result or error says. Of a result `most_result` bytes are kept. */
void call_frame_end(handler_call *call, const frame *f, size_t max_result);

#endif
