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

/*
 * A semaphore over all processes that use the same Redis and scope. Its tokens are in Redis. Any number of threads can
 * use it; their calls come in turn.
 */
typedef struct asynq_semaphore asynq_semaphore;

/* Options of a semaphore. Zero means the default. */
typedef struct asynq_semaphore_options {
    const char *redis;  /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    const char *scope;  /* name of the limit; not blank; required */
    int tokens;         /* how many holders at the same time, at least 1; all users of the scope must agree on it */
    int64_t timeout_ms; /* maximum wait for Redis of one call, in milliseconds; default 10 s */
    const char *prefix; /* of all keys, as for clients; default "asynq" */
} asynq_semaphore_options;

/*
 * Makes a semaphore over all processes. Does not contact Redis. `options` is copied; `scope` and `tokens` are required.
 * Returns a semaphore that asynq_semaphore_free() frees, or NULL after filling `error`: ASYNQ_E_INVALID (an option is
 * wrong) or ASYNQ_E_NO_MEMORY. Thread: any.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_semaphore *asynq_semaphore_new(const asynq_semaphore_options *options,
                                                                  asynq_error *error);
/*
 * Frees a semaphore. Tokens stay with their holders until they are released or their deadlines pass. Accepts NULL.
 * Thread: any, but no other thread may still use it.
 */
ASYNQ_API void asynq_semaphore_free(asynq_semaphore *semaphore);

/*
 * Takes a token of a semaphore for a holder. The holder is a task's id; the deadline is Unix time in milliseconds, of
 * which Redis has whole seconds: then the token is free again whatever happened. The call does not wait for a token:
 * `*is_held` says whether there was one. A holder that has one and asks again keeps it until the new deadline, but is
 * refused while no token is left.
 *
 * Returns 0, ASYNQ_E_INVALID (no holder, or no deadline), ASYNQ_E_UNAVAILABLE (nothing was changed),
 * ASYNQ_E_OUTCOME_UNKNOWN (the token may have been taken), ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS,
 * ASYNQ_E_REDIS_FULL or ASYNQ_E_NO_MEMORY. With 0, `*is_held` says whether the holder has a token. Thread: any; blocks,
 * so not on a loop.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_semaphore_acquire(asynq_semaphore *semaphore, const char *holder,
                                                       int64_t deadline_ms, bool *is_held, asynq_error *error);

/*
 * Releases the token of a holder. `error` may be NULL.
 *
 * Returns 0, ASYNQ_E_NOT_FOUND (the holder has none), ASYNQ_E_UNAVAILABLE (nothing was changed),
 * ASYNQ_E_OUTCOME_UNKNOWN (the token may have been released), ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS or
 * ASYNQ_E_NO_MEMORY. Thread: any; blocks, so not on a loop.
 */
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
