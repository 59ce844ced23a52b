/* See conn.h. The states:
 *
 *   BACKOFF --pause over--> DIALLING --socket--> HANDSHAKE --all said--> READY
 *      ^                       |                     |                     |
 *      +-----------------------+---------------------+---------------------+   (conn_down)
 *
 * A connection that is READY may be on hold: Redis said "not now", and nothing is sent until a pause is over.
 */
#include "redis/conn.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "event/timer.h"
#include "redis/dial.h"
#include "redis/handshake.h"
#include "redis/pipeline.h"
#include "redis/redirect.h"
#include "redis/reload.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    CONN_MIN_PAUSE_MS = 20,
    CONN_MAX_PAUSE_MS = 1000,
    CONN_LASTING_MS = 10000,      /* without trouble for so long: the next pause is the shortest again */
    CONN_USEFUL_REPLIES = 20,     /* after so many, what the network takes away is tried again at once */
    CONN_CONNECT_LIMIT_MS = 5000, /* from the pause's end to READY */
    CONN_REPLY_LIMIT_MS = 15000,  /* silence with a command under way; half of a lease, so that there is time to act */
    CONN_MASTER_LIMIT_MS = 2000,  /* the same of a master: when it wakes up it may be one no more, and not know it */
    CONN_CHECK_PERIOD_MS = 1000
};

#define CONN_MAX_QUEUED ((size_t)256 << 20)
typedef enum conn_state { CONN_BACKOFF, CONN_DIALLING, CONN_HANDSHAKE, CONN_READY } conn_state;

static const char *const conn_state_name[] = {"backoff", "dialling", "handshake", "ready"};

struct redis_conn {
    redis_conn_options options;
    conn_state state;
    bool is_held; /* Redis cannot take commands now */
    bool freed;   /* by the owner; goes at the end of the turn */

    redis_dial dial;
    redis_handshake handshake;
    redis_stream stream;
    redis_pipeline pipeline;
    redis_reload reload; /* after NOSCRIPT */

    loop_timer pause, hold, check;
    loop_hook write_hook;
    loop_deferred lost, end;
    asynq_error lost_error;                /* why it went down, until that is reported at the end of the turn */
    backoff trouble;                       /* attempts to connect, and answers of "not now" */
    size_t replies;                        /* since it was READY */
    int64_t attempt_at_ms, waits_since_ms; /* the first of the commands under way was sent, after silence */

    int64_t commands_sent;
    redis_args args;
    bool has_told_kill;
    log_limit complaint;
};

static void conn_down(redis_conn *conn, int code, const char *format, ...) ASYNQ_PRINTF(3, 4);

static void conn_set_state(redis_conn *conn, conn_state state)
{
    log_debug(conn->options.log, "redis %s: %s -> %s", conn->options.name, conn_state_name[conn->state],
              conn_state_name[state]);
    conn->state = state;
}

/* ---- commands ---- */

static int conn_enqueue(redis_conn *conn, int count, const char *const *argv, const size_t *lengths, redis_result_cb cb,
                        void *arg)
{
    if (redis_pipeline_is_empty(&conn->pipeline))
        conn->waits_since_ms = clock_steady_ms(); /* the loop may have stood still for long: its time is old */
    return redis_pipeline_add(&conn->pipeline, &conn->stream, count, argv, lengths, cb, arg);
}

void redis_conn_expect_silence(redis_conn *conn, int64_t ms)
{
    int64_t until_ms = clock_steady_ms() + ms;
    if (conn->waits_since_ms < until_ms)
        conn->waits_since_ms = until_ms;
}

int64_t redis_conn_commands_sent(const redis_conn *conn)
{
    return conn->commands_sent;
}

int redis_conn_command(redis_conn *conn, const redis_args *args, redis_result_cb cb, void *arg)
{
    if (!redis_conn_is_ready(conn))
        return ASYNQ_E_UNAVAILABLE;
    if (args->failed)
        return ASYNQ_E_NO_MEMORY;
    if (!redis_args_fit(args))
        return ASYNQ_E_INVALID;
    if (redis_stream_waiting(&conn->stream) > CONN_MAX_QUEUED)
        return ASYNQ_E_BUSY;
    conn->commands_sent++;
    return conn_enqueue(conn, args->count, args->argv, args->lengths, cb, arg);
}

int redis_conn_commandf(redis_conn *conn, redis_result_cb cb, void *arg, int count, ...)
{
    redis_args *args = redis_conn_args(conn);
    va_list words;
    va_start(words, count);
    for (int i = 0; i < count; i++)
        redis_args_add_text(args, va_arg(words, const char *));
    va_end(words);
    return redis_conn_command(conn, args, cb, arg);
}

redis_args *redis_conn_args(redis_conn *conn)
{
    redis_args_reset(&conn->args);
    return &conn->args;
}

static void conn_write(void *arg)
{
    redis_conn *conn = arg;
    redis_stream_write(&conn->stream);
}

void redis_conn_flush(redis_conn *conn)
{
    redis_stream_flush(&conn->stream);
}

/* ---- replies ---- */

static int64_t conn_pause_ms(redis_conn *conn)
{
    return backoff_pause_ms(&conn->trouble, loop_steady_ms(conn->options.loop));
}

static void conn_hold_over(void *arg)
{
    redis_conn *conn = arg;
    conn->is_held = false;
    if (conn->state == CONN_READY && conn->options.events.resumed)
        conn->options.events.resumed(conn->options.events.arg);
}

/* Redis cannot do it now: nothing is sent for a while. What was sent before gets its answers. */
static void conn_hold(redis_conn *conn, const char *reason)
{
    if (conn->is_held)
        return;
    conn->is_held = true;
    loop_timer_set(&conn->hold, conn_pause_ms(conn));
    log_event_repeated(conn->options.log, &conn->complaint, LOG_REDIS_CONNECTION, "%s: %s", conn->options.name, reason);
}

/* What an answer means for the connection as a whole. NULL: nothing, the caller reads it; else the command has not
 * run, for this reason. */
static const char *conn_reason_not_run(redis_conn *conn, const redis_value *value, char *reason, size_t size)
{
    char words[200];
    redis_answer answer = redis_answer_of(value);
    if (answer != REDIS_ANSWER_NO_SCRIPT && answer != REDIS_ANSWER_NOT_NOW && answer != REDIS_ANSWER_NOT_HERE)
        return NULL;
    redis_answer_describe(value, conn->options.key_prefix, words, sizeof words);
    snprintf(reason, size, "%s: %s", redis_answer_meaning(value), words);
    if (conn->options.in_cluster && redis_redirect_of(value).kind != REDIRECT_NONE)
        return reason; /* of one slot, and for the caller to deal with */
    if (answer == REDIS_ANSWER_NO_SCRIPT)
        redis_reload_start(&conn->reload);
    if (answer == REDIS_ANSWER_NOT_HERE)
        redis_conn_reset(conn, reason);
    else
        conn_hold(conn, reason);
    return reason;
}

static void conn_replied(void *arg, const redis_value *value)
{
    redis_conn *conn = arg;
    /* Only on a connection that subscribes: elsewhere a task of id "message" may stand first in a reply. */
    if (conn->options.events.message && redis_value_is_message(value)) {
        if (!conn->freed)
            conn->options.events.message(conn->options.events.arg, value);
        return;
    }
    pipeline_command *command = redis_pipeline_take(&conn->pipeline);
    if (!command) {
        conn_down(conn, ASYNQ_E_MALFORMED, "Redis sent a reply that nobody asked for%s%.*s",
                  value->text.length ? ": " : "", BYTES_ARGS(value->text));
        return;
    }
    char text[256];
    conn->replies++;
    const char *reason = conn->state == CONN_READY ? conn_reason_not_run(conn, value, text, sizeof text) : NULL;
    if (reason)
        redis_pipeline_finish(command, &(redis_result){.outcome = REDIS_NOT_RUN, .reason = reason, .redirect = value});
    else
        redis_pipeline_finish(command, &(redis_result){.reply = value, .key_prefix = conn->options.key_prefix});
}

/* ---- connecting ---- */

static void conn_note_kill(redis_conn *conn)
{
    const asynq_error *error = &conn->handshake.kill_error;
    if (!error->code || conn->has_told_kill)
        return;
    conn->has_told_kill = true;
    log_event(conn->options.log, LOG_REDIS_NOT_KILLED,
              "%s: CLIENT KILL: %s; what the lost connection had sent may still run", conn->options.name, error->text);
}

static void conn_handshake_done(void *arg)
{
    redis_conn *conn = arg;
    const asynq_error *error = &conn->handshake.error;
    conn_note_kill(conn);
    if (error->code || redis_dial_is_doubtful(&conn->dial)) {
        conn_down(conn, error->code ? error->code : ASYNQ_E_UNAVAILABLE, "%s",
                  error->code ? error->text : "the master took long to let us in");
        return;
    }
    conn->replies = 0;
    conn_set_state(conn, CONN_READY);
    if (conn->options.events.ready)
        conn->options.events.ready(conn->options.events.arg);
}

static int conn_send_words(void *arg, int count, const char *const *argv, redis_result_cb cb, void *cb_arg)
{
    size_t lengths[2 + SCRIPT_COUNT];
    for (int i = 0; i < count; i++)
        lengths[i] = strlen(argv[i]);
    return conn_enqueue(arg, count, argv, lengths, cb, cb_arg);
}

static void conn_connected(void *arg, int fd)
{
    redis_conn *conn = arg;
    asynq_error error;
    conn_set_state(conn, CONN_HANDSHAKE);
    int status = redis_stream_open(&conn->stream, fd, &conn->dial.uri, &error);
    if (!status && redis_handshake_start(&conn->handshake))
        status = error_set_code(&error, ASYNQ_E_NO_MEMORY);
    if (status)
        conn_down(conn, status, "%s", error.text);
}

static void conn_pause_over(void *arg)
{
    redis_conn *conn = arg;
    conn->reload.answers_left = 0;
    conn->attempt_at_ms = loop_steady_ms(conn->options.loop);
    loop_timer_set(&conn->check, CONN_CHECK_PERIOD_MS);
    conn_set_state(conn, CONN_DIALLING);
    redis_dial_start(&conn->dial, CONN_CONNECT_LIMIT_MS);
}

static bool conn_is_silent(const redis_conn *conn, int64_t now_ms, int64_t limit_ms)
{
    return !redis_pipeline_is_empty(&conn->pipeline) && now_ms - conn->waits_since_ms > limit_ms &&
           now_ms - conn->stream.heard_at_ms > limit_ms;
}

static void conn_moved(void *arg, const char *text)
{
    redis_conn_reset(arg, text);
}

/* Finds connections that hang: in the handshake, or in waiting for replies. */
static void conn_check(void *arg)
{
    redis_conn *conn = arg;
    int64_t now_ms = loop_steady_ms(conn->options.loop);
    bool is_master = conn->dial.sentinel || conn->options.in_cluster;
    loop_timer_set(&conn->check, CONN_CHECK_PERIOD_MS);
    if (conn->state == CONN_HANDSHAKE && now_ms - conn->attempt_at_ms > CONN_CONNECT_LIMIT_MS)
        conn_down(conn, ASYNQ_E_UNAVAILABLE, "no connection after %d s", CONN_CONNECT_LIMIT_MS / 1000);
    else if (conn->state == CONN_READY &&
             conn_is_silent(conn, now_ms, is_master ? CONN_MASTER_LIMIT_MS : CONN_REPLY_LIMIT_MS))
        redis_conn_reset(conn, is_master ? "no answer for 2 s" : "no answer for 15 s");
    else if (conn->state >= CONN_HANDSHAKE)
        redis_dial_verify(&conn->dial, conn_is_silent(conn, now_ms, CONN_CHECK_PERIOD_MS));
}

/* ---- ending ---- */

/*
 * With commands unanswered, what the kernel has not delivered yet is dropped: it would go on trying for minutes, and
 * Redis would execute it long after its sender has looked again. What Redis has received already, the next handshake
 * has it forget.
 */
static void conn_close_socket(redis_conn *conn)
{
    redis_handshake_abandon(&conn->handshake);
    redis_dial_cancel(&conn->dial);
    redis_stream_close(&conn->stream, !redis_pipeline_is_empty(&conn->pipeline));
}

static void conn_report_down(redis_conn *conn, const asynq_error *error)
{
    char where[300];
    redis_uri_describe(&conn->dial.uri, where, sizeof where);
    log_event_repeated(conn->options.log, &conn->complaint, LOG_REDIS_CONNECTION, "%s (%s): %s", conn->options.name,
                       where, error->text);
    if (conn->options.events.down)
        conn->options.events.down(conn->options.events.arg, error);
}

/* The end of the turn in which the connection went down. */
static void conn_report_lost(void *arg)
{
    redis_conn *conn = arg;
    asynq_error error = conn->lost_error;
    if (conn->freed)
        return; /* its commands get their results when it goes */
    loop_timer_set(&conn->pause, conn_pause_ms(conn));
    redis_pipeline_fail(&conn->pipeline, &conn->stream, error.text);
    if (!conn->freed)
        conn_report_down(conn, &error);
}

/*
 * The only way out of all other states. Callbacks follow at the end of the turn, in which this may have been called
 * from one of them, or from a call that promises to call nothing.
 */
static void conn_down(redis_conn *conn, int code, const char *format, ...)
{
    if (conn->state == CONN_BACKOFF || conn->freed)
        return;
    va_list args;
    va_start(args, format);
    error_setv(&conn->lost_error, code, format, args);
    va_end(args);

    if (conn->state == CONN_READY && !redis_pipeline_is_empty(&conn->pipeline) && !conn->handshake.has_predecessor) {
        conn->handshake.has_predecessor = true;
        conn->handshake.predecessor = conn->handshake.session;
    }
    if (conn->state == CONN_HANDSHAKE)
        redis_dial_distrust(&conn->dial);
    conn_set_state(conn, CONN_BACKOFF);
    conn_close_socket(conn);
    conn->is_held = false;
    loop_timer_cancel(&conn->hold);
    loop_defer(conn->options.loop, &conn->lost, conn_report_lost, conn);
}

/* No socket, or the other end is gone. In the handshake it may have said why before. */
static void conn_failed(void *arg, const asynq_error *error)
{
    redis_conn *conn = arg;
    const asynq_error *said = &conn->handshake.error;
    if (conn->state == CONN_HANDSHAKE && said->code)
        error = said;
    if (conn->state == CONN_READY && conn->replies >= CONN_USEFUL_REPLIES)
        backoff_reset(&conn->trouble);
    conn_down(conn, error->code, "%s", error->text);
}

void redis_conn_reset(redis_conn *conn, const char *reason)
{
    if (conn->state == CONN_READY)
        redis_dial_distrust(&conn->dial);
    conn_down(conn, ASYNQ_E_UNAVAILABLE, "%s", reason);
}

redis_conn *redis_conn_new(const redis_conn_options *options)
{
    redis_conn *conn = mem_calloc(1, sizeof *conn);
    loop *l = options->loop;
    const redis_dial_events events = {
        .connected = conn_connected, .failed = conn_failed, .moved = conn_moved, .arg = conn};
    if (!conn || redis_dial_init(&conn->dial, l, options->uri, options->log, &events)) {
        mem_free(conn);
        return NULL;
    }
    conn->options = *options;
    redis_pipeline_init(&conn->pipeline);
    conn->trouble = (backoff){CONN_MIN_PAUSE_MS, CONN_MAX_PAUSE_MS, CONN_LASTING_MS, 0, 0};
    conn->handshake = (redis_handshake){.uri = options->uri,
                                        .name = options->name,
                                        .key_prefix = options->key_prefix,
                                        .node_id = options->node_id,
                                        .with_scripts = !options->without_scripts,
                                        .send = conn_send_words,
                                        .done = conn_handshake_done,
                                        .arg = conn};
    conn->reload = (redis_reload){.send = conn_send_words, .failed = conn_failed, .arg = conn};
    redis_stream_init(&conn->stream, l,
                      &(redis_stream_events){.reply = conn_replied, .lost = conn_failed, .arg = conn});
    redis_args_init(&conn->args);
    loop_timer_init(l, &conn->pause, conn_pause_over, conn);
    loop_timer_init(l, &conn->hold, conn_hold_over, conn);
    loop_timer_init(l, &conn->check, conn_check, conn);
    loop_hook_add(l, LOOP_WRITE, &conn->write_hook, conn_write, conn);
    loop_timer_set(&conn->pause, 0);
    return conn;
}

static void conn_destroy(void *arg)
{
    redis_conn *conn = arg;
    redis_pipeline_fail(&conn->pipeline, &conn->stream, "the connection was closed");
    redis_stream_clear(&conn->stream);
    redis_args_clear(&conn->args);
    mem_free(conn);
}

void redis_conn_free(redis_conn *conn)
{
    if (!conn || conn->freed)
        return;
    conn->freed = true;
    conn_set_state(conn, CONN_BACKOFF); /* a handshake under way must not end in READY when its commands are given up */
    conn_close_socket(conn);
    redis_dial_clear(&conn->dial);
    loop_timer_cancel(&conn->pause);
    loop_timer_cancel(&conn->hold);
    loop_timer_cancel(&conn->check);
    loop_hook_remove(conn->options.loop, LOOP_WRITE, &conn->write_hook);
    loop_defer(conn->options.loop, &conn->end, conn_destroy, conn);
}

bool redis_conn_is_ready(const redis_conn *conn)
{
    return conn && conn->state == CONN_READY && !conn->is_held && !conn->freed;
}

const char *redis_conn_run_id(const redis_conn *conn)
{
    return conn->handshake.session.run_id;
}

int64_t redis_conn_client_id(const redis_conn *conn)
{
    return conn->handshake.session.client_id;
}
