/* The records by which user interfaces see a server (spec 7.8). They carry no task state. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "broker/call.h"
#include "broker/session.h"

typedef struct record_keys {
    buf server;
    buf workers;
} record_keys;

static bool record_keys_init(record_keys *keys, const key_space *space, bytes identity)
{
    buf_init(&keys->server, 0);
    buf_init(&keys->workers, 0);
    key_append_server(&keys->server, space, identity);
    key_append_workers(&keys->workers, space, identity);
    return !buf_failed(&keys->server) && !buf_failed(&keys->workers);
}

static void record_keys_clear(record_keys *keys)
{
    buf_clear(&keys->server);
    buf_clear(&keys->workers);
}

static bytes buf_bytes(const buf *name)
{
    return (bytes){name->data, name->length};
}

/* HSET or HDEL of the workers' record in chunks, so that no command holds Redis long. */
static int write_workers(const broker *b, const char *command, bytes key, const bytes *words, size_t count)
{
    int status = ASYNQ_OK;
    for (size_t at = 0; at < count && !status;) {
        redis_args *args = broker_args(b);
        redis_args_add_text(args, command);
        redis_args_add(args, key);
        for (size_t end = at + 2 * (size_t)BROKER_CHUNK_TASKS; at < end && at < count; at++)
            redis_args_add(args, words[at]);
        status = broker_call(b, args, NULL, NULL);
    }
    return status;
}

/* What changed in the record. Nothing at all for an idle server. */
static int write_changes(const broker *b, const server_beat *beat, bytes key)
{
    int status = ASYNQ_OK;
    if (beat->rewrite) {
        redis_args *args = broker_args(b);
        redis_args_add_text(args, "DEL");
        redis_args_add(args, key);
        status = broker_call(b, args, NULL, NULL);
    }
    if (!status)
        status = write_workers(b, "HDEL", key, beat->ended, beat->ended_count);
    if (!status)
        status = write_workers(b, "HSET", key, beat->started, 2 * beat->started_count);
    return status;
}

/* ---- a beat ---- */

typedef struct beat_call {
    broker_beat_cb cb;
    void *arg;
    int replies_due;
    asynq_error error; /* the first */
    broker_beat_reply reply;
    size_t role_count;
    queue_role roles[BROKER_BEAT_ROLES];
} beat_call;

static void beat_part_replied(beat_call *call, const asynq_error *error)
{
    if (error && !call->error.code)
        call->error = *error;
    if (--call->replies_due)
        return;
    int status = call->error.code;
    call->cb(call->arg, status, status ? &call->error : NULL, &call->reply);
    mem_free(call);
}

static void record_renewed(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    beat_call *call = arg;
    if (!status) {
        call->reply.workers_recorded = redis_value_integer(redis_value_at(reply, 0));
        call->reply.redis_ms = ms_of_seconds(redis_value_integer(redis_value_at(reply, 1))) +
                               redis_value_integer(redis_value_at(reply, 2)) / 1000;
        call->reply.can_wake = redis_value_integer(redis_value_at(reply, 3)) == 1;
    }
    beat_part_replied(call, error);
}

static queue_role role_of(const redis_value *reply)
{
    int64_t role = reply->type == REDIS_INTEGER ? redis_value_integer(reply) : ROLE_UNKNOWN;
    return role >= ROLE_PARKED && role <= ROLE_DEPUTY ? (queue_role)role : ROLE_UNKNOWN;
}

/* Of the one call that has everything. */
static void all_renewed(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    beat_call *call = arg;
    if (!status)
        call->reply.servers_alive = redis_value_integer(redis_value_at(reply, 4));
    call->reply.has_renewed = !status && redis_value_integer(redis_value_at(reply, 5)) == 1;
    for (size_t i = 0; i < call->role_count; i++)
        call->roles[i] = status ? ROLE_UNKNOWN : role_of(redis_value_at(reply, 6 + i));
    record_renewed(arg, status, error, reply);
}

static void server_announced(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    beat_call *call = arg;
    if (!status)
        call->reply.servers_alive = redis_value_integer(reply);
    beat_part_replied(call, error);
}

static void workers_announced(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status; /* `error` has it */
    (void)reply;
    beat_part_replied(arg, error);
}

static void add_record(const broker *b, const server_beat *beat, redis_args *args)
{
    redis_args_add(args, beat->server_info);
    redis_args_add_integer(args, beat->life_s);
    redis_args_add_joined(args, global_key_name(b->space, GLOBAL_KEY_WAKE), beat->server_id);
}

static int renew_record(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call)
{
    redis_args *args = broker_script_args(b, SCRIPT_BEAT, 2);
    redis_args_add(args, buf_bytes(&keys->server));
    redis_args_add(args, buf_bytes(&keys->workers));
    add_record(b, beat, args);
    return broker_call(b, args, record_renewed, call);
}

static int renew_all(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call)
{
    redis_args *args = broker_script_args(b, SCRIPT_BEAT, 5 + 3 * beat->role_count);
    redis_args_add(args, buf_bytes(&keys->server));
    redis_args_add(args, buf_bytes(&keys->workers));
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SERVERS));
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_WORKERS));
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SESSIONS));
    for (size_t i = 0; i < beat->role_count; i++) {
        redis_args_add(args, beat->roles[i]->key[QUEUE_KEY_WATCHERS]);
        redis_args_add(args, beat->roles[i]->key[QUEUE_KEY_PARKED]);
        redis_args_add(args, beat->roles[i]->key[QUEUE_KEY_PENDING]);
    }
    add_record(b, beat, args);
    redis_args_add_integer(args, floor_div(beat->now_ns, NS_PER_SECOND) + beat->life_s);
    redis_args_add(args, beat->server_id);
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_WAKE));
    redis_args_add_integer(args, BROKER_WATCHERS_MAX);
    redis_args_add_integer(args, BROKER_ROLE_LIFE_S);
    redis_args_add_integer(args, (int64_t)beat->role_count);
    if (beat->session)
        broker_add_session(args, beat->session);
    else
        redis_args_add_text(args, "");
    return broker_call(b, args, all_renewed, call);
}

static int announce_workers(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "ZADD");
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_WORKERS));
    redis_args_add_integer(args, floor_div(beat->now_ns, NS_PER_SECOND) + beat->life_s);
    redis_args_add(args, buf_bytes(&keys->workers));
    return broker_call(b, args, workers_announced, call);
}

static int announce_server(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call)
{
    redis_args *args = broker_script_args(b, SCRIPT_ANNOUNCE, 1);
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SERVERS));
    redis_args_add(args, buf_bytes(&keys->server));
    redis_args_add_integer(args, floor_div(beat->now_ns, NS_PER_SECOND) + beat->life_s);
    return broker_call(b, args, server_announced, call);
}

/* Sends a call of a beat. */
typedef int (*beat_part)(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call);

/* A record is there before a list names it. */
static int send_beat(const broker *b, const server_beat *beat, const record_keys *keys, beat_call *call)
{
    static const beat_part together[] = {renew_all, NULL};
    static const beat_part apart[] = {renew_record, announce_workers, announce_server, NULL};
    const beat_part *parts = beat->is_apart || broker_is_cluster(b) ? apart : together;
    for (size_t i = 0; parts[i]; i++) {
        int status = parts[i](b, beat, keys, call);
        if (status && !call->replies_due)
            return status;
        if (status) { /* told when the replies are there */
            error_set_code(&call->error, status);
            return ASYNQ_OK;
        }
        call->replies_due++;
    }
    return ASYNQ_OK;
}

int broker_beat(const broker *b, const server_beat *beat, broker_beat_cb cb, void *arg)
{
    record_keys keys;
    beat_call *call = mem_alloc(sizeof *call);
    int status = record_keys_init(&keys, b->space, beat->identity) && call ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    if (!status)
        status = write_changes(b, beat, buf_bytes(&keys.workers));
    if (!status) {
        *call = (beat_call){.cb = cb, .arg = arg, .role_count = beat->role_count};
        call->reply.roles = call->roles;
        status = send_beat(b, beat, &keys, call);
    }
    if (status)
        mem_free(call);
    record_keys_clear(&keys);
    return status;
}

int broker_list_records(const broker *b, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "ZRANGE");
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_WORKERS));
    redis_args_add_integer(args, -BROKER_RECORDS_MAX);
    redis_args_add_integer(args, -1);
    return broker_call(b, args, cb, arg);
}

int broker_list_running(const broker *b, bytes record, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "HKEYS");
    redis_args_add_copy(args, record);
    return broker_call(b, args, cb, arg);
}

/* ---- its end ---- */

/* In a cluster the record and the lists that name it are on several nodes: all of them are to be waited for. */
typedef struct clear_call {
    broker_cb cb;
    void *arg;
    int replies_due;
} clear_call;

static void part_cleared(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    clear_call *call = arg;
    if (--call->replies_due)
        return;
    call->cb(call->arg, status, error, reply);
    mem_free(call);
}

static redis_args *remove_args(const broker *b, global_key index, const buf *member)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "ZREM");
    redis_args_add(args, global_key_name(b->space, index));
    redis_args_add(args, buf_bytes(member));
    return args;
}

static redis_args *delete_args(const broker *b, const record_keys *keys)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "DEL");
    redis_args_add(args, buf_bytes(&keys->server));
    redis_args_add(args, buf_bytes(&keys->workers));
    return args;
}

static int clear_part(const broker *b, redis_args *args, clear_call *call)
{
    int status = broker_call(b, args, part_cleared, call);
    call->replies_due += !status;
    return status;
}

int broker_clear_server(const broker *b, bytes identity, broker_cb cb, void *arg)
{
    record_keys keys;
    clear_call *call = mem_calloc(1, sizeof *call);
    int status = record_keys_init(&keys, b->space, identity) && call ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    if (!status) {
        *call = (clear_call){.cb = cb, .arg = arg};
        status = clear_part(b, remove_args(b, GLOBAL_KEY_SERVERS, &keys.server), call);
    }
    if (!status)
        status = clear_part(b, remove_args(b, GLOBAL_KEY_WORKERS, &keys.workers), call);
    if (!status)
        status = clear_part(b, delete_args(b, &keys), call);
    if (call && call->replies_due)
        status = ASYNQ_OK; /* what could not be sent runs out by itself */
    else
        mem_free(call);
    record_keys_clear(&keys);
    return status;
}
