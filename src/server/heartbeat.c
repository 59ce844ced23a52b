/*
 * Every five seconds: the server's record, its workers' record (by difference), and the leases of what runs. Every
 * second: leases that ended because they could not be renewed.
 *
 * The workers' record has the payloads, and goes by the connection that takes tasks: more than about a megabyte of it
 * goes in several calls, one when the last is answered, so that other commands have their turn in between.
 */
#include "server/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "server/attempt.h"
#include "server/progress.h"
#include "server/read_back.h"
#include "wire/server_info.h"

#include <stdio.h>
#include <utlist.h>

enum {
    BEAT_PERIOD_MS = 5000,
    BEAT_LIFE_S = 10,
    LEASE_CHECK_PERIOD_MS = 1000,
    RECORD_MAX_QUEUES = 1000,      /* others of the server are left out: it is written with each beat */
    RECORD_MAX_BYTES = 1 << 20,    /* of the workers' record in one call, and one more */
    NEWS_BYTES = 65536,            /* of a payload, which goes along, for each period between news of its task */
    UNKNOWN_LEASE_MORE_MS = 30000, /* so long after its end nobody else recovers what a lease took */
    CLOCK_DIFFERENCE_MAX_MS = 2000
};

/* ---- leases ---- */

static void renew_replied(void *arg, int status, const asynq_error *error, const redis_value *reply);

/* An idle queue needs it not. */
static void renewal_clear(served_queue *queue)
{
    mem_free(queue->renewal.jobs);
    queue->renewal.jobs = NULL;
}

/* Takes the next jobs of this sweep from the head of the list and moves them to its tail. */
static void renew_form_chunk(served_queue *queue)
{
    uint64_t sweep = queue->server->heartbeat.renew_sweep;
    if (!queue->renewal.jobs)
        queue->renewal.jobs = mem_calloc(BROKER_CHUNK_TASKS, sizeof(asynq_job *));
    while (queue->renewal.jobs && queue->renewal.count < BROKER_CHUNK_TASKS && queue->books.to_renew &&
           queue->books.to_renew->renewed_in != sweep) {
        asynq_job *job = books_rotate_renewals(queue);
        job->renewed_in = sweep;
        if (job->lease_ends_at_ms < loop_steady_ms(queue->server->loop))
            continue; /* too late: lease_check_fired deals with it */
        job_ref(job);
        queue->renewal.jobs[queue->renewal.count++] = job;
    }
}

static void renew_pump(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (queue->renewal.count || !broker_has_queue(queue->broker, &queue->keys))
        return;
    renew_form_chunk(queue);
    if (!queue->renewal.count)
        return;
    renew_item items[BROKER_CHUNK_TASKS];
    for (size_t i = 0; i < queue->renewal.count; i++)
        items[i] = (renew_item){job_id(queue->renewal.jobs[i]), queue->renewal.jobs[i]->tag};
    queue->renewal.until_ms = loop_steady_ms(server->loop) + BROKER_LEASE_S * MS_PER_SECOND;
    int64_t second = floor_div(loop_now_ns(server->loop), NS_PER_SECOND) + BROKER_LEASE_S;
    if (!broker_renew(queue->broker, &queue->keys, items, queue->renewal.count, second, renew_replied, queue))
        return;
    while (queue->renewal.count)
        job_unref(queue->renewal.jobs[--queue->renewal.count]);
}

static void renewed(asynq_job *job, int64_t until_ms, int result)
{
    bool is_ours = job->state == JOB_RUNNING || job->state == JOB_UNSETTLED;
    if (result == SETTLE_OK)
        job->lease_ends_at_ms = until_ms;
    else if (is_ours && !job->settle_unknown)
        attempt_lease_lost(job, result == SETTLE_FENCED ? "another server holds it" : "its lease is gone");
}

static void renew_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    asynq_error odd;
    size_t count = queue->renewal.count;
    queue->renewal.count = 0;
    if (!status && (status = broker_check_results(reply, count, &odd)))
        error = &odd;
    for (size_t i = 0; i < count; i++) {
        if (!status)
            renewed(queue->renewal.jobs[i], queue->renewal.until_ms, broker_result_at(reply, i));
        job_unref(queue->renewal.jobs[i]);
    }
    if (!status)
        renew_pump(queue);
    if (!queue->renewal.count)
        renewal_clear(queue);
    if (status)
        queue_complain(queue, "renew leases", error);
}

static void check_leases(served_queue *queue, int64_t now_ms)
{
    asynq_job *lists[] = {queue->books.running, queue->books.unsettled}, *job, *next;
    for (int i = 0; i < 2; i++)
        DL_FOREACH_SAFE(lists[i], job, next)
            if (job->lease_ends_at_ms < now_ms)
                attempt_lease_ended(job, "its lease could not be renewed in time");
}

static void lease_check_fired(void *arg)
{
    asynq_server *server = arg;
    int64_t now_ms = loop_steady_ms(server->loop);
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    check_leases(queue, now_ms);
    QUEUES_FOREACH_SAFE(server, QUEUES_UNKNOWN, queue, next)
    read_back_no_more(queue, now_ms - UNKNOWN_LEASE_MORE_MS);
    loop_timer_set(&server->heartbeat.lease_check, LEASE_CHECK_PERIOD_MS);
}

/* ---- records ---- */

static void ended_clear(asynq_server *server)
{
    while (server->heartbeat.ended_count)
        mem_free(server->heartbeat.ended_ids[--server->heartbeat.ended_count]);
}

void heartbeat_ended(asynq_server *server, asynq_job *job)
{
    job->recorded = false;
    if (server->heartbeat.ended_count == server->heartbeat.ended_capacity) {
        size_t capacity = server->heartbeat.ended_capacity ? 2 * server->heartbeat.ended_capacity : 64;
        char **ids = mem_realloc(server->heartbeat.ended_ids, capacity * sizeof *ids);
        if (!ids) {
            server->heartbeat.record_is_unsure = true;
            return;
        }
        server->heartbeat.ended_ids = ids;
        server->heartbeat.ended_capacity = capacity;
    }
    char *copy = mem_dup(job->id, job->id_length);
    if (copy)
        server->heartbeat.ended_ids[server->heartbeat.ended_count++] = copy;
    else
        server->heartbeat.record_is_unsure = true;
}

/* Patterns, not the queues that they have now: the record is written with each beat, and must not grow with them. */
static server_queue *list_served(asynq_server *server, arena *into, size_t *count)
{
    const queue_pattern *pattern;
    served_queue *queue, *next;
    server_queue *list = arena_alloc(into, RECORD_MAX_QUEUES * sizeof *list);
    *count = 0;
    DL_FOREACH(server->patterns.list, pattern)
        if (list && *count < RECORD_MAX_QUEUES)
            list[(*count)++] = (server_queue){bytes_of(pattern->text), pattern->band->priority};
    QUEUES_FOREACH_SAFE(server, QUEUES_NAMED, queue, next)
    if (list && *count < RECORD_MAX_QUEUES && !queue_is_leaving(queue))
        list[(*count)++] = (server_queue){queue->keys.queue, queue->band->priority};
    return list;
}

static void encode_server(asynq_server *server, server_status status, buf *out)
{
    arena scratch;
    arena_init(&scratch, 0);
    size_t queue_count;
    server_queue *queues = list_served(server, &scratch, &queue_count);
    server_info info = {
        .host = bytes_of(server->process.host),
        .pid = server->process.pid,
        .server_id = bytes_of(server->process.id),
        .concurrency = server->slots,
        .queues = queues,
        .queue_count = queue_count,
        .strict_priority = server->options.strict_priority,
        .status = bytes_of(server_status_name(status)),
        .start_time = record_time_of_ns(server->heartbeat.started_at_ns),
        .active_worker_count = (int32_t)server->running_count,
    };
    if (!queues || server_info_encode(&info, out, NULL))
        buf_fail(out);
    arena_clear(&scratch);
}

static void encode_worker(asynq_job *job, buf *out)
{
    job_progress said = {.fraction = -1};
    bool has_said = progress_read(job, &said);
    const asynq_server *server = job->queue->server;
    worker_info info = {
        .host = bytes_of(server->process.host),
        .pid = server->process.pid,
        .server_id = bytes_of(server->process.id),
        .task_id = job_id(job),
        .task_type = job->message.type,
        .task_payload = job->message.payload,
        .queue = job->queue->keys.queue,
        .start_time = record_time_of_ns(job->started_at_ns),
        .deadline = record_time_of_ns(job->deadline_ns),
    };
    if (has_said) {
        info.has_progress = said.fraction >= 0;
        info.progress = said.fraction;
        info.progress_text = bytes_of(said.text);
    }
    if (worker_info_encode(&info, out, NULL))
        buf_fail(out); /* a worker that cannot be encoded is left out */
}

/* What a beat carries; lives while it is being sent. */
typedef struct beat_parts {
    arena memory;
    bytes *started; /* field, value */
    size_t started_count, news_count, size;
    bool has_more; /* than RECORD_MAX_BYTES */
    bytes *ended;
} beat_parts;

/* It runs, and stands in the record, with less than it has said since. */
static bool has_news(const asynq_job *job, int64_t now_ms)
{
    int64_t periods = 1 + (int64_t)(job->message.payload.length / NEWS_BYTES);
    int64_t waited_ms = now_ms - job->told_at_ms + BEAT_PERIOD_MS / 2; /* timers are not that exact */
    return progress_is_new(job) && waited_ms >= periods * BEAT_PERIOD_MS;
}

static bool beat_add_worker(beat_parts *parts, asynq_job *job)
{
    buf record;
    buf_init(&record, 0);
    encode_worker(job, &record);
    char *copy = buf_failed(&record) ? NULL : arena_dup(&parts->memory, record.data, record.length);
    if (copy) {
        parts->started[2 * parts->started_count] = job_id(job);
        parts->started[2 * parts->started_count + 1] = (bytes){copy, record.length};
        parts->started_count++;
        parts->size += record.length;
    }
    buf_clear(&record);
    return copy != NULL;
}

static void beat_look_at(beat_parts *parts, asynq_job *job, bool rewrite, int64_t now_ms)
{
    bool is_there = job->recorded && !rewrite;
    if (is_there && !has_news(job, now_ms))
        return;
    if (parts->size > RECORD_MAX_BYTES) {
        parts->has_more = true;
        job->recorded = is_there;
        return;
    }
    bool is_added = beat_add_worker(parts, job);
    job->recorded = is_there || is_added;
    job->told_at_ms = now_ms;
    parts->news_count += is_there && is_added;
}

static bool beat_collect(asynq_server *server, beat_parts *parts, bool rewrite)
{
    *parts = (beat_parts){0};
    arena_init(&parts->memory, 0);
    parts->started = arena_alloc(&parts->memory, (2 * server->running_count + 1) * sizeof *parts->started);
    parts->ended = arena_alloc(&parts->memory, (server->heartbeat.ended_count + 1) * sizeof *parts->ended);
    if (!parts->started || !parts->ended)
        return false;
    for (size_t i = 0; i < server->heartbeat.ended_count; i++)
        parts->ended[i] = bytes_of(server->heartbeat.ended_ids[i]);
    served_queue *queue, *next;
    asynq_job *job;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    DL_FOREACH(queue->books.running, job)
        beat_look_at(parts, job, rewrite, loop_steady_ms(server->loop));
    return true;
}

/*
 * By how much our clock is ahead of Redis's, at least: Redis read it some time between our call and its answer, either
 * of which may have waited behind a large payload.
 */
static int64_t clock_ahead_ms(int64_t sent_ms, int64_t redis_ms, int64_t answered_ms)
{
    return redis_ms < sent_ms ? sent_ms - redis_ms : redis_ms > answered_ms ? answered_ms - redis_ms : 0;
}

static void compare_clocks(asynq_server *server, int64_t redis_ms)
{
    int64_t ahead_ms = clock_ahead_ms(server->heartbeat.sent_at_ms, redis_ms, clock_now_ns() / NS_PER_MS);
    if (ahead_ms > CLOCK_DIFFERENCE_MAX_MS || ahead_ms < -CLOCK_DIFFERENCE_MAX_MS)
        log_event_repeated(
            &server->log, &server->heartbeat.clock_complaint, LOG_CLOCKS_DIFFER,
            "this machine's and Redis's, by %.1f s; tasks may start early or late, and leases may end too soon",
            (double)ahead_ms / 1000);
}

/* True: it is tried again at once, in several calls. If these fail as well, what they say is logged. */
static bool beat_comes_apart(asynq_server *server, const asynq_error *error)
{
    if (server->heartbeat.is_apart || redis_error_is_passing(error->code) || broker_is_cluster(&server->broker))
        return false;
    server->heartbeat.is_apart = true;
    loop_timer_set(&server->heartbeat.rest, 0);
    return true;
}

static void beat_replied(void *arg, int status, const asynq_error *error, const broker_beat_reply *reply)
{
    asynq_server *server = arg;
    server->heartbeat.in_flight = false;
    parking_kept(server, status ? NULL : reply->roles);
    if (status) {
        server->heartbeat.record_is_unsure = true;
        if (beat_comes_apart(server, error))
            return;
        if (!redis_error_is_passing(error->code))
            log_event_repeated(&server->log, &server->complaint, LOG_HEARTBEAT_FAILED, "%s", error->text);
        return;
    }
    server->stats.last_heartbeat_ms = clock_now_ns() / NS_PER_MS;
    session_beaten(server, server->heartbeat.sent_steady_ms, reply->has_renewed);
    /* The record may have run out meanwhile, for example because the process was suspended. */
    if (reply->workers_recorded != (int64_t)server->heartbeat.recorded_count)
        server->heartbeat.record_is_unsure = true;
    if (server->heartbeat.has_more)
        loop_timer_set(&server->heartbeat.rest, 0);
    compare_clocks(server, reply->redis_ms);
    parking_fleet_counted(server, reply->can_wake ? reply->servers_alive : 0);
}

static void heartbeat_records(asynq_server *server)
{
    pthread_mutex_lock(&server->lock);
    server_status status = server->status;
    pthread_mutex_unlock(&server->lock);
    beat_parts parts;
    buf info;
    buf_init(&info, 0);
    encode_server(server, status, &info);
    bool rewrite = server->heartbeat.record_is_unsure;
    if (beat_collect(server, &parts, rewrite) && !buf_failed(&info)) {
        server->heartbeat.recorded_count = rewrite ? parts.started_count
                                                   : server->heartbeat.recorded_count + parts.started_count -
                                                         parts.news_count - server->heartbeat.ended_count;
        const queue_keys *roles[BROKER_BEAT_ROLES];
        server_beat beat = {
            .identity = identity_text(&server->process),
            .server_info = {info.data, info.length},
            .started = parts.started,
            .started_count = parts.started_count,
            .ended = parts.ended,
            .ended_count = rewrite ? 0 : server->heartbeat.ended_count,
            .rewrite = rewrite,
            .now_ns = loop_now_ns(server->loop),
            .life_s = BEAT_LIFE_S,
            .server_id = bytes_of(server->process.id),
            .roles = roles,
            .role_count = parking_beat(server, roles),
            .is_apart = server->heartbeat.is_apart,
            .session = session_beat(server),
        };
        server->heartbeat.sent_at_ms = clock_now_ns() / NS_PER_MS;
        server->heartbeat.sent_steady_ms = clock_steady_ms();
        server->heartbeat.in_flight = broker_beat(&server->broker, &beat, beat_replied, server) == 0;
        server->heartbeat.record_is_unsure = !server->heartbeat.in_flight;
        server->heartbeat.has_more = parts.has_more;
        if (!server->heartbeat.in_flight)
            parking_kept(server, NULL);
        ended_clear(server);
    }
    arena_clear(&parts.memory);
    buf_clear(&info);
}

static bool may_beat(const asynq_server *server)
{
    return broker_is_ready(&server->broker) && server->phase < SHUTDOWN_CLEARING;
}

static void rest_fired(void *arg)
{
    asynq_server *server = arg;
    if (may_beat(server) && !server->heartbeat.in_flight)
        heartbeat_records(server);
}

static void beat(asynq_server *server, int64_t next_ms)
{
    loop_timer_set(&server->heartbeat.beat, next_ms);
    if (!may_beat(server))
        return;
    server->heartbeat.renew_sweep++;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    renew_pump(queue);
    if (!server->heartbeat.in_flight) /* else Redis is slow, and the record is about to be written */
        heartbeat_records(server);
}

static void beat_fired(void *arg)
{
    beat(arg, BEAT_PERIOD_MS);
}

void heartbeat_ready(asynq_server *server)
{
    server->heartbeat.is_apart = false; /* it may be another Redis */
    /* A fleet that starts, or finds Redis again, at the same moment does not beat at the same moment for ever. */
    beat(server, BEAT_PERIOD_MS / 2 + server_random_below(server, BEAT_PERIOD_MS / 2));
}

int heartbeat_start(asynq_server *server)
{
    server->heartbeat.clock_complaint.min_ms = 600000;
    server->heartbeat.record_is_unsure = true;
    loop_timer_init(server->loop, &server->heartbeat.beat, beat_fired, server);
    loop_timer_init(server->loop, &server->heartbeat.lease_check, lease_check_fired, server);
    loop_timer_init(server->loop, &server->heartbeat.rest, rest_fired, server);
    loop_timer_set(&server->heartbeat.lease_check, LEASE_CHECK_PERIOD_MS);
    server->heartbeat.started_at_ns = clock_now_ns();
    return ASYNQ_OK;
}

void heartbeat_lost(asynq_server *server)
{
    server->heartbeat.record_is_unsure = true;
}

void heartbeat_queue_stop(served_queue *queue)
{
    while (queue->renewal.count)
        job_unref(queue->renewal.jobs[--queue->renewal.count]);
    renewal_clear(queue);
}

void heartbeat_stop(asynq_server *server)
{
    loop_timer_cancel(&server->heartbeat.beat);
    loop_timer_cancel(&server->heartbeat.lease_check);
    loop_timer_cancel(&server->heartbeat.rest);
    ended_clear(server);
    mem_free(server->heartbeat.ended_ids);
    server->heartbeat.ended_ids = NULL;
    server->heartbeat.ended_capacity = 0;
}
