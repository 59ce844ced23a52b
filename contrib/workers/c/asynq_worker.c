/* See asynq_worker.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "asynq_worker.h"

#include <errno.h>
#include <msgpack.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROTOCOL_VERSION = 1, MAX_FRAME = 64 << 20 };

struct asynq_worker_state {
    int fd;
    int64_t call;
    bool is_cancelled, is_enough;
    const msgpack_object *headers; /* NULL: none */
    void *result;
    size_t result_length;
    char *text;
};

typedef struct asynq_worker_state worker;

/* ---- frames ---- */

/* Returns 0, or -1 when asynqd is gone. */
static int write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t more = write(fd, data, length);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            return -1;
        data += more;
        length -= (size_t)more;
    }
    return 0;
}

static int read_all(int fd, char *data, size_t length)
{
    while (length) {
        ssize_t more = read(fd, data, length);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            return -1;
        data += more;
        length -= (size_t)more;
    }
    return 0;
}

typedef struct writing {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
} writing;

static void pack_text(writing *w, const char *text)
{
    msgpack_pack_str_with_body(&w->packer, text, strlen(text));
}

static void begin(writing *w, const char *type, size_t fields)
{
    msgpack_sbuffer_init(&w->buffer);
    msgpack_packer_init(&w->packer, &w->buffer, msgpack_sbuffer_write);
    msgpack_sbuffer_write(&w->buffer, "\0\0\0\0", 4);
    msgpack_pack_map(&w->packer, 1 + fields);
    pack_text(w, "type");
    pack_text(w, type);
}

static void add_text(writing *w, const char *key, const char *text)
{
    pack_text(w, key);
    pack_text(w, text);
}

static void add_number(writing *w, const char *key, int64_t number)
{
    pack_text(w, key);
    msgpack_pack_int64(&w->packer, number);
}

static int send_frame(worker *own, writing *w)
{
    size_t length = w->buffer.size - 4;
    for (int i = 0; i < 4; i++)
        w->buffer.data[i] = (char)(length >> (24 - 8 * i));
    int status = write_all(own->fd, w->buffer.data, w->buffer.size);
    msgpack_sbuffer_destroy(&w->buffer);
    return status;
}

/* Reads the next frame into `unpacked`. Returns 0, or -1 when asynqd is gone. */
static int receive(worker *own, msgpack_unpacked *unpacked)
{
    unsigned char header[4];
    if (read_all(own->fd, (char *)header, sizeof header))
        return -1;
    size_t length = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3], at = 0;
    char *body = length <= MAX_FRAME ? malloc(length + 1) : NULL;
    int status = body ? read_all(own->fd, body, length) : -1;
    /* A copy of the bytes goes into the zone, as msgpack-c points into what it reads. */
    char *kept = NULL;
    msgpack_unpacked_destroy(unpacked);
    msgpack_unpacked_init(unpacked);
    if (!status && (unpacked->zone = msgpack_zone_new(length + 8192)) != NULL)
        kept = msgpack_zone_malloc(unpacked->zone, length + 1);
    if (kept) {
        memcpy(kept, body, length);
        status = msgpack_unpack(kept, length, &at, unpacked->zone, &unpacked->data) == MSGPACK_UNPACK_SUCCESS ? 0 : -1;
    }
    free(body);
    return kept ? status : -1;
}

static const msgpack_object *find(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object *own = &map->via.map.ptr[i].key;
        if (own->type == MSGPACK_OBJECT_STR && own->via.str.size == strlen(key) &&
            memcmp(own->via.str.ptr, key, own->via.str.size) == 0)
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

static bool is_text(const msgpack_object *object, const char *text)
{
    return object && object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           memcmp(object->via.str.ptr, text, object->via.str.size) == 0;
}

static int64_t number_of(const msgpack_object *frame, const char *key)
{
    const msgpack_object *object = find(frame, key);
    return object &&
                   (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER || object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
               ? object->via.i64
               : 0;
}

/* A copy with a NUL byte behind; "" if there is none. */
static char *text_of(const msgpack_object *object, msgpack_zone *zone, size_t *length)
{
    const char *data = "";
    size_t own = 0;
    if (object && object->type == MSGPACK_OBJECT_STR) {
        data = object->via.str.ptr;
        own = object->via.str.size;
    } else if (object && object->type == MSGPACK_OBJECT_BIN) {
        data = object->via.bin.ptr;
        own = object->via.bin.size;
    }
    char *copy = msgpack_zone_malloc(zone, own + 1);
    if (copy) {
        memcpy(copy, data, own);
        copy[own] = '\0';
    }
    if (length)
        *length = own;
    return copy;
}

/* ---- what functions use ---- */

const char *asynq_worker_header(const asynq_worker_job *job, const char *key)
{
    static char value[8192];
    const msgpack_object *object = job->state->headers ? find(job->state->headers, key) : NULL;
    if (!object || object->type != MSGPACK_OBJECT_STR)
        return NULL;
    snprintf(value, sizeof value, "%.*s", (int)object->via.str.size, object->via.str.ptr);
    return value;
}

int asynq_worker_result(asynq_worker_job *job, const void *data, size_t length)
{
    worker *own = job->state;
    free(own->result);
    own->result = malloc(length + 1);
    own->result_length = length;
    if (!own->result)
        return asynq_worker_fail(job, ASYNQ_WORKER_RETRY, "out of memory");
    memcpy(own->result, data, length);
    return ASYNQ_WORKER_DONE;
}

int asynq_worker_fail(asynq_worker_job *job, int outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(job->state->text);
    job->state->text = NULL;
    if (vasprintf(&job->state->text, format, args) < 0)
        job->state->text = NULL;
    va_end(args);
    return outcome;
}

int asynq_worker_progress(asynq_worker_job *job, double fraction)
{
    writing w;
    begin(&w, "heartbeat", fraction < 0 ? 1 : 2);
    add_number(&w, "call", job->state->call);
    if (fraction >= 0) {
        pack_text(&w, "progress");
        msgpack_pack_double(&w.packer, fraction);
    }
    return send_frame(job->state, &w);
}

int asynq_worker_log(asynq_worker_job *job, const char *level, const char *text)
{
    writing w;
    begin(&w, "log", 3);
    add_number(&w, "call", job->state->call);
    add_text(&w, "level", level);
    add_text(&w, "text", text);
    return send_frame(job->state, &w);
}

int asynq_worker_is_cancelled(asynq_worker_job *job)
{
    worker *own = job->state;
    struct pollfd ready = {.fd = own->fd, .events = POLLIN};
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    /* With one task at a time, cancel and shutdown are all that can come. */
    while (!own->is_cancelled && poll(&ready, 1, 0) > 0) {
        if (receive(own, &unpacked))
            own->is_cancelled = own->is_enough = true;
        else if (is_text(find(&unpacked.data, "type"), "cancel"))
            own->is_cancelled = number_of(&unpacked.data, "call") == own->call;
        else if (is_text(find(&unpacked.data, "type"), "shutdown"))
            own->is_enough = true;
    }
    msgpack_unpacked_destroy(&unpacked);
    return own->is_cancelled;
}

/* ---- running ---- */

static const asynq_worker_route *find_route(const asynq_worker_route *routes, const char *type)
{
    const asynq_worker_route *best = NULL;
    for (; routes->pattern; routes++)
        if (strncmp(type, routes->pattern, strlen(routes->pattern)) == 0 &&
            (!best || strlen(routes->pattern) > strlen(best->pattern)))
            best = routes;
    return best;
}

static int tell_end(worker *own, int outcome, int64_t retry_in_ms)
{
    static const char *const failures[] = {NULL, "retry", "permanent", "revoke", "snooze"};
    writing w;
    if (outcome == ASYNQ_WORKER_DONE) {
        begin(&w, "result", own->result ? 2 : 1);
        add_number(&w, "call", own->call);
        if (own->result) {
            pack_text(&w, "result");
            msgpack_pack_bin_with_body(&w.packer, own->result, own->result_length);
        }
        return send_frame(own, &w);
    }
    bool is_known = outcome > 0 && outcome <= ASYNQ_WORKER_SNOOZE;
    begin(&w, "error", retry_in_ms > 0 ? 4 : 3);
    add_number(&w, "call", own->call);
    add_text(&w, "failure", failures[is_known ? outcome : ASYNQ_WORKER_RETRY]);
    add_text(&w, "text", own->text ? own->text : "the function failed and gave no reason");
    if (retry_in_ms > 0)
        add_number(&w, "retry_in_ms", retry_in_ms);
    return send_frame(own, &w);
}

static int run_task(worker *own, const msgpack_unpacked *unpacked, const asynq_worker_route *routes)
{
    const msgpack_object *frame = &unpacked->data, *headers = find(frame, "headers");
    msgpack_zone *zone = unpacked->zone;
    own->call = number_of(frame, "call");
    own->is_cancelled = false;
    own->headers = headers;
    asynq_worker_job job = {
        .id = text_of(find(frame, "id"), zone, NULL),
        .type = text_of(find(frame, "task_type"), zone, NULL),
        .queue = text_of(find(frame, "queue"), zone, NULL),
        .retried = number_of(frame, "retried"),
        .max_retry = number_of(frame, "max_retry"),
        .deadline_ms = number_of(frame, "deadline_ms"),
        .state = own,
    };
    job.payload = text_of(find(frame, "payload"), zone, &job.payload_length);
    const asynq_worker_route *route = job.type ? find_route(routes, job.type) : NULL;
    int outcome = route ? route->function(&job, route->arg)
                        : asynq_worker_fail(&job, ASYNQ_WORKER_PERMANENT, "no function for the type \"%s\"",
                                            job.type ? job.type : "");
    int status = tell_end(own, outcome, job.retry_in_ms);
    free(own->result);
    free(own->text);
    own->result = NULL;
    own->text = NULL;
    return status;
}

int asynq_worker_run(const char *name, const asynq_worker_route *routes)
{
    const char *fd = getenv("ASYNQ_WORKER_FD");
    worker own = {.fd = fd ? atoi(fd) : -1};
    if (own.fd < 0) {
        fputs("this program is a worker of asynqd; name it under workers: in asynqd's configuration\n", stderr);
        return 1;
    }
    writing w;
    begin(&w, "hello", 2);
    add_number(&w, "version", PROTOCOL_VERSION);
    add_text(&w, "name", name);
    int status = send_frame(&own, &w);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    while (!status && !own.is_enough && !receive(&own, &unpacked)) {
        const msgpack_object *type = find(&unpacked.data, "type");
        if (is_text(type, "task"))
            status = run_task(&own, &unpacked, routes);
        else if (is_text(type, "shutdown"))
            own.is_enough = true;
    }
    msgpack_unpacked_destroy(&unpacked);
    return own.is_enough ? 0 : 1;
}
