/* See scale_store.h. */
#include "daemon/scale_store.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "daemon/scale_sample.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONGEST_TURN_MS = 6 * 3600 * 1000, KEY_LIFE_S = 6 * 3600 };

/* One command of words, up to NULL. */
static int scale_store_run(scale_store *s, inspect_kind kind, const char *const *words, const redis_value **reply,
                           asynq_error *error)
{
    bytes given[12];
    size_t count = 0;
    for (; words[count]; count++)
        given[count] = bytes_of(words[count]);
    return inspect_command(s->inspector, kind, given, count, reply, error);
}

/* Somebody keeps something else under our name. */
static int run_on_key(scale_store *s, inspect_kind kind, const char *const *words, const redis_value **reply,
                      asynq_error *error)
{
    asynq_error ignored;
    const redis_value *removed;
    int status = scale_store_run(s, kind, words, reply, error);
    if (status != ASYNQ_E_REDIS || !strstr(error->text, "WRONGTYPE"))
        return status;
    if (!scale_store_run(s, INSPECT_CHANGE, (const char *const[]){"DEL", words[1], NULL}, &removed, &ignored))
        error_set(error, status, "%s held something else than samples, and was removed", words[1]);
    return status;
}

/* ---- opening ---- */

static int read_clock(scale_store *s, asynq_error *error)
{
    const redis_value *reply;
    int status = scale_store_run(s, INSPECT_READ, (const char *const[]){"TIME", NULL}, &reply, error);
    if (!status)
        s->now_ms = saturating_add(ms_of_seconds(redis_value_integer(redis_value_at(reply, 0))),
                                   redis_value_integer(redis_value_at(reply, 1)) / 1000);
    return status;
}

int scale_store_open(scale_store *s, asynq_inspector *inspector, const setting_pairs *queues, int64_t keep_ms,
                     asynq_error *error)
{
    *s = (scale_store){.inspector = inspector, .queues = queues, .keep_ms = keep_ms};
    buf_init(&s->samples, 0);
    buf_init(&s->turn, 0);
    const char **names = mem_alloc((queues->count + 1) * sizeof *names);
    for (size_t i = 0; names && i < queues->count; i++)
        names[i] = queues->items[i].name;
    if (names)
        key_append_scale(&s->samples, &inspector->space, names, queues->count);
    mem_free(names);
    buf_append(&s->turn, s->samples.data, s->samples.length);
    buf_append_text(&s->turn, ":turn");
    if (!names || buf_failed(&s->samples) || buf_failed(&s->turn))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return read_clock(s, error);
}

void scale_store_close(scale_store *s)
{
    buf_clear(&s->samples);
    buf_clear(&s->turn);
}

/* ---- the turn: "<id> <its end>" ---- */

typedef enum turn_state { TURN_FREE, TURN_OURS, TURN_OF_ANOTHER, TURN_IS_WRONG } turn_state;

/* A turn that has ended by what it says, or ends in a far future, is nobody's. */
static turn_state whose_turn(const scale_store *s, const redis_value *value, const char *id)
{
    if (value->type != REDIS_STRING)
        return TURN_FREE;
    const char *blank = memchr(value->text.data, ' ', value->text.length);
    int64_t until = blank ? strtoll(blank + 1, NULL, 10) : 0;
    if (until <= s->now_ms || until - s->now_ms > LONGEST_TURN_MS)
        return TURN_IS_WRONG;
    size_t length = (size_t)(blank - value->text.data);
    return length == strlen(id) && memcmp(value->text.data, id, length) == 0 ? TURN_OURS : TURN_OF_ANOTHER;
}

int scale_store_take_turn(scale_store *s, const char *id, int64_t life_ms, bool *is_ours, asynq_error *error)
{
    const redis_value *reply;
    char value[96], life[24];
    *is_ours = false;
    int status = run_on_key(s, INSPECT_READ, (const char *const[]){"GET", s->turn.data, NULL}, &reply, error);
    turn_state state = status ? TURN_OF_ANOTHER : whose_turn(s, reply, id);
    if (state == TURN_OF_ANOTHER)
        return status;
    snprintf(value, sizeof value, "%.60s %" PRId64, id, s->now_ms + life_ms);
    snprintf(life, sizeof life, "%" PRId64, life_ms);
    /* What it was when it was set counts: another one may have been quicker, and then it is not ours before the next.
     */
    const char *const set[] = {"SET", s->turn.data, value, "PX", life, state == TURN_FREE ? "NX" : "GET", NULL};
    status = run_on_key(s, INSPECT_CHANGE, set, &reply, error);
    *is_ours =
        !status && (state == TURN_FREE ? reply->type == REDIS_STATUS : whose_turn(s, reply, id) != TURN_OF_ANOTHER);
    return status;
}

/* ---- reading ---- */

static size_t samples_at_once(const scale_store *s)
{
    return scale_max_samples(s->queues->count);
}

/* The newest of them is the first. False: no memory. */
static bool take_samples(scale_store *s, const redis_value *reply, arena *memory, scale_sample *samples, size_t *count)
{
    size_t max = samples_at_once(s), next = max;
    for (size_t i = 0; i + 1 < reply->count && next; i += 2) {
        scale_sample *one = &samples[next - 1];
        const char *problem;
        double score = redis_value_double(&reply->elements[i + 1]);
        if (!scale_sample_read(reply->elements[i].text, s->queues, memory, one, &problem) && !problem)
            return false;
        if (!problem && ((double)one->at_ms != score || (next < max && samples[next].at_ms <= one->at_ms)))
            problem = "it is of another time than it says";
        if (problem) {
            s->ignored++;
            s->problem = problem;
        } else {
            next--;
        }
    }
    *count = max - next;
    memmove(samples, samples + next, *count * sizeof *samples);
    return true;
}

int scale_store_read(scale_store *s, arena *memory, scale_sample **samples, size_t *count, asynq_error *error)
{
    char now[24], oldest[24], max[24];
    const redis_value *reply;
    *samples = arena_alloc(memory, (samples_at_once(s) + 1) * sizeof **samples);
    s->ignored = *count = 0;
    snprintf(now, sizeof now, "%" PRId64, s->now_ms);
    snprintf(oldest, sizeof oldest, "%" PRId64, s->now_ms - s->keep_ms);
    snprintf(max, sizeof max, "%zu", samples_at_once(s));
    const char *const words[] = {"ZRANGE", s->samples.data, now, oldest, "BYSCORE", "REV", "LIMIT", "0",
                                 max,      "WITHSCORES",    NULL};
    int status = run_on_key(s, INSPECT_READ, words, &reply, error);
    if (status)
        return status;
    return *samples && take_samples(s, reply, memory, *samples, count) ? ASYNQ_OK
                                                                       : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- looking ---- */

static int look_at_queue(scale_store *s, const char *name, scale_queue *queue, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_keys(s->inspector, &keys, name, error);
    if (status)
        return status;
    inspect_call call = inspect_begin(s->inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent =
            broker_queue_info(&s->inspector->broker, &keys, s->now_ms * NS_PER_MS, inspect_replied, s->inspector);
    queue_keys_clear(&keys);
    if (call.status)
        return call.status;
    queue_counts counts = broker_queue_counts(call.reply);
    int64_t since_ms = counts.next_pending_since_ns / NS_PER_MS;
    *queue = (scale_queue){.pending = counts.pending,
                           .active = counts.active,
                           .scheduled = counts.scheduled,
                           .retry = counts.retry,
                           .archived = counts.archived,
                           .processed = clamp(counts.processed_total, 0, INT64_MAX),
                           .failed = clamp(counts.failed_total, 0, INT64_MAX),
                           .latency_ms = since_ms > 0 && since_ms < s->now_ms ? s->now_ms - since_ms : 0,
                           .is_paused = counts.paused};
    return ASYNQ_OK;
}

static bool serves(const asynq_server_info *server, const setting_pairs *queues)
{
    for (size_t i = 0; i < server->queue_count; i++)
        for (size_t k = 0; k < queues->count; k++)
            if (strcmp(server->queues[i].name, queues->items[k].name) == 0)
                return true;
    return false;
}

static bool takes_tasks(const asynq_server_info *server)
{
    return strcmp(server->status, "active") == 0;
}

/* One that is stopped takes no more tasks, and ends when it has none. Its process stays if it has another server, as
 * after a reload. */
static bool is_leaving(const asynq_server_list *servers, const asynq_server_info *server)
{
    for (size_t i = 0; i < servers->count; i++) {
        const asynq_server_info *other = &servers->servers[i];
        if (takes_tasks(other) && other->pid == server->pid && strcmp(other->host, server->host) == 0)
            return false;
    }
    return true;
}

static void count_server(scale_sample *sample, const asynq_server_list *servers, const asynq_server_info *server)
{
    int64_t tasks = server->active_workers > 0 ? server->active_workers : 0;
    if (is_leaving(servers, server))
        sample->leaving += tasks;
    else if (takes_tasks(server))
        sample->instances++;
    if (takes_tasks(server) && tasks > sample->busiest)
        sample->busiest = tasks;
}

static int look_at_servers(scale_store *s, scale_sample *sample, asynq_error *error)
{
    asynq_server_list servers;
    int status = inspect_servers(s->inspector, false, &servers, error);
    for (size_t i = 0; !status && i < servers.count; i++)
        if (serves(&servers.servers[i], s->queues))
            count_server(sample, &servers, &servers.servers[i]);
    asynq_server_list_free(status ? NULL : &servers);
    return status;
}

int scale_store_look(scale_store *s, arena *memory, scale_sample *sample, asynq_error *error)
{
    *sample = (scale_sample){.at_ms = s->now_ms,
                             .queues = arena_alloc(memory, (s->queues->count + 1) * sizeof *sample->queues)};
    int status = sample->queues ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i < s->queues->count; i++)
        status = look_at_queue(s, s->queues->items[i].name, &sample->queues[i], error);
    return status ? status : look_at_servers(s, sample, error);
}

/* ---- adding ---- */

int scale_store_add(scale_store *s, const scale_sample *sample, asynq_error *error)
{
    char at[24], later[24], oldest[24], life[24];
    const redis_value *reply;
    char *text = scale_sample_print(sample, s->queues);
    if (!text)
        return error_set(error, ASYNQ_E_NO_MEMORY, "there is no memory for a sample of %zu queues", s->queues->count);
    snprintf(at, sizeof at, "%" PRId64, sample->at_ms);
    snprintf(later, sizeof later, "(%" PRId64, sample->at_ms);
    snprintf(oldest, sizeof oldest, "(%" PRId64, sample->at_ms - s->keep_ms);
    snprintf(life, sizeof life, "%" PRId64, s->keep_ms / MS_PER_SECOND + KEY_LIFE_S);
    const char *const commands[][6] = {{"ZREMRANGEBYSCORE", s->samples.data, "-inf", oldest, NULL},
                                       {"ZREMRANGEBYSCORE", s->samples.data, later, "+inf", NULL},
                                       {"ZADD", s->samples.data, at, text, NULL},
                                       {"EXPIRE", s->samples.data, life, NULL}};
    int status = ASYNQ_OK;
    for (size_t i = 0; !status && i < sizeof commands / sizeof *commands; i++)
        status = run_on_key(s, INSPECT_CHANGE, commands[i], &reply, error);
    free(text);
    return status;
}
