/*
 * Semaphores over all processes: a sorted set per scope with the holders and the times until which they hold (spec 12;
 * asynq's x/rate). Calls and callbacks are as in broker.h.
 */
#ifndef BROKER_SEMAPHORE_H
#define BROKER_SEMAPHORE_H

#include "broker/broker.h"

typedef struct semaphore_token {
    bytes holder;
    int64_t until_s; /* Unix s; when giving back: only if it is still this, or SEMAPHORE_ANY */
    bool again;      /* taking: the answer to an earlier call was lost */
} semaphore_token;

#define SEMAPHORE_ANY INT64_MIN

typedef struct semaphore_tokens {
    const semaphore_token *tokens;
    size_t count;
} semaphore_tokens;

typedef struct semaphore_call {
    bytes scope;
    int64_t max; /* tokens there are */
    semaphore_tokens back, prolong, take;
} semaphore_call;

/* reply: broker_tokens_back() and broker_token_taken(). */
ASYNQ_MUST_CHECK int broker_semaphore(const broker *b, const semaphore_call *call, int64_t now_ns, broker_cb cb,
                                      void *arg);

/* How many were given back that were held. */
int64_t broker_tokens_back(const redis_value *reply);
/* Whether the token at this place of `take` was to be had. */
bool broker_token_taken(const redis_value *reply, size_t index);

#endif
