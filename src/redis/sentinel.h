/*
 * Asking Redis Sentinel where the master is. All sentinels are asked at once, and it is decided when all have answered,
 * or after 300 ms by those that did; if none did, by the first that does.
 *
 *   redis_sentinel_ask() --> each: dial, AUTH, SENTINEL GET-MASTER-ADDR-BY-NAME, SENTINEL MASTER --> votes --> found()
 *
 * The latest election counts, whose number ("config-epoch") SENTINEL MASTER tells: one sentinel may be the first to
 * know of it, another may be cut off and still name the old master. Among votes of one election the most votes count.
 *
 * The connection to the one whose vote won stays, subscribed to +switch-master: a message there asks all again. It is
 * no more than a hint; messages are lost with the connection, so the owner asks from time to time as well.
 *
 * Thread: loop.
 */
#ifndef REDIS_SENTINEL_H
#define REDIS_SENTINEL_H

#include "base/log.h"
#include "event/loop.h"
#include "redis/uri.h"

typedef struct redis_sentinel redis_sentinel;

typedef struct redis_sentinel_events {
    void (*found)(void *arg, const char *host, int port); /* also after a message; the text is the called's to copy */
    /* ASYNQ_E_UNAVAILABLE: none has answered; ASYNQ_E_AUTH; ASYNQ_E_INVALID: they do not know the master's name. */
    void (*failed)(void *arg, const asynq_error *error);
    void *arg;
} redis_sentinel_events;

/* `uri` and `log` are borrowed. NULL: out of memory. */
redis_sentinel *redis_sentinel_new(loop *l, const redis_uri *uri, log_sink *log, const redis_sentinel_events *events);
/* Accepts NULL. */
void redis_sentinel_free(redis_sentinel *sentinel);

/* One of the events follows. While a question is under way a second one joins it. */
void redis_sentinel_ask(redis_sentinel *sentinel);
/* Gives the question up; no event follows, until the next one or a message. */
void redis_sentinel_cancel(redis_sentinel *sentinel);
/* What was found last was no good: with as many votes as another it loses the next time. */
void redis_sentinel_distrust(redis_sentinel *sentinel);
/* A sentinel would tell us of a switch. */
bool redis_sentinel_is_subscribed(const redis_sentinel *sentinel);

#endif
