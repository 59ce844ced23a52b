/* asynq_client_ping(). The caller and the thread share a ping; whoever lets go of it last frees it. */
#include "client/client.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <semaphore.h>
#include <utlist.h>

struct client_ping {
    client_ping *prev, *next;
    engine_order order;
    asynq_client *client;
    _Atomic int refs; /* the caller, the list, Redis's answer */
    int64_t give_up_at_ms;
    bool is_sent, has_ended; /* the thread's */
    sem_t done;
    asynq_error error; /* the caller's, once done */
};

static void client_ping_unref(client_ping *ping)
{
    if (--ping->refs)
        return;
    sem_destroy(&ping->done);
    mem_free(ping);
}

/* Tells the caller; `error` is NULL on success. */
static void client_ping_end(client_ping *ping, const asynq_error *error)
{
    asynq_client *client = ping->client;
    ping->has_ended = true;
    DL_DELETE(client->pings, ping);
    if (error)
        ping->error = *error;
    sem_post(&ping->done);
    client_ping_unref(ping);
    client_count_down(client);
}

static void client_ping_replied(void *arg, const redis_result *result)
{
    client_ping *ping = arg;
    asynq_error error = {0};
    ping->is_sent = false;
    if (!ping->has_ended && result->outcome == REDIS_REPLIED)
        client_ping_end(ping, redis_result_check(result, &error) ? &error : NULL);
    client_ping_unref(ping); /* without a reply it stays in the list and is sent again */
}

void pings_pump(asynq_client *client)
{
    client_ping *ping;
    DL_FOREACH(client->pings, ping) {
        if (ping->is_sent || redis_nodes_ping(client->engine.nodes, client_ping_replied, ping))
            continue;
        ping->is_sent = true;
        ping->refs++;
    }
}

void pings_expire(asynq_client *client, int64_t now_ms)
{
    client_ping *ping, *next;
    asynq_error error;
    const asynq_error *last = &client->context.last_error;
    error_set(&error, ASYNQ_E_UNAVAILABLE, "Redis cannot be reached: %.200s", last->code ? last->text : "no answer");
    DL_FOREACH_SAFE(client->pings, ping, next)
        if (now_ms >= ping->give_up_at_ms)
            client_ping_end(ping, &error);
}

void pings_fail(asynq_client *client, const asynq_error *error)
{
    client_ping *ping, *next;
    DL_FOREACH_SAFE(client->pings, ping, next)
        if (!ping->is_sent)
            client_ping_end(ping, error);
}

static void ping_submitted(void *arg)
{
    client_ping *ping = arg;
    DL_APPEND(ping->client->pings, ping);
}

int asynq_client_ping(asynq_client *client, asynq_error *error)
{
    error_clear(error);
    int status = client_check_usable(client, true, error);
    if (status)
        return status;
    client_ping *ping = mem_calloc(1, sizeof *ping);
    if (!ping)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    ping->client = client;
    ping->refs = 2;
    ping->give_up_at_ms = clock_steady_ms() + client->options.timeout_ms;
    ping->order = (engine_order){.run = ping_submitted, .arg = ping};
    sem_init(&ping->done, 0, 0);
    client->outstanding++;
    engine_submit(&client->engine, &ping->order);
    while (sem_wait(&ping->done) != 0)
        continue; /* a signal came; the thread sees to the time limit */
    status = ping->error.code;
    if (status && error)
        error_set(error, ping->error.code, "%s", ping->error.text);
    client_ping_unref(ping);
    return status;
}
