/* An inspector's connection, and waiting for answers. */
#include "inspect/inspect.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>

enum { INSPECT_DEFAULT_TIMEOUT_MS = 10000, INSPECT_AGAIN_MS = 20 };

#define INSPECT_DEFAULT_URI "redis://127.0.0.1:6379"

/* ---- memory of results ---- */

asynq_memory *inspect_memory_new(void)
{
    asynq_memory *memory = mem_alloc(sizeof *memory);
    if (memory)
        arena_init(&memory->arena, 0);
    return memory;
}

void inspect_memory_free(asynq_memory *memory)
{
    if (!memory)
        return;
    arena_clear(&memory->arena);
    mem_free(memory);
}

/* ---- the connection ---- */

static void became_ready(void *arg)
{
    asynq_inspector *inspector = arg;
    error_clear(&inspector->connection_error);
    loop_stop(inspector->engine.loop);
}

static void inspector_node_ready(void *arg, redis_node *node)
{
    (void)node;
    became_ready(arg);
}

static void went_down(void *arg, redis_node *node, const asynq_error *error)
{
    asynq_inspector *inspector = arg;
    (void)node;
    inspector->connection_error = *error;
    if (redis_error_is_final(error->code))
        loop_stop(inspector->engine.loop);
}

static void inspector_limit_reached(void *arg)
{
    asynq_inspector *inspector = arg;
    loop_stop(inspector->engine.loop);
}

static int inspector_open(asynq_inspector *inspector, asynq_error *error)
{
    const engine_options options = {
        .uri = &inspector->uri,
        .log = &inspector->log,
        .name = "asynq-inspector",
        .key_prefix = inspector->space.prefix.data,
        .events = {.ready = inspector_node_ready, .resumed = became_ready, .down = went_down, .arg = inspector},
    };
    int status = engine_open(&inspector->engine, &options, error);
    if (status)
        return status;
    inspector->broker = (broker){inspector->engine.nodes, &inspector->space};
    loop_timer_init(inspector->engine.loop, &inspector->limit, inspector_limit_reached, inspector);
    return ASYNQ_OK;
}

static int inspector_check_options(asynq_inspector_options *options, asynq_error *error)
{
    if (!options->redis)
        options->redis = INSPECT_DEFAULT_URI;
    if (!options->timeout_ms)
        options->timeout_ms = INSPECT_DEFAULT_TIMEOUT_MS;
    if (options->timeout_ms < 0)
        return error_set(error, ASYNQ_E_INVALID, "timeout_ms of the inspector is negative");
    return ASYNQ_OK;
}

asynq_inspector *asynq_inspector_new(const asynq_inspector_options *options, asynq_error *error)
{
    error_clear(error);
    asynq_inspector *inspector = mem_calloc(1, sizeof *inspector);
    if (!inspector) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    arena_init(&inspector->reply_memory, 0);
    if (options)
        inspector->options = *options;
    int status = inspector_check_options(&inspector->options, error);
    if (!status)
        status = redis_uri_parse(&inspector->uri, inspector->options.redis, error);
    if (!status)
        status = key_space_init(&inspector->space, inspector->options.prefix, error);
    if (status) {
        redis_uri_clear(&inspector->uri);
        mem_free(inspector);
        return NULL;
    }
    inspector->timeout_ms = inspector->options.timeout_ms;
    log_init(&inspector->log, inspector->options.log, inspector->options.log_arg, inspector->options.log_level);
    if (inspector_open(inspector, error)) {
        asynq_inspector_free(inspector);
        return NULL;
    }
    return inspector;
}

/* Runs the loop until something stops it, at most for so long. */
static void inspector_run_loop(asynq_inspector *inspector, int64_t max_ms)
{
    loop_timer_set(&inspector->limit, max_ms);
    loop_run(inspector->engine.loop);
    loop_timer_cancel(&inspector->limit);
}

void asynq_inspector_free(asynq_inspector *inspector)
{
    if (!inspector)
        return;
    /* In a child of a fork the loop is the parent's: what is taken out of it here would be missing there. */
    if (!engine_check_process(&inspector->engine, "inspector", NULL))
        engine_close(&inspector->engine);
    arena_clear(&inspector->reply_memory);
    log_clear(&inspector->log);
    redis_uri_clear(&inspector->uri);
    key_space_clear(&inspector->space);
    mem_free(inspector);
}

/* ---- calls ---- */

void asynq_inspector_set_timeout(asynq_inspector *inspector, int64_t timeout_ms)
{
    inspector->timeout_ms = timeout_ms > 0 ? timeout_ms : inspector->options.timeout_ms;
}

inspect_call inspect_begin(asynq_inspector *inspector, inspect_kind kind, asynq_error *error)
{
    error_clear(error);
    int refusal = engine_check_process(&inspector->engine, "inspector", error);
    return (inspect_call){
        .inspector = inspector,
        .status = refusal,
        .is_refused = refusal != ASYNQ_OK,
        .kind = kind,
        .give_up_at_ms = clock_steady_ms() + inspector->timeout_ms,
        .user_error = error,
    };
}

static int64_t time_left_ms(const inspect_call *call)
{
    return call->give_up_at_ms - clock_steady_ms();
}

static int fail_unreachable(const asynq_inspector *inspector, asynq_error *error)
{
    const asynq_error *cause = &inspector->connection_error;
    if (redis_error_is_final(cause->code))
        return error_set(error, cause->code, "%s", cause->text);
    return error_set(error, ASYNQ_E_UNAVAILABLE, "Redis cannot be reached: %.200s",
                     cause->code ? cause->text : "no answer");
}

static int wait_until_ready(inspect_call *call)
{
    asynq_inspector *inspector = call->inspector;
    /* Notices a connection that died since the last call. Of a cluster other nodes may be ready than the one that was
     * wanted. */
    inspector_run_loop(inspector, call->has_sent ? INSPECT_AGAIN_MS : 0);
    while (!broker_is_ready(&inspector->broker)) {
        if (time_left_ms(call) <= 0 || redis_error_is_final(inspector->connection_error.code))
            return fail_unreachable(inspector, call->user_error);
        inspector_run_loop(inspector, time_left_ms(call));
    }
    return ASYNQ_OK;
}

void inspect_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_inspector *inspector = arg;
    inspector->answered = true;
    inspector->status = status;
    inspector->reply = NULL;
    if (status) {
        inspector->error = *error;
    } else {
        arena_reset(&inspector->reply_memory);
        inspector->reply = redis_value_copy(reply, &inspector->reply_memory);
        if (!inspector->reply)
            inspector->status = error_set_code(&inspector->error, ASYNQ_E_NO_MEMORY);
    }
    loop_stop(inspector->engine.loop);
}

/* Waits for the answer to what was sent. */
static void wait_for_answer(inspect_call *call)
{
    asynq_inspector *inspector = call->inspector;
    while (!inspector->answered && time_left_ms(call) > 0)
        inspector_run_loop(inspector, time_left_ms(call));
    if (inspector->answered)
        return;
    redis_nodes_reset(inspector->broker.nodes, "no answer in time");
    while (!inspector->answered)
        inspector_run_loop(inspector, inspector->timeout_ms);
    error_set(&inspector->error, inspector->status, "Redis did not answer within %" PRId64 " ms",
              inspector->timeout_ms);
}

/* What came of sending; ASYNQ_E_UNAVAILABLE: it certainly did not run. */
static int finish_attempt(inspect_call *call)
{
    asynq_inspector *inspector = call->inspector;
    if (call->sent)
        return call->sent == ASYNQ_E_UNAVAILABLE ? fail_unreachable(inspector, call->user_error)
                                                 : error_set_code(call->user_error, call->sent);
    wait_for_answer(call);
    if (inspector->status)
        return error_set(call->user_error, inspector->status, "%s", inspector->error.text);
    call->reply = inspector->reply;
    return ASYNQ_OK;
}

static bool may_repeat(const inspect_call *call)
{
    bool has_not_run =
        call->status == ASYNQ_E_UNAVAILABLE || (call->status == ASYNQ_E_OUTCOME_UNKNOWN && call->kind == INSPECT_READ);
    return has_not_run && time_left_ms(call) > 0;
}

bool inspect_again(inspect_call *call)
{
    if (call->is_refused)
        return false;
    if (call->has_sent) {
        call->status = finish_attempt(call);
        if (!call->status)
            error_clear(call->user_error);
        if (!may_repeat(call))
            return false;
    }
    call->status = wait_until_ready(call);
    call->inspector->answered = false;
    call->has_sent = true;
    return call->status == ASYNQ_OK;
}

int inspect_command(asynq_inspector *inspector, inspect_kind kind, const bytes *words, size_t count,
                    const redis_value **reply, asynq_error *error)
{
    inspect_call call = inspect_begin(inspector, kind, error);
    while (inspect_again(&call))
        call.sent = broker_command(&inspector->broker, words, count, inspect_replied, inspector);
    *reply = call.reply;
    return call.status;
}

/* ---- names ---- */

int inspect_keys(const asynq_inspector *inspector, queue_keys *keys, const char *queue, asynq_error *error)
{
    if (!queue || text_is_blank(queue, strlen(queue)))
        return error_set(error, ASYNQ_E_INVALID, "queue name must contain one or more characters");
    if (!broker_can_keep(&inspector->broker, bytes_of(queue)))
        return error_set(error, ASYNQ_E_INVALID, BROKER_CANNOT_KEEP);
    if (queue_keys_init(keys, &inspector->space, bytes_of(queue)))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return ASYNQ_OK;
}

int inspect_queue_keys(asynq_inspector *inspector, queue_keys *keys, const char *queue, asynq_error *error)
{
    int status = inspect_keys(inspector, keys, queue, error);
    if (status)
        return status;
    const bytes words[] = {bytes_of("SISMEMBER"), global_key_name(&inspector->space, GLOBAL_KEY_QUEUES), keys->queue};
    const redis_value *reply;
    status = inspect_command(inspector, INSPECT_READ, words, 3, &reply, error);
    if (!status && redis_value_integer(reply) == 0)
        status = error_set(error, ASYNQ_E_QUEUE_NOT_FOUND, "queue \"%.200s\" not found", queue);
    if (status)
        queue_keys_clear(keys);
    return status;
}
