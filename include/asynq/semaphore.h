/*
 * Semaphores over all processes, for handlers. Most handlers need none: a limit in the route (asynq_route.limit) does
 * the same, and tasks over it wait without an attempt.
 *
 *     bool has_token;
 *     if (asynq_semaphore_acquire(printers, asynq_job_id(job), asynq_job_deadline_ms(job), &has_token, &error))
 *         return asynq_fail(job, "%s", error.text);
 *     if (!has_token)
 *         return asynq_snooze(job, ASYNQ_SECONDS(5), "all printers are busy");
 *     ...
 *     asynq_semaphore_release(printers, asynq_job_id(job), NULL);
 *
 * Handlers in Go that use asynq's x/rate with the same scope and Redis share the tokens.
 */
#ifndef ASYNQ_SEMAPHORE_H
#define ASYNQ_SEMAPHORE_H

#include <asynq/error.h>
#include <asynq/sizes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asynq_semaphore asynq_semaphore;

typedef struct asynq_semaphore_options {
    const char *redis;  /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    const char *scope;  /* not blank */
    int tokens;         /* at least 1; whoever uses the scope must agree on it */
    int64_t timeout_ms; /* longest wait for Redis of one call; default 10 s */
    const char *prefix; /* of all keys, as for clients; default "asynq" */
} asynq_semaphore_options;

/* Makes a semaphore. Does not contact Redis. NULL: see `error`. Thread: any; calls of several threads come in turn. */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_semaphore *asynq_semaphore_new(const asynq_semaphore_options *options,
                                                                  asynq_error *error);
/* Accepts NULL. Tokens stay with their holders. Thread: any, but no other thread may still use it. */
ASYNQ_API void asynq_semaphore_free(asynq_semaphore *semaphore);

/*
 * Takes a token for a holder, a task's id, until the deadline (Unix ms; Redis has whole seconds), when it is free again
 * whatever happened. Does not wait for a token: `*is_held` says whether there was one. A holder that has one and asks
 * again is prolonged, but refused while there is none left. Returns 0, ASYNQ_E_INVALID (no holder, or no deadline), or
 * what is wrong with Redis.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_semaphore_acquire(asynq_semaphore *semaphore, const char *holder,
                                                       int64_t deadline_ms, bool *is_held, asynq_error *error);

/* Gives the holder's token back. Returns 0, ASYNQ_E_NOT_FOUND (it has none), or what is wrong with Redis. */
ASYNQ_API int asynq_semaphore_release(asynq_semaphore *semaphore, const char *holder, asynq_error *error);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_semaphore_sizes[] ASYNQ_UNUSED = {
    1,
    sizeof(asynq_semaphore_options),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_semaphore ASYNQ_UNUSED = {
    {NULL, NULL, NULL, NULL, NULL, asynq_semaphore_sizes}};

ASYNQ_SIZED_API ASYNQ_MUST_CHECK asynq_semaphore *
asynq_semaphore_new_sized(const asynq_sizes *sizes, const asynq_semaphore_options *options, asynq_error *error);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_semaphore_new(...) asynq_semaphore_new_sized(&asynq_sizes_of_semaphore, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
