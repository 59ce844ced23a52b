/*
 * Messages that a lease left out, because they are large: each is read with a command of its own, then its task begins.
 *
 * Their lease is under way until the last one is answered: the queue takes no other task meanwhile, and their slots are
 * taken. If one cannot be read, the whole lease is read back, as when its own answer was lost; tasks that have begun do
 * not begin again.
 */
#ifndef SERVER_MESSAGE_READ_H
#define SERVER_MESSAGE_READ_H

#include "broker/broker.h"

struct lease_call;

/* Sends the commands for what the lease left out. Returns how many messages are awaited. The answer to the last one
 * calls fetch_lease_over(). */
size_t message_read_begin(struct lease_call *call, const redis_value *lease_reply);

#endif
