/* See conn.h. The states:
 *
 *   RESTING --pause over--> RESOLVING --address--> CONNECTING --socket--> GREETING --replies--> READY
 *      ^                        |                      |                     |                    |
 *      +------------------------+----------------------+---------------------+--------------------+   (conn_down)
 */
#include "redis/conn.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "event/timer.h"
#include "redis/command.h"
#include "redis/tls.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONN_FIRST_PAUSE_MS = 20,
    CONN_LONGEST_PAUSE_MS = 1000,
    CONN_CONNECT_LIMIT_MS = 5000, /* from the pause's end to READY */
    CONN_REPLY_LIMIT_MS = 15000,  /* silence with a command under way */
    CONN_CHECK_PERIOD_MS = 1000,
    CONN_RECEIVE_SIZE = 64 * 1024,
    CONN_PIECE_SIZE = 32 * 1024,
    CONN_MOST_PIECES = 64,    /* in one sendmsg */
    CONN_OLDEST_VERSION = 602 /* Redis 6.2 */
};

#define CONN_MOST_WAITING ((size_t)256 << 20)

typedef enum conn_state { CONN_RESTING, CONN_RESOLVING, CONN_CONNECTING, CONN_GREETING, CONN_READY } conn_state;

static const char *const conn_state_name[] = {"resting", "resolving", "connecting", "greeting", "ready"};

/* A command whose reply is awaited, in the order of sending. */
typedef struct conn_command {
    struct conn_command *next;
    redis_result_cb cb;
    void *arg;
    uint64_t end; /* where the command ends in the stream of sent bytes */
} conn_command;

/* Formatted commands on their way out. */
typedef struct conn_piece {
    struct conn_piece *next;
    size_t length;
    size_t capacity;
    char data[];
} conn_piece;

/* A question to the resolver. It outlives the connection if that goes first. */
typedef struct conn_question {
    redis_conn *conn; /* NULL: nobody waits for the answer any more */
    struct evdns_getaddrinfo_request *request;
} conn_question;

struct redis_conn {
    redis_conn_options options;
    conn_state state;
    bool freed; /* by the owner; goes at the end of the turn */

    struct evdns_base *dns;
    conn_question *question;
    struct evutil_addrinfo *addresses, *address; /* all, and the one to try */
    int fd;
    struct event readable, writable;
    redis_tls *tls;
    buf encrypted; /* TLS output on its way out */
    buf decrypted;
    bool heard_plain; /* Redis has answered on this connection */

    redis_reader *reader;
    conn_piece *pieces, **pieces_end;
    size_t first_piece_sent; /* bytes of the first piece that are gone */
    size_t waiting;
    uint64_t queued_to, sent_to; /* positions in the stream of plain bytes */
    conn_command *commands, **commands_end;
    size_t greetings_left; /* replies of the handshake still to come */

    loop_timer pause, check;
    loop_hook write_hook;
    loop_deferred end;
    int64_t pause_ms;
    int64_t attempt_at_ms;
    int64_t heard_at_ms; /* last sign of life, or the sending of the first command after silence */

    int64_t commands_sent;
    redis_args args;
    char run_id[64];
    int64_t client_id;
    asynq_error greeting_error;
    log_limit complaint;
};

static void conn_down(redis_conn *conn, int code, const char *format, ...) ASYNQ_PRINTF(3, 4);
static void conn_lost(redis_conn *conn, const char *what);
static void conn_try_address(redis_conn *conn);

static void conn_set_state(redis_conn *conn, conn_state state)
{
    log_debug(conn->options.log, "redis %s: %s -> %s", conn->options.name, conn_state_name[conn->state],
              conn_state_name[state]);
    conn->state = state;
}

/* ---- what waits to be sent, and what waits for a reply ---- */

static conn_piece *pieces_last(redis_conn *conn)
{
    return conn->pieces ? (conn_piece *)((char *)conn->pieces_end - offsetof(conn_piece, next)) : NULL;
}

/* Room for a command of so many bytes at the end of what is to be sent. Small commands share a piece. NULL: no memory.
 */
static char *pieces_reserve(redis_conn *conn, size_t length)
{
    conn_piece *last = pieces_last(conn);
    if (!last || last->capacity - last->length < length) {
        size_t capacity = length > CONN_PIECE_SIZE ? length : CONN_PIECE_SIZE;
        last = mem_alloc(sizeof *last + capacity);
        if (!last)
            return NULL;
        *last = (conn_piece){.capacity = capacity};
        *conn->pieces_end = last;
        conn->pieces_end = &last->next;
    }
    last->length += length;
    return last->data + last->length - length;
}

static void pieces_drop_sent(redis_conn *conn, size_t sent)
{
    conn->waiting -= sent;
    conn->sent_to += sent;
    sent += conn->first_piece_sent;
    while (conn->pieces && sent >= conn->pieces->length) {
        conn_piece *first = conn->pieces;
        sent -= first->length;
        conn->pieces = first->next;
        if (!conn->pieces)
            conn->pieces_end = &conn->pieces;
        mem_free(first);
    }
    conn->first_piece_sent = sent;
}

static void pieces_clear(redis_conn *conn)
{
    while (conn->pieces) {
        conn_piece *first = conn->pieces;
        conn->pieces = first->next;
        mem_free(first);
    }
    conn->pieces_end = &conn->pieces;
    conn->first_piece_sent = 0;
    conn->waiting = 0;
}

static void command_finish(conn_command *command, const redis_result *result)
{
    if (command->cb)
        command->cb(command->arg, result);
    mem_free(command);
}

/* Every command under way gets its result. */
static void commands_fail(redis_conn *conn, const char *reason)
{
    conn_command *list = conn->commands;
    conn->commands = NULL;
    conn->commands_end = &conn->commands;
    while (list) {
        conn_command *command = list;
        list = command->next;
        /* Redis runs a command only when it has all of it. */
        redis_outcome outcome = command->end > conn->sent_to ? REDIS_NOT_RUN : REDIS_UNKNOWN;
        command_finish(command, &(redis_result){outcome, NULL, reason});
    }
}

static int conn_enqueue(redis_conn *conn, int count, const char **argv, const size_t *lengths, redis_result_cb cb,
                        void *arg)
{
    size_t length = redis_command_size(count, lengths);
    conn_command *command = mem_alloc(sizeof *command);
    char *room = command ? pieces_reserve(conn, length) : NULL;
    if (!room) {
        mem_free(command);
        return ASYNQ_E_NO_MEMORY;
    }
    redis_command_write(room, count, argv, lengths);
    if (!conn->commands)
        conn->heard_at_ms = clock_steady_ms(); /* the loop may have stood still for long: its time is old */
    conn->waiting += length;
    conn->queued_to += length;
    *command = (conn_command){NULL, cb, arg, conn->queued_to};
    *conn->commands_end = command;
    conn->commands_end = &command->next;
    return ASYNQ_OK;
}

int64_t redis_conn_commands_sent(const redis_conn *conn)
{
    return conn->commands_sent;
}

int redis_conn_command(redis_conn *conn, const redis_args *args, redis_result_cb cb, void *arg)
{
    if (conn->state != CONN_READY || conn->freed)
        return ASYNQ_E_UNAVAILABLE;
    if (args->failed)
        return ASYNQ_E_NO_MEMORY;
    if (conn->waiting > CONN_MOST_WAITING)
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

redis_args *redis_conn_script_args(redis_conn *conn, script_id script, int key_count)
{
    redis_args *args = redis_conn_args(conn);
    redis_args_add_text(args, "EVALSHA");
    redis_args_add_text(args, redis_scripts[script].sha1);
    redis_args_add_integer(args, key_count);
    args->key_count = key_count;
    return args;
}

/* ---- writing ---- */

static void conn_expect_writable(redis_conn *conn, bool wanted)
{
    if (wanted == event_pending(&conn->writable, EV_WRITE, NULL))
        return;
    if (wanted)
        event_add(&conn->writable, NULL);
    else
        event_del(&conn->writable);
}

/* Returns bytes taken by the kernel, 0 if it takes none now, -1 after an error (the connection is down then). */
static ssize_t conn_sendmsg(redis_conn *conn, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    conn_lost(conn, "cannot send");
    return -1;
}

static size_t pieces_gather(const redis_conn *conn, struct iovec *parts)
{
    size_t count = 0;
    size_t skip = conn->first_piece_sent;
    for (conn_piece *piece = conn->pieces; piece && count < CONN_MOST_PIECES; piece = piece->next) {
        parts[count++] = (struct iovec){(char *)piece->data + skip, piece->length - skip};
        skip = 0;
    }
    return count;
}

static void conn_write_plain(redis_conn *conn)
{
    while (conn->pieces) {
        struct iovec parts[CONN_MOST_PIECES];
        size_t count = pieces_gather(conn, parts);
        ssize_t sent = conn_sendmsg(conn, parts, count);
        if (sent < 0)
            return;
        if (sent == 0)
            break;
        pieces_drop_sent(conn, (size_t)sent);
    }
    conn_expect_writable(conn, conn->pieces != NULL);
}

static void conn_write_tls(redis_conn *conn)
{
    asynq_error error;
    while (redis_tls_is_ready(conn->tls) && conn->pieces && conn->encrypted.length < CONN_MOST_WAITING) {
        struct iovec parts[CONN_MOST_PIECES];
        pieces_gather(conn, parts);
        if (redis_tls_send(conn->tls, parts[0].iov_base, parts[0].iov_len, &error)) {
            conn_down(conn, error.code, "%s", error.text);
            return;
        }
        pieces_drop_sent(conn, parts[0].iov_len);
        redis_tls_take_output(conn->tls, &conn->encrypted);
    }
    redis_tls_take_output(conn->tls, &conn->encrypted);
    if (buf_failed(&conn->encrypted)) {
        conn_down(conn, ASYNQ_E_NO_MEMORY, "out of memory");
        return;
    }
    if (conn->encrypted.length) {
        ssize_t sent = conn_sendmsg(conn, &(struct iovec){conn->encrypted.data, conn->encrypted.length}, 1);
        if (sent < 0)
            return;
        memmove(conn->encrypted.data, conn->encrypted.data + sent, conn->encrypted.length - (size_t)sent);
        conn->encrypted.length -= (size_t)sent;
    }
    conn_expect_writable(conn, conn->encrypted.length > 0);
}

static void conn_write(void *arg)
{
    redis_conn *conn = arg;
    if (conn->state < CONN_GREETING || conn->freed)
        return;
    if (conn->tls)
        conn_write_tls(conn);
    else if (conn->pieces)
        conn_write_plain(conn);
}

void redis_conn_flush(redis_conn *conn)
{
    conn_write(conn);
}

/* ---- reading ---- */

static bool is_message(const redis_value *value)
{
    return value->type == REDIS_ARRAY && value->count == 3 && redis_value_is_text(&value->elements[0], "message");
}

static bool error_starts(const redis_value *value, const char *word)
{
    return value->type == REDIS_ERROR && strncmp(value->text.data, word, strlen(word)) == 0;
}

/* The same for an error that may have come up inside a script: Redis 6.2 wraps it in a sentence of its own. */
static bool error_is(const redis_value *value, const char *word)
{
    char inside[32];
    snprintf(inside, sizeof inside, " -%s ", word);
    return error_starts(value, word) ||
           (error_starts(value, "ERR Error running script") && strstr(value->text.data, inside) != NULL);
}

static int conn_load_scripts(redis_conn *conn, redis_result_cb cb);

/* An error reply that means "not run, come again": the server restarts, fails over, or forgot our scripts. */
static const char *reason_not_run(redis_conn *conn, const redis_value *value)
{
    if (value->type != REDIS_ERROR)
        return NULL;
    if (error_starts(value, "NOSCRIPT")) {
        if (conn_load_scripts(conn, NULL))
            redis_conn_reset(conn, "out of memory while loading scripts");
        return "Redis had lost the scripts; they are loaded again";
    }
    if (error_starts(value, "LOADING"))
        return "Redis is loading its data";
    if (error_is(value, "READONLY") || error_starts(value, "MASTERDOWN")) {
        redis_conn_reset(conn, "this Redis is a read-only replica now");
        return "this Redis is a read-only replica now";
    }
    return NULL;
}

static void conn_dispatch(redis_conn *conn, const redis_value *value)
{
    /* Only on a connection that subscribes: elsewhere a task of id "message" may stand first in a reply. */
    if (conn->options.events.message && is_message(value)) {
        if (!conn->freed)
            conn->options.events.message(conn->options.events.arg, value);
        return;
    }
    conn_command *command = conn->commands;
    if (!command) {
        conn_down(conn, ASYNQ_E_MALFORMED, "Redis sent a reply that nobody asked for%s%.*s",
                  value->text.length ? ": " : "", BYTES_ARGS(value->text));
        return;
    }
    conn->commands = command->next;
    if (!conn->commands)
        conn->commands_end = &conn->commands;
    const char *reason = reason_not_run(conn, value);
    if (reason)
        command_finish(command, &(redis_result){REDIS_NOT_RUN, NULL, reason});
    else
        command_finish(command, &(redis_result){REDIS_REPLIED, value, NULL});
}

static void conn_receive_plain(redis_conn *conn, const char *data, size_t length)
{
    asynq_error error = {0};
    int status = redis_reader_feed(conn->reader, data, length);
    if (status)
        error_set_code(&error, status);
    while (!status && conn->state >= CONN_GREETING && !conn->freed) {
        const redis_value *value;
        status = redis_reader_next(conn->reader, &value, &error);
        if (status || !value)
            break;
        conn_dispatch(conn, value);
    }
    if (status && conn->state >= CONN_GREETING)
        conn_down(conn, status, "%s", error.text);
}

static void conn_receive(redis_conn *conn, const char *data, size_t length)
{
    conn->heard_at_ms = loop_steady_ms(conn->options.loop);
    if (!conn->tls) {
        conn_receive_plain(conn, data, length);
        return;
    }
    asynq_error error;
    conn->decrypted.length = 0;
    int status = redis_tls_receive(conn->tls, data, length, &conn->decrypted, &error);
    conn->heard_plain |= conn->decrypted.length > 0;
    if (conn->decrypted.length)
        conn_receive_plain(conn, conn->decrypted.data, conn->decrypted.length);
    if (status && conn->state >= CONN_GREETING)
        conn_down(conn, status, "%s", error.text);
}

static void conn_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    redis_conn *conn = arg;
    char data[CONN_RECEIVE_SIZE];
    ssize_t length = recv((int)fd, data, sizeof data, 0);
    if (length > 0)
        conn_receive(conn, data, (size_t)length);
    else if (length == 0)
        conn_lost(conn, NULL);
    else if (errno != EAGAIN && errno != EINTR)
        conn_lost(conn, "cannot receive");
}

/* ---- handshake ---- */

static void greeting_fail(redis_conn *conn, int code, const char *what, const redis_value *reply)
{
    if (!conn->greeting_error.code)
        error_set(&conn->greeting_error, code, "%s: %.*s", what, BYTES_ARGS(reply->text));
}

static void conn_become_ready(redis_conn *conn)
{
    if (conn->greeting_error.code) {
        asynq_error error = conn->greeting_error;
        conn_down(conn, error.code, "%s", error.text);
        return;
    }
    conn_set_state(conn, CONN_READY);
    conn->pause_ms = 0;
    if (conn->options.events.ready)
        conn->options.events.ready(conn->options.events.arg);
}

static void greeting_done(redis_conn *conn, const redis_result *result)
{
    if (conn->state != CONN_GREETING)
        return; /* the connection went down meanwhile */
    if (result->outcome == REDIS_NOT_RUN && !conn->greeting_error.code)
        error_set(&conn->greeting_error, ASYNQ_E_UNAVAILABLE, "%s", result->reason);
    if (--conn->greetings_left == 0)
        conn_become_ready(conn);
}

/* What Redis may refuse without harm. */
static void on_optional(void *arg, const redis_result *result)
{
    greeting_done(arg, result);
}

static void on_auth(void *arg, const redis_result *result)
{
    redis_conn *conn = arg;
    if (result->outcome == REDIS_REPLIED && result->reply->type == REDIS_ERROR)
        greeting_fail(conn, ASYNQ_E_AUTH, "Redis refused the credentials", result->reply);
    greeting_done(conn, result);
}

static void on_select(void *arg, const redis_result *result)
{
    redis_conn *conn = arg;
    if (result->outcome == REDIS_REPLIED && error_starts(result->reply, "NOAUTH"))
        greeting_fail(conn, ASYNQ_E_AUTH, "Redis wants a password in the URI (redis://:password@host)", result->reply);
    else if (result->outcome == REDIS_REPLIED && result->reply->type == REDIS_ERROR)
        greeting_fail(conn, ASYNQ_E_INVALID, "cannot use that database", result->reply);
    greeting_done(conn, result);
}

static void on_script_load(void *arg, const redis_result *result)
{
    redis_conn *conn = arg;
    if (result->outcome == REDIS_REPLIED && result->reply->type == REDIS_ERROR)
        greeting_fail(conn, ASYNQ_E_REDIS, "Redis does not take our Lua scripts", result->reply);
    greeting_done(conn, result);
}

/* The value of "name:value" in the text of INFO; empty if there is none. */
static void info_value(const redis_value *info, const char *name, char *value, size_t size)
{
    value[0] = '\0';
    const char *at = info->text.data ? strstr(info->text.data, name) : NULL;
    if (at)
        snprintf(value, size, "%.*s", (int)strcspn(at + strlen(name), "\r\n"), at + strlen(name));
}

static void on_info(void *arg, const redis_result *result)
{
    redis_conn *conn = arg;
    char version[32] = "";
    int major = 0, minor = 0;
    if (result->outcome == REDIS_REPLIED && result->reply->type == REDIS_STRING) {
        info_value(result->reply, "redis_version:", version, sizeof version);
        info_value(result->reply, "run_id:", conn->run_id, sizeof conn->run_id);
        if (sscanf(version, "%d.%d", &major, &minor) == 2 && major * 100 + minor < CONN_OLDEST_VERSION &&
            !conn->greeting_error.code)
            error_set(&conn->greeting_error, ASYNQ_E_VERSION,
                      "Redis %s is too old: taking several tasks at once needs Redis 6.2 or newer", version);
    } else if (result->outcome == REDIS_REPLIED && error_starts(result->reply, "LOADING")) {
        greeting_fail(conn, ASYNQ_E_UNAVAILABLE, "Redis is not ready", result->reply);
    }
    greeting_done(conn, result);
}

static void on_client_id(void *arg, const redis_result *result)
{
    redis_conn *conn = arg;
    if (result->outcome == REDIS_REPLIED)
        conn->client_id = redis_value_integer(result->reply);
    greeting_done(conn, result);
}

static int greet(redis_conn *conn, redis_result_cb cb, int count, ...)
{
    const char *argv[4];
    size_t lengths[4];
    va_list words;
    va_start(words, count);
    for (int i = 0; i < count; i++) {
        argv[i] = va_arg(words, const char *);
        lengths[i] = strlen(argv[i]);
    }
    va_end(words);
    conn->greetings_left++;
    return conn_enqueue(conn, count, argv, lengths, cb, conn);
}

static int conn_load_scripts(redis_conn *conn, redis_result_cb cb)
{
    int status = ASYNQ_OK;
    for (int i = 0; i < SCRIPT_COUNT && !status; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", redis_scripts[i].text};
        size_t lengths[] = {6, 4, strlen(redis_scripts[i].text)};
        if (cb)
            conn->greetings_left++;
        status = conn_enqueue(conn, 3, argv, lengths, cb, conn);
    }
    return status;
}

static int conn_send_greetings(redis_conn *conn)
{
    const redis_uri *uri = conn->options.uri;
    char database[16];
    snprintf(database, sizeof database, "%d", uri->database);
    int status = ASYNQ_OK;
    if (uri->password && uri->user)
        status = greet(conn, on_auth, 3, "AUTH", uri->user, uri->password);
    else if (uri->password)
        status = greet(conn, on_auth, 2, "AUTH", uri->password);
    /* SELECT also when it is database 0: it is the cheapest command that tells a missing password. */
    if (!status)
        status = greet(conn, on_select, 2, "SELECT", database);
    if (!status)
        status = greet(conn, on_optional, 3, "CLIENT", "SETNAME", conn->options.name);
    if (!status)
        status = greet(conn, on_client_id, 2, "CLIENT", "ID");
    if (!status && !conn->options.without_scripts)
        status = conn_load_scripts(conn, on_script_load);
    if (!status)
        status = greet(conn, on_info, 2, "INFO", "server");
    return status;
}

static void conn_greet(redis_conn *conn)
{
    asynq_error error;
    conn_set_state(conn, CONN_GREETING);
    conn->greetings_left = 0;
    conn->client_id = 0;
    conn->heard_plain = false;
    conn->run_id[0] = '\0';
    error_clear(&conn->greeting_error);
    event_add(&conn->readable, NULL);
    if (conn->options.uri->tls) {
        conn->tls = redis_tls_new(conn->options.uri, &error);
        if (!conn->tls || redis_tls_receive(conn->tls, NULL, 0, &conn->decrypted, &error)) {
            conn_down(conn, error.code, "%s", error.text);
            return;
        }
    }
    if (conn_send_greetings(conn))
        conn_down(conn, ASYNQ_E_NO_MEMORY, "out of memory");
}

/* ---- connecting ---- */

static void conn_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    redis_conn *conn = arg;
    if (conn->state != CONN_CONNECTING) {
        conn_write(conn);
        return;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    conn_expect_writable(conn, false);
    if (!problem) {
        conn_greet(conn);
        return;
    }
    if (conn->address && conn->address->ai_next) { /* for example localhost, first ::1 and then 127.0.0.1 */
        close(conn->fd);
        conn->fd = -1;
        conn->address = conn->address->ai_next;
        conn_try_address(conn);
        return;
    }
    conn_down(conn, ASYNQ_E_UNAVAILABLE, "cannot connect: %s", strerror(problem));
}

static void conn_connect(redis_conn *conn, const struct sockaddr *address, socklen_t length, int family)
{
    conn_set_state(conn, CONN_CONNECTING);
    conn->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        conn_down(conn, ASYNQ_E_SYSTEM, "cannot make a socket: %s", strerror(errno));
        return;
    }
    if (family != AF_UNIX) {
        int on = 1;
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    struct event_base *base = loop_base(conn->options.loop);
    event_assign(&conn->writable, base, conn->fd, EV_WRITE | EV_PERSIST, conn_writable, conn);
    event_assign(&conn->readable, base, conn->fd, EV_READ | EV_PERSIST, conn_readable, conn);
    /* EAGAIN: the listen queue of a unix socket is full. */
    if (connect(conn->fd, address, length) == 0 || errno == EINPROGRESS)
        conn_expect_writable(conn, true);
    else
        conn_down(conn, ASYNQ_E_UNAVAILABLE, "cannot connect: %s", strerror(errno));
}

static void conn_try_address(redis_conn *conn)
{
    conn_connect(conn, conn->address->ai_addr, (socklen_t)conn->address->ai_addrlen, conn->address->ai_family);
}

static void conn_resolved(redis_conn *conn, int problem, struct evutil_addrinfo *addresses)
{
    conn->addresses = conn->address = addresses;
    if (problem || !addresses)
        conn_down(conn, ASYNQ_E_UNAVAILABLE, "cannot find the host: %s",
                  problem ? evutil_gai_strerror(problem) : "no address");
    else
        conn_try_address(conn);
}

static void conn_answered(int problem, struct evutil_addrinfo *addresses, void *arg)
{
    conn_question *question = arg;
    redis_conn *conn = question->conn;
    mem_free(question);
    if (conn) {
        conn->question = NULL;
        conn_resolved(conn, problem, addresses);
    } else if (addresses) {
        evutil_freeaddrinfo(addresses);
    }
}

static void conn_ask_resolver(redis_conn *conn, const char *port, const struct evutil_addrinfo *hints)
{
    if (!conn->dns)
        conn->dns = evdns_base_new(loop_base(conn->options.loop), EVDNS_BASE_INITIALIZE_NAMESERVERS);
    if (!conn->dns) { /* no name server is configured: /etc/hosts may still know the name */
        conn->dns = evdns_base_new(loop_base(conn->options.loop), 0);
        if (conn->dns)
            evdns_base_load_hosts(conn->dns, "/etc/hosts");
    }
    conn_question *question = conn->dns ? mem_calloc(1, sizeof *question) : NULL;
    if (!question) {
        conn_down(conn, ASYNQ_E_NO_MEMORY, "out of memory");
        return;
    }
    question->conn = conn;
    conn->question = question;
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(conn->dns, conn->options.uri->host, port, hints, conn_answered, question);
    if (request) /* else it was answered already, and the question is gone */
        question->request = request;
}

static void conn_resolve(redis_conn *conn)
{
    const redis_uri *uri = conn->options.uri;
    char port[16];
    snprintf(port, sizeof port, "%d", uri->port);
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = EVUTIL_AI_NUMERICHOST};
    struct evutil_addrinfo *addresses = NULL;
    conn_set_state(conn, CONN_RESOLVING);
    if (evutil_getaddrinfo(uri->host, port, &hints, &addresses) == 0) {
        conn_resolved(conn, 0, addresses);
        return;
    }
    hints.ai_flags = 0;
    conn_ask_resolver(conn, port, &hints);
}

static void conn_attempt(void *arg)
{
    redis_conn *conn = arg;
    conn->attempt_at_ms = loop_steady_ms(conn->options.loop);
    loop_timer_set(&conn->check, CONN_CHECK_PERIOD_MS);
    if (!conn->options.uri->path) {
        conn_resolve(conn);
        return;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", conn->options.uri->path);
    conn_connect(conn, (struct sockaddr *)&address, sizeof address, AF_UNIX);
}

/* Finds connections that hang: in connecting, or in waiting for replies. */
static void conn_check(void *arg)
{
    redis_conn *conn = arg;
    int64_t now_ms = loop_steady_ms(conn->options.loop);
    loop_timer_set(&conn->check, CONN_CHECK_PERIOD_MS);
    if (conn->state == CONN_RESTING)
        return;
    if (conn->state < CONN_READY && now_ms - conn->attempt_at_ms > CONN_CONNECT_LIMIT_MS)
        conn_down(conn, ASYNQ_E_UNAVAILABLE, "no connection after %d s", CONN_CONNECT_LIMIT_MS / 1000);
    else if (conn->state == CONN_READY && conn->commands && now_ms - conn->heard_at_ms > CONN_REPLY_LIMIT_MS)
        conn_down(conn, ASYNQ_E_UNAVAILABLE, "no answer for %d s", CONN_REPLY_LIMIT_MS / 1000);
}

/* ---- ending ---- */

static void conn_close_socket(redis_conn *conn)
{
    if (conn->question) {
        conn->question->conn = NULL;
        evdns_getaddrinfo_cancel(conn->question->request);
        conn->question = NULL;
    }
    if (conn->addresses)
        evutil_freeaddrinfo(conn->addresses);
    conn->addresses = conn->address = NULL;
    if (conn->fd >= 0) {
        event_del(&conn->writable);
        event_del(&conn->readable);
        close(conn->fd);
    }
    conn->fd = -1;
    redis_tls_free(conn->tls);
    conn->tls = NULL;
    buf_clear(&conn->encrypted);
    buf_clear(&conn->decrypted);
}

static int64_t next_pause_ms(redis_conn *conn)
{
    conn->pause_ms = backoff_next_ms(conn->pause_ms, CONN_FIRST_PAUSE_MS, CONN_LONGEST_PAUSE_MS);
    uint32_t random;
    evutil_secure_rng_get_bytes(&random, sizeof random);
    return conn->pause_ms / 2 + random % (conn->pause_ms / 2 + 1);
}

static void conn_report_down(redis_conn *conn, const asynq_error *error)
{
    unsigned skipped;
    char where[300];
    redis_uri_describe(conn->options.uri, where, sizeof where);
    if (log_limit_pass(&conn->complaint, &skipped))
        log_warn(conn->options.log, "redis %s (%s): %s%s", conn->options.name, where, error->text,
                 skipped ? " (and the attempts before)" : "");
    if (conn->options.events.down)
        conn->options.events.down(conn->options.events.arg, error);
}

static void conn_down(redis_conn *conn, int code, const char *format, ...)
{
    if (conn->state == CONN_RESTING || conn->freed)
        return;
    asynq_error error;
    va_list args;
    va_start(args, format);
    error_setv(&error, code, format, args);
    va_end(args);

    conn_set_state(conn, CONN_RESTING);
    conn_close_socket(conn);
    /* The reader may be the one that called us: it is replaced at the next attempt, not here. */
    loop_timer_set(&conn->pause, next_pause_ms(conn));
    commands_fail(conn, error.text);
    pieces_clear(conn);
    if (!conn->freed)
        conn_report_down(conn, &error);
}

static void conn_pause_over(void *arg)
{
    redis_conn *conn = arg;
    redis_reader *fresh = redis_reader_new();
    if (!fresh) {
        loop_timer_set(&conn->pause, next_pause_ms(conn));
        return;
    }
    redis_reader_free(conn->reader);
    conn->reader = fresh;
    conn->queued_to = conn->sent_to = 0;
    conn_attempt(conn);
}

/* The other end is gone: it closed the connection (what: NULL), or what failed with errno. A server that refuses us in
 * the handshake of TLS often does it without its reason reaching us: what we sent meanwhile resets the connection. */
static void conn_lost(redis_conn *conn, const char *what)
{
    const char *problem = what ? strerror(errno) : "Redis closed the connection";
    const char *hint = "";
    if (conn->tls && !conn->heard_plain)
        hint = "; TLS: it came before the first answer, as when the server wants a client certificate (cert_file=, "
               "key_file=)";
    conn_down(conn, ASYNQ_E_UNAVAILABLE, "%s%s%s%s", what ? what : "", what ? ": " : "", problem, hint);
}

void redis_conn_reset(redis_conn *conn, const char *reason)
{
    conn_down(conn, ASYNQ_E_UNAVAILABLE, "%s", reason);
}

redis_conn *redis_conn_new(const redis_conn_options *options)
{
    redis_conn *conn = mem_calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->options = *options;
    conn->fd = -1;
    conn->pieces_end = &conn->pieces;
    conn->commands_end = &conn->commands;
    conn->complaint.period_ms = 3000;
    buf_init(&conn->encrypted, 0);
    buf_init(&conn->decrypted, 0);
    redis_args_init(&conn->args);
    loop_timer_init(options->loop, &conn->pause, conn_pause_over, conn);
    loop_timer_init(options->loop, &conn->check, conn_check, conn);
    loop_hook_add(options->loop, LOOP_WRITE, &conn->write_hook, conn_write, conn);
    loop_timer_set(&conn->pause, 0);
    return conn;
}

static void conn_destroy(void *arg)
{
    redis_conn *conn = arg;
    commands_fail(conn, "the connection was closed");
    pieces_clear(conn);
    redis_reader_free(conn->reader);
    redis_args_clear(&conn->args);
    mem_free(conn);
}

void redis_conn_free(redis_conn *conn)
{
    if (!conn || conn->freed)
        return;
    conn->freed = true;
    conn_set_state(conn, CONN_RESTING); /* a handshake under way must not end in READY when its commands are given up */
    conn_close_socket(conn);
    if (conn->dns)
        evdns_base_free(conn->dns, 1);
    loop_timer_cancel(&conn->pause);
    loop_timer_cancel(&conn->check);
    loop_hook_remove(conn->options.loop, LOOP_WRITE, &conn->write_hook);
    loop_defer(conn->options.loop, &conn->end, conn_destroy, conn);
}

bool redis_conn_is_ready(const redis_conn *conn)
{
    return conn && conn->state == CONN_READY && !conn->freed;
}

const char *redis_conn_run_id(const redis_conn *conn)
{
    return conn->run_id;
}

int64_t redis_conn_client_id(const redis_conn *conn)
{
    return conn->client_id;
}

bool redis_error_is_final(int status)
{
    return status == ASYNQ_E_AUTH || status == ASYNQ_E_VERSION || status == ASYNQ_E_INVALID;
}

int redis_result_check(const redis_result *result, asynq_error *error)
{
    if (result->outcome == REDIS_NOT_RUN)
        return error_set(error, ASYNQ_E_UNAVAILABLE, "%s", result->reason);
    if (result->outcome == REDIS_UNKNOWN)
        return error_set(error, ASYNQ_E_OUTCOME_UNKNOWN, "%s before Redis answered", result->reason);
    if (result->reply->type != REDIS_ERROR)
        return ASYNQ_OK;
    if (error_is(result->reply, "OOM"))
        return error_set(error, ASYNQ_E_REDIS_FULL, "Redis is out of memory (maxmemory): %.*s",
                         BYTES_ARGS(result->reply->text));
    return error_set(error, ASYNQ_E_REDIS, "Redis answered: %.*s", BYTES_ARGS(result->reply->text));
}
