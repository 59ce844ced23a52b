/* The client's thread: a lane per queue, and what keeps them going. */
#include "client/client.h"

#include "base/alloc.h"
#include "base/error.h"

enum {
    COURIER_TICK_MS = 100, /* how exactly time limits are kept */
    COURIER_RETRY_MS = 10,
    COURIER_LANE_IDLE_MS = 60000
};

static lane *courier_lane(asynq_client *client, bytes queue)
{
    lane *found = NULL;
    HASH_FIND(hh, client->lanes, queue.data, queue.length, found);
    if (found)
        return found;
    found = lane_new(&client->context, queue);
    if (!found)
        return NULL;
    HASH_ADD_KEYPTR(hh, client->lanes, found->keys.queue.data, found->keys.queue.length, found);
    if (HASH_HAS(found))
        return found;
    lane_free(found);
    return NULL;
}

static void courier_pump(asynq_client *client)
{
    for (lane *l = client->lanes; l; l = l->hh.next)
        lane_pump(l);
}

static void courier_resumed(void *arg)
{
    asynq_client *client = arg;
    courier_pump(client);
    pings_pump(client);
}

static void courier_ready(void *arg, redis_node *node)
{
    asynq_client *client = arg;
    (void)node;
    error_clear(&client->context.last_error);
    courier_resumed(client);
}

static void courier_fail(asynq_client *client, const asynq_error *error)
{
    client->context.last_error = *error;
    if (!redis_error_is_final(error->code))
        return;
    for (lane *l = client->lanes; l; l = l->hh.next)
        lane_fail(l, error->code, error->text);
    pings_fail(client, error);
}

static void courier_down(void *arg, redis_node *node, const asynq_error *error)
{
    (void)node;
    courier_fail(arg, error);
}

static void courier_retry(void *arg)
{
    courier_pump(arg);
}

static void courier_retry_soon(void *arg)
{
    asynq_client *client = arg;
    if (!loop_timer_is_set(&client->retry))
        loop_timer_set(&client->retry, COURIER_RETRY_MS);
}

/* Wakes often only while somebody waits; else to let go of lanes that nobody uses. */
static void courier_set_tick(asynq_client *client)
{
    client->is_ticking = client->outstanding > 0;
    if (client->is_ticking)
        loop_timer_set(&client->tick, COURIER_TICK_MS);
    else if (client->lanes)
        loop_timer_set(&client->tick, COURIER_LANE_IDLE_MS);
}

static void courier_tick(void *arg)
{
    asynq_client *client = arg;
    int64_t now_ms = loop_steady_ms(client->engine.loop);
    lane *l, *next;
    HASH_ITER(hh, client->lanes, l, next) {
        lane_expire(l, now_ms);
        if (lane_is_idle(l) && now_ms - l->used_at_ms > COURIER_LANE_IDLE_MS) {
            HASH_DEL(client->lanes, l);
            lane_free(l);
        }
    }
    pings_expire(client, now_ms);
    courier_set_tick(client);
}

static void courier_take_tasks(void *arg)
{
    lane_task *task = arg;
    asynq_client *client = task->owner;
    while (task) {
        lane_task *next = task->next;
        lane *l = courier_lane(client, task->plan.queue);
        if (l)
            lane_add(l, task);
        else
            lane_task_finish(task, ASYNQ_E_NO_MEMORY, asynq_status_text(ASYNQ_E_NO_MEMORY));
        task = next;
    }
}

/* After each batch of orders. */
static void courier_ordered(void *arg)
{
    asynq_client *client = arg;
    const asynq_error *last = &client->context.last_error;
    if (redis_error_is_final(last->code)) { /* the connection goes on trying; callers hear at once what is wrong */
        asynq_error error = *last;
        courier_fail(client, &error);
    }
    courier_resumed(client);
    if (!client->is_ticking)
        courier_set_tick(client);
    if (client->stopping && !client->outstanding)
        engine_stop(&client->engine);
}

void courier_submit(asynq_client *client, lane_task *first, size_t count)
{
    client->outstanding += count;
    first->order = (engine_order){.run = courier_take_tasks, .arg = first};
    engine_submit(&client->engine, &first->order);
}

int courier_start(asynq_client *client, asynq_error *error)
{
    engine *e = &client->engine;
    const engine_options options = {
        .uri = &client->uri,
        .log = &client->log,
        .name = "asynq-client",
        .key_prefix = client->space.prefix.data,
        .events = {.ready = courier_ready, .resumed = courier_resumed, .down = courier_down, .arg = client},
        .ordered = courier_ordered,
        .arg = client,
    };
    int status = engine_open(e, &options, error);
    if (status)
        return status;
    loop_timer_init(e->loop, &client->tick, courier_tick, client);
    loop_timer_init(e->loop, &client->retry, courier_retry, client);
    client->context = (lane_context){
        .loop = e->loop,
        .broker = {e->nodes, &client->space},
        .client_id = client->options.disable_dedup ? (bytes){0} : bytes_of(client->id),
        .durable = {client->options.replicas, client->options.fsync, client->options.replicas_timeout_ms},
        .retry_soon = courier_retry_soon,
        .arg = client,
    };
    status = engine_start(e, error);
    if (status)
        engine_close(e);
    return status;
}

void courier_clear(asynq_client *client)
{
    lane *l, *next;
    HASH_ITER(hh, client->lanes, l, next) {
        HASH_DEL(client->lanes, l);
        lane_free(l);
    }
}
