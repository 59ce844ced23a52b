/*
 * What a lease took whose reply was lost. Its tag tells: the tasks that it took are in the lease set with it.
 *
 * Thread: loop, all.
 */
#ifndef SERVER_READ_BACK_H
#define SERVER_READ_BACK_H

#include <stdint.h>

struct served_queue;

/* Asks for each call of the queue of which it is not known what it took, unless that is under way. Its tasks begin. */
void read_back(struct served_queue *queue);
/* Whatever a lease took that ended before this moment, by the steady clock, belongs to the recoverers now. */
void read_back_no_more(struct served_queue *queue, int64_t before_ms);

#endif
