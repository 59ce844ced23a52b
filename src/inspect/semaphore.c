/* Semaphores for handlers: a connection of their own, one call at a time. */
#include "broker/semaphore.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "inspect/inspect.h"

#include <asynq/semaphore.h>
#include <pthread.h>
#include <string.h>

struct asynq_semaphore {
    pthread_mutex_t lock; /* for the connection */
    asynq_inspector *inspector;
    char *scope;
    int tokens;
};

static int check_options(const asynq_semaphore_options *options, asynq_error *error)
{
    if (!options->scope || text_is_blank(options->scope, strlen(options->scope)))
        return error_set(error, ASYNQ_E_INVALID, "scope should not be empty");
    if (strlen(options->scope) > ASYNQ_NAME_MAX)
        return error_set(error, ASYNQ_E_INVALID, "the scope of a semaphore is longer than %d bytes", ASYNQ_NAME_MAX);
    if (options->tokens < 1)
        return error_set(error, ASYNQ_E_INVALID, "tokens cannot be less than 1");
    return ASYNQ_OK;
}

asynq_semaphore *asynq_semaphore_new(const asynq_semaphore_options *given, asynq_error *error)
{
    error_clear(error);
    asynq_semaphore_options options = given ? *given : (asynq_semaphore_options){0};
    if (check_options(&options, error))
        return NULL;
    asynq_semaphore *semaphore = mem_calloc(1, sizeof *semaphore);
    if (!semaphore) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    pthread_mutex_init(&semaphore->lock, NULL);
    semaphore->tokens = options.tokens;
    semaphore->scope = mem_strdup(options.scope);
    if (semaphore->scope)
        semaphore->inspector = asynq_inspector_new(&(asynq_inspector_options){.redis = options.redis,
                                                                              .timeout_ms = options.timeout_ms,
                                                                              .prefix = options.prefix},
                                                   error);
    else
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (semaphore->inspector)
        return semaphore;
    asynq_semaphore_free(semaphore);
    return NULL;
}

void asynq_semaphore_free(asynq_semaphore *semaphore)
{
    if (!semaphore)
        return;
    asynq_inspector_free(semaphore->inspector);
    mem_free(semaphore->scope);
    pthread_mutex_destroy(&semaphore->lock);
    mem_free(semaphore);
}

static int call_once(asynq_semaphore *semaphore, const semaphore_call *order, const redis_value **reply,
                     asynq_error *error)
{
    asynq_inspector *inspector = semaphore->inspector;
    inspect_call call = inspect_begin(inspector, INSPECT_CHANGE, error);
    while (inspect_again(&call))
        call.sent = broker_semaphore(&inspector->broker, order, clock_now_ns(), inspect_replied, inspector);
    *reply = call.reply;
    return call.status;
}

/* Under the lock. After a lost answer once more, with `again` set: then what was done is ours. */
static int semaphore_ask(asynq_semaphore *semaphore, semaphore_token *token, semaphore_call order,
                         const redis_value **reply, asynq_error *error)
{
    order.scope = bytes_of(semaphore->scope);
    order.max = semaphore->tokens;
    int status = call_once(semaphore, &order, reply, error);
    if (status != ASYNQ_E_OUTCOME_UNKNOWN)
        return status;
    token->again = true;
    return call_once(semaphore, &order, reply, error);
}

static int check_holder(const char *holder, asynq_error *error)
{
    return holder && *holder ? ASYNQ_OK : error_set(error, ASYNQ_E_INVALID, "a token needs a holder: the id of a task");
}

int asynq_semaphore_acquire(asynq_semaphore *semaphore, const char *holder, int64_t deadline_ms, bool *is_held,
                            asynq_error *error)
{
    const redis_value *reply;
    *is_held = false;
    int status = check_holder(holder, error);
    if (!status && deadline_ms <= 0)
        status = error_set(error, ASYNQ_E_INVALID, "a token needs a deadline");
    if (status)
        return status;
    semaphore_token token = {.holder = bytes_of(holder), .until_s = floor_div(deadline_ms, MS_PER_SECOND)};
    pthread_mutex_lock(&semaphore->lock);
    status = semaphore_ask(semaphore, &token, (semaphore_call){.take = {&token, 1}}, &reply, error);
    if (!status)
        *is_held = broker_token_taken(reply, 0);
    pthread_mutex_unlock(&semaphore->lock);
    return status;
}

int asynq_semaphore_release(asynq_semaphore *semaphore, const char *holder, asynq_error *error)
{
    const redis_value *reply;
    int status = check_holder(holder, error);
    if (status)
        return status;
    semaphore_token token = {.holder = bytes_of(holder), .until_s = SEMAPHORE_ANY};
    pthread_mutex_lock(&semaphore->lock);
    status = semaphore_ask(semaphore, &token, (semaphore_call){.back = {&token, 1}}, &reply, error);
    if (!status && !token.again && !broker_tokens_back(reply))
        status = error_set(error, ASYNQ_E_NOT_FOUND, "no token found for task \"%.128s\"", holder);
    pthread_mutex_unlock(&semaphore->lock);
    return status;
}
