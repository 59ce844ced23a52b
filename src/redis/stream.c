/* See stream.h. */
#include "redis/stream.h"

#include "base/error.h"
#include "redis/command.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAM_RECEIVE_SIZE = 64 * 1024 };

#define STREAM_MAX_ENCRYPTED ((size_t)4 << 20) /* the rest waits in clear */

static void stream_fail(redis_stream *stream, const asynq_error *error)
{
    if (stream->fd >= 0)
        stream->events.lost(stream->events.arg, error);
}

/* A server that refuses us in the handshake of TLS often does it without its reason reaching us: what we sent meanwhile
 * resets the connection. */
static const char *stream_hint(const redis_stream *stream)
{
    return stream->tls && !stream->has_heard
               ? "; TLS: it came before the first answer, as when the server wants a client certificate (cert_file=, "
                 "key_file=)"
               : "";
}

static void stream_fail_by_errno(redis_stream *stream, const char *what)
{
    asynq_error error;
    error_set(&error, ASYNQ_E_UNAVAILABLE, "%s: %s%s", what, strerror(errno), stream_hint(stream));
    stream_fail(stream, &error);
}

/* ---- writing ---- */

static int stream_encrypt(redis_stream *stream, asynq_error *error)
{
    int status = ASYNQ_OK;
    while (!status && redis_tls_is_ready(stream->tls) && stream->out.length &&
           stream->encrypted.length < STREAM_MAX_ENCRYPTED) {
        struct iovec part;
        redis_outq_gather(&stream->out, &part, 1);
        status = redis_tls_send(stream->tls, part.iov_base, part.iov_len, error);
        if (!status) {
            redis_outq_drop(&stream->out, part.iov_len);
            status = redis_tls_take_output(stream->tls, &stream->encrypted, error);
        }
    }
    return status ? status : redis_tls_take_output(stream->tls, &stream->encrypted, error); /* of its handshake */
}

static ssize_t stream_read_some(redis_stream *stream);

/* False, with errno: the socket takes nothing any more. */
static bool stream_send(redis_stream *stream)
{
    asynq_error error;
    if (stream->tls && stream_encrypt(stream, &error)) {
        stream_fail(stream, &error);
        return true;
    }
    redis_outq *queue = stream->tls ? &stream->encrypted : &stream->out;
    if (!redis_outq_send(queue, stream->fd))
        return false;
    loop_watch_set(&stream->watch, true, queue->length > 0);
    return true;
}

void redis_stream_flush(redis_stream *stream)
{
    if (stream->fd >= 0)
        (void)stream_send(stream);
}

void redis_stream_write(redis_stream *stream)
{
    if (stream->fd < 0 || stream_send(stream))
        return;
    int problem = errno;
    /* Before it closed, Redis may have said why, as it does when it has too many clients. */
    while (stream->fd >= 0 && stream_read_some(stream) > 0)
        continue;
    errno = problem;
    stream_fail_by_errno(stream, "cannot send");
}

uint64_t redis_stream_queue(redis_stream *stream, int count, const char *const *argv, const size_t *lengths)
{
    char *room = redis_outq_reserve(&stream->out, redis_command_size(count, lengths));
    if (!room)
        return 0;
    redis_command_write(room, count, argv, lengths);
    return stream->out.queued_to;
}

/* ---- reading ---- */

static void stream_receive_plain(redis_stream *stream, const char *data, size_t length)
{
    asynq_error error = {0};
    int status = redis_reader_feed(stream->reader, data, length);
    if (status)
        error_set_code(&error, status);
    stream->has_heard = true;
    while (!status && stream->fd >= 0) {
        const redis_value *value;
        status = redis_reader_next(stream->reader, &value, &error);
        if (status || !value)
            break;
        stream->events.reply(stream->events.arg, value);
    }
    if (status)
        stream_fail(stream, &error);
}

static void stream_receive_encrypted(redis_stream *stream, const char *data, size_t length)
{
    asynq_error error;
    stream->decrypted.length = 0;
    int status = redis_tls_receive(stream->tls, data, length, &stream->decrypted, &error);
    if (stream->decrypted.length)
        stream_receive_plain(stream, stream->decrypted.data, stream->decrypted.length);
    if (status)
        stream_fail(stream, &error);
}

/* Returns recv()'s result. */
static ssize_t stream_read_some(redis_stream *stream)
{
    char data[STREAM_RECEIVE_SIZE];
    ssize_t length = recv(stream->fd, data, sizeof data, 0);
    if (length <= 0)
        return length;
    stream->heard_at_ms = loop_steady_ms(stream->loop);
    if (stream->tls)
        stream_receive_encrypted(stream, data, (size_t)length);
    else
        stream_receive_plain(stream, data, (size_t)length);
    return length;
}

static void stream_read(redis_stream *stream)
{
    asynq_error error;
    ssize_t length = stream_read_some(stream);
    if (length == 0) {
        error_set(&error, ASYNQ_E_UNAVAILABLE, "Redis closed the connection%s", stream_hint(stream));
        stream_fail(stream, &error);
    } else if (length < 0 && errno != EAGAIN && errno != EINTR) {
        stream_fail_by_errno(stream, "cannot receive");
    }
}

static void stream_ready(void *arg, bool can_read, bool can_write)
{
    redis_stream *stream = arg;
    if (can_read)
        stream_read(stream);
    if (can_write)
        redis_stream_write(stream);
}

/* ---- opening and closing ---- */

int redis_stream_open(redis_stream *stream, int fd, const redis_uri *uri, asynq_error *error)
{
    redis_reader *fresh = redis_reader_new(); /* the old one may hold half a reply */
    redis_reader_free(stream->reader);
    stream->reader = fresh;
    redis_outq_reset(&stream->out);
    redis_outq_reset(&stream->encrypted);
    stream->fd = fd;
    stream->has_heard = false;
    loop_watch_init(stream->loop, &stream->watch, fd, stream_ready, stream);
    loop_watch_set(&stream->watch, true, false);
    if (!fresh)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!uri->tls)
        return ASYNQ_OK;
    stream->tls = redis_tls_new(uri, error);
    return stream->tls ? redis_tls_receive(stream->tls, NULL, 0, &stream->decrypted, error) : error->code;
}

/* The kernel forgets what it has not delivered, and tells the server so. Closing alone would do it with a linger time
 * of 0, but not while a child of a fork has the socket as well. */
static void stream_disconnect(redis_stream *stream)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connect(stream->fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

void redis_stream_close(redis_stream *stream, bool drop)
{
    if (stream->fd < 0)
        return;
    loop_watch_clear(&stream->watch);
    if (drop)
        stream_disconnect(stream);
    close(stream->fd);
    stream->fd = -1;
    redis_tls_free(stream->tls);
    stream->tls = NULL;
    buf_clear(&stream->decrypted);
}

void redis_stream_init(redis_stream *stream, loop *l, const redis_stream_events *events)
{
    *stream = (redis_stream){.loop = l, .events = *events, .fd = -1};
    redis_outq_init(&stream->out);
    redis_outq_init(&stream->encrypted);
    buf_init(&stream->decrypted, 0);
}

void redis_stream_clear(redis_stream *stream)
{
    redis_stream_close(stream, false);
    redis_outq_reset(&stream->out);
    redis_outq_reset(&stream->encrypted);
    redis_reader_free(stream->reader);
    stream->reader = NULL;
}
