/* A client's life. */
#include "client/client.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <inttypes.h>
#include <unistd.h>
#include <uuid/uuid.h>

enum {
    CLIENT_DEFAULT_TIMEOUT_MS = 10000,
    CLIENT_DEFAULT_REPLICAS_TIMEOUT_MS = 1000,
    CLIENT_MAX_REPLICAS_TIMEOUT_MS = 60000
};

#define CLIENT_DEFAULT_WAITING ((size_t)64 << 20)
#define CLIENT_DEFAULT_URI "redis://127.0.0.1:6379"

static int client_check_options(asynq_client_options *options, asynq_error *error)
{
    if (!options->redis)
        options->redis = CLIENT_DEFAULT_URI;
    if (!options->timeout_ms)
        options->timeout_ms = CLIENT_DEFAULT_TIMEOUT_MS;
    if (!options->max_waiting_bytes)
        options->max_waiting_bytes = CLIENT_DEFAULT_WAITING;
    if (!options->replicas_timeout_ms)
        options->replicas_timeout_ms = CLIENT_DEFAULT_REPLICAS_TIMEOUT_MS;
    if (options->timeout_ms < 0)
        return error_set(error, ASYNQ_E_INVALID, "timeout_ms of the client is negative");
    if (options->replicas < 0)
        return error_set(error, ASYNQ_E_INVALID, "replicas of the client is %d; it cannot be negative",
                         options->replicas);
    if (options->replicas_timeout_ms < 0 || options->replicas_timeout_ms > CLIENT_MAX_REPLICAS_TIMEOUT_MS)
        return error_set(error, ASYNQ_E_INVALID, "replicas_timeout_ms of the client is %" PRId64 "; it can be 1 to %d",
                         options->replicas_timeout_ms, CLIENT_MAX_REPLICAS_TIMEOUT_MS);
    return ASYNQ_OK;
}

asynq_client *asynq_client_new(const asynq_client_options *options, asynq_error *error)
{
    error_clear(error);
    asynq_client *client = mem_calloc(1, sizeof *client);
    if (!client) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    if (options)
        client->options = *options;
    int status = client_check_options(&client->options, error);
    if (!status)
        status = redis_uri_parse(&client->uri, client->options.redis, error);
    if (!status)
        status = key_space_init(&client->space, client->options.prefix, error);
    if (status) {
        redis_uri_clear(&client->uri);
        mem_free(client);
        return NULL;
    }
    uuid_t random_id;
    uuid_generate_random(random_id);
    uuid_unparse_lower(random_id, client->id);
    log_init(&client->log, client->options.log, client->options.log_arg, client->options.log_level);
    pthread_mutex_init(&client->lock, NULL);
    thread_cond_init(&client->changed);
    client->maker = getpid();
    return client;
}

/* The lock is taken only for the last, so that callers and the thread seldom meet. */
void client_count_down(asynq_client *client)
{
    if (--client->outstanding)
        return;
    pthread_mutex_lock(&client->lock);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

/* The first call starts the thread. */
static int client_start(asynq_client *client, asynq_error *error)
{
    /* A child of a process that was about to start it finds the lock taken by a thread that it does not have. */
    if (client->maker == getpid())
        pthread_mutex_lock(&client->lock);
    else if (pthread_mutex_trylock(&client->lock) != 0)
        return error_set(error, ASYNQ_E_STATE, "this client was in use at a fork; make a new one in the child");
    int status = client->started ? ASYNQ_OK : courier_start(client, error);
    client->started |= !status;
    pthread_mutex_unlock(&client->lock);
    return status;
}

int client_check_usable(asynq_client *client, bool is_blocking, asynq_error *error)
{
    int status = engine_check_process(&client->engine, "client", error);
    if (!status && client->stopping)
        status = error_set_code(error, ASYNQ_E_CLOSED);
    if (!status && !client->started)
        status = client_start(client, error);
    if (!status && is_blocking && engine_is_own_thread(&client->engine))
        status = error_set(error, ASYNQ_E_STATE,
                           "a blocking call from the client's own callback would never end; use asynq_enqueue_async");
    return status;
}

int asynq_client_flush_within(asynq_client *client, int64_t timeout_ms, asynq_error *error)
{
    struct timespec until = thread_wait_end(timeout_ms);
    int problem = 0;
    error_clear(error);
    if (engine_check_process(&client->engine, "client", error))
        return ASYNQ_E_STATE; /* they are the parent's calls */
    if (engine_is_own_thread(&client->engine))
        return error_set(error, ASYNQ_E_STATE, "a flush from the client's own callback would never end");
    pthread_mutex_lock(&client->lock);
    while (client->outstanding && !problem)
        problem = pthread_cond_timedwait(&client->changed, &client->lock, &until);
    size_t left = client->outstanding;
    pthread_mutex_unlock(&client->lock);
    return left ? error_set(error, ASYNQ_E_TIMEOUT, "%zu calls still wait for Redis", left) : ASYNQ_OK;
}

void asynq_client_flush(asynq_client *client)
{
    if (engine_check_process(&client->engine, "client", NULL))
        return; /* they are the parent's calls */
    pthread_mutex_lock(&client->lock);
    while (client->outstanding)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

void asynq_client_free(asynq_client *client)
{
    /* In a child of a fork threads seem to wait that are the parent's, and nothing that they wait at can be freed. */
    if (!client || engine_check_process(&client->engine, "client", NULL))
        return;
    if (client->started) {
        asynq_client_flush(client);
        client->stopping = true;
        engine_wake(&client->engine);
        engine_close(&client->engine);
        courier_clear(client);
    }
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    log_clear(&client->log);
    redis_uri_clear(&client->uri);
    key_space_clear(&client->space);
    mem_free(client);
}
