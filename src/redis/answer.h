/*
 * What became of a command, and the one reading of Redis's error replies: handshake, commands, scripts and the public
 * status codes all take it from here.
 *
 *   error reply --> redis_answer --> REDIS_NOT_RUN with a reason (the connection waits or looks elsewhere), or a status
 */
#ifndef REDIS_ANSWER_H
#define REDIS_ANSWER_H

#include "redis/reply.h"

/* What became of a command. */
typedef enum redis_outcome {
    REDIS_REPLIED, /* `reply` holds the answer, which may be a Redis error */
    REDIS_NOT_RUN, /* it certainly did not run; it may be sent again */
    REDIS_UNKNOWN  /* the connection died before the answer: it may have run or not */
} redis_outcome;

typedef struct redis_result {
    redis_outcome outcome;
    const redis_value *reply;    /* valid during the callback; NULL unless REDIS_REPLIED */
    const char *reason;          /* why there is no reply */
    const char *key_prefix;      /* of the connection */
    const redis_value *redirect; /* of NOT_RUN: what was answered; NULL: nothing. See redirect.h */
} redis_result;

/* Called exactly once for each accepted command, also when the connection dies or is freed. */
typedef void (*redis_result_cb)(void *arg, const redis_result *result);

/* Classes of replies. A reply of each class but FINE and WRONG means that nothing was written. */
typedef enum redis_answer {
    REDIS_ANSWER_FINE,        /* no error */
    REDIS_ANSWER_NO_SCRIPT,   /* the script has to be loaded */
    REDIS_ANSWER_NOT_NOW,     /* the same server will take it later */
    REDIS_ANSWER_NOT_HERE,    /* another server has to be asked */
    REDIS_ANSWER_FULL,        /* maxmemory is reached */
    REDIS_ANSWER_REFUSED,     /* credentials or rights are missing */
    REDIS_ANSWER_NO_DATABASE, /* the server has no database of that number */
    REDIS_ANSWER_WRONG        /* anything else: the command, or the key that it met */
} redis_answer;

redis_answer redis_answer_of(const redis_value *reply);

/* What it means, for a person, such as "Redis is loading its data". "" for FINE and WRONG. Static storage. */
const char *redis_answer_meaning(const redis_value *reply);

/* Redis's own words, and for missing rights the ACL rule that gives them, for keys that begin with `key_prefix`. */
void redis_answer_describe(const redis_value *reply, const char *key_prefix, char *text, size_t size);

/* Turns a result that is not success into a code and a text. 0 if the reply is not an error. */
int redis_result_check(const redis_result *result, asynq_error *error);

/* What a broken connection or a server in trouble does to calls: another attempt at the same may get through. */
bool redis_error_is_passing(int status);

/* There was no answer that says whether it ran. */
bool redis_error_is_unsure(int status);

/* Wrong credentials, a certificate that is not trusted and the like do not get better by waiting. */
bool redis_error_is_final(int status);

#endif
