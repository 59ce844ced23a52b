/* See jobs.h. */
#include "pg/jobs.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/error.h"
#include "event/timer.h"
#include "pg/change_feed.h"
#include "pg/done_jobs.h"
#include "pg/job_sql.h"
#include "schedule/schedule_file.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_PREFIX "job:"

enum {
    GATHER_MS = 30, /* for changes that come together */
    MIN_AGAIN_MS = 1000,
    MAX_AGAIN_MS = 30000,
    COMPLAIN_PERIOD_MS = 60000
};

typedef struct job {
    char *id, *name;
    char *entry;   /* JSON, see asynq-schedule(5) */
    char *problem; /* NULL: fine */
    char *told;    /* what the table says of it */
    bool is_seen;  /* by the scheduler, so that `problem` is known */
} job;

typedef struct job_list {
    job *items;
    size_t count;
} job_list;

struct jobs {
    loop *loop;
    log_sink *log;
    pg_conn *conn; /* NULL: not now */
    loop_timer gather;
    int64_t pause_ms;          /* after the last failure; 0: reading went well */
    bool is_reading, is_stale; /* stale: something changed while it was being read */
    change_feed *feed;
    done_jobs *done;
    log_limit complaint;
    _Atomic int64_t enabled, broken;

    pthread_mutex_t scheduler_lock; /* held while the scheduler is told */
    asynq_scheduler *scheduler;

    pthread_mutex_t lock; /* of what follows */
    job_list list;
    bool has_list;
    asynq_scheduler *ticking; /* the same as `scheduler`, for its own thread */
};

static const char list_sql[] =
    "SELECT id, name, (CASE WHEN " JOB_IS_SINGLE_SQL
    " THEN '{\"catch_up_limit\": \"876000h\"}'::jsonb ELSE '{}'::jsonb END "
    "|| options || CASE WHEN queue IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('queue', queue) END "
    "|| jsonb_build_object('name', '" ENTRY_PREFIX "' || id, 'spec', " JOB_SPEC_SQL ", 'type', type, "
    "'payload', payload::text, 'headers', coalesce(options -> 'headers', '{}'::jsonb) || "
    "jsonb_build_object('" PG_JOB_HEADER "', id::text)))::text, invalid_reason "
    "FROM asynqd.jobs WHERE enabled AND enqueued_at IS NULL ORDER BY id";

/* One that somebody has locked is told with the next list. */
static const char problems_sql[] =
    "WITH seen AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(id bigint, invalid_reason text)), "
    "free AS (SELECT id FROM asynqd.jobs WHERE id IN (SELECT id FROM seen) FOR UPDATE SKIP LOCKED) "
    "UPDATE asynqd.jobs SET invalid_reason = seen.invalid_reason FROM seen, free WHERE jobs.id = free.id AND jobs.id = "
    "seen.id "
    "AND jobs.invalid_reason IS DISTINCT FROM seen.invalid_reason";

/* ---- the list ---- */

static void list_clear(job_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        job *one = &list->items[i];
        char *const texts[] = {one->id, one->name, one->entry, one->problem, one->told};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            mem_free(texts[k]);
    }
    mem_free(list->items);
    *list = (job_list){0};
}

static bool list_fill(job_list *list, const PGresult *result)
{
    int rows = PQntuples(result);
    *list = (job_list){.items = mem_calloc((size_t)rows + 1, sizeof *list->items)};
    for (int i = 0; list->items && i < rows; i++) {
        job *one = &list->items[list->count++];
        one->id = mem_strdup(PQgetvalue(result, i, 0));
        one->name = mem_strdup(PQgetvalue(result, i, 1));
        one->entry = mem_strdup(PQgetvalue(result, i, 2));
        one->told = PQgetisnull(result, i, 3) ? NULL : mem_strdup(PQgetvalue(result, i, 3));
        if (!one->id || !one->name || !one->entry)
            return false;
    }
    return list->items != NULL;
}

/* ---- the scheduler's side ---- */

/* Without "job 7:1: " in front, as the column and the log name the job. */
static const char *without_place(const char *text, const char *place)
{
    const char *end = strncmp(text, place, strlen(place)) == 0 ? strstr(text + strlen(place), ": ") : NULL;
    return end ? end + 2 : text;
}

/* One that is wrong is left out, and says so. */
static int add_job(asynq_periodic_list *list, job *one)
{
    asynq_error error;
    char place[128];
    snprintf(place, sizeof place, "job %s", one->id);
    int status = schedule_text_add(list, place, one->entry, &error);
    mem_free(one->problem);
    one->problem = status ? mem_strdup(without_place(error.text, place)) : NULL;
    one->is_seen = true;
    return status == ASYNQ_E_NO_MEMORY ? status : ASYNQ_OK;
}

static int provide(asynq_periodic_list *list, void *arg, asynq_error *error)
{
    jobs *j = arg;
    int status = ASYNQ_OK;
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; !status && i < j->list.count; i++)
        status = add_job(list, &j->list.items[i]);
    if (!j->has_list)
        status = ASYNQ_PROVIDER_UNCHANGED;
    pthread_mutex_unlock(&j->lock);
    return status == ASYNQ_E_NO_MEMORY ? error_set_code(error, status) : status;
}

static void tick_over(const char *entry_id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg)
{
    (void)result; /* a task that was refused is not tried again either */
    jobs *j = arg;
    if (!entry->name || strncmp(entry->name, ENTRY_PREFIX, strlen(ENTRY_PREFIX)) != 0 ||
        strncmp(entry->spec, "@at ", 4) != 0)
        return;
    done_jobs_add(j->done, entry->name + strlen(ENTRY_PREFIX), entry->spec);
    /* The others drop it with the next list; it has no other tick. */
    pthread_mutex_lock(&j->lock);
    asynq_scheduler *scheduler = j->ticking;
    pthread_mutex_unlock(&j->lock);
    if (scheduler && asynq_scheduler_unregister(scheduler, entry_id, NULL))
        log_debug(j->log, "entry %s was gone already", entry_id);
}

void jobs_set_options(jobs *j, asynq_scheduler_options *options)
{
    options->provide = provide;
    options->provide_arg = j;
    options->post_enqueue = tick_over;
    options->arg = j;
}

static void tell_scheduler(jobs *j)
{
    asynq_error error;
    pthread_mutex_lock(&j->scheduler_lock);
    if (j->scheduler && asynq_scheduler_sync(j->scheduler, &error))
        log_event_repeated(j->log, &j->complaint, LOG_JOBS_FAILED, "the entries stay as they are: %s", error.text);
    pthread_mutex_unlock(&j->scheduler_lock);
}

void jobs_set_scheduler(jobs *j, asynq_scheduler *scheduler)
{
    pthread_mutex_lock(&j->lock);
    j->ticking = scheduler;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&j->scheduler_lock);
    j->scheduler = scheduler;
    pthread_mutex_unlock(&j->scheduler_lock);
}

/* ---- PostgreSQL's side ---- */

static void read_jobs(void *jobs);

static void jobs_report(jobs *j, const char *what, const asynq_error *error)
{
    if (error->code != ASYNQ_E_CLOSED)
        log_event_repeated(j->log, &j->complaint, LOG_JOBS_FAILED, "%s: %s", what, error->text);
}

static void problems_told(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    if (error)
        jobs_report(arg, "their problems cannot be written", error);
}

/* Adds what the table does not say yet; one that is not wanted any more has lost its problem by a trigger. */
static void add_problem(const jobs *j, const job *one, json_t *rows)
{
    bool is_told = one->problem ? one->told && strcmp(one->problem, one->told) == 0 : !one->told;
    if (!one->is_seen || is_told)
        return;
    if (one->problem)
        log_event(j->log, LOG_JOB_INVALID, "\"%s\": %s", one->name, one->problem);
    json_array_append_new(
        rows, json_pack("{s:I, s:s?}", "id", (json_int_t)strtoll(one->id, NULL, 10), "invalid_reason", one->problem));
}

static void send_problems(jobs *j, const json_t *rows)
{
    char *text = json_dumps(rows, JSON_COMPACT);
    const char *const value = text;
    asynq_error error;
    int status = j->conn && text ? pg_conn_query(j->conn, problems_sql, 1, &value, problems_told, j) : ASYNQ_OK;
    if (status) {
        error_set_code(&error, status);
        jobs_report(j, "their problems cannot be written", &error);
    }
    free(text);
}

static void tell_problems(jobs *j)
{
    json_t *rows = json_array();
    int64_t broken = 0;
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < j->list.count; i++) {
        broken += j->list.items[i].problem != NULL;
        add_problem(j, &j->list.items[i], rows);
    }
    atomic_store(&j->enabled, (int64_t)j->list.count);
    atomic_store(&j->broken, broken);
    pthread_mutex_unlock(&j->lock);
    if (json_array_size(rows))
        send_problems(j, rows);
    json_decref(rows);
}

static void take_list(jobs *j, job_list *list)
{
    pthread_mutex_lock(&j->lock);
    job_list old = j->list;
    j->list = *list;
    j->has_list = true;
    pthread_mutex_unlock(&j->lock);
    list_clear(&old);
    tell_scheduler(j);
    tell_problems(j);
}

static void read_jobs_later(jobs *j)
{
    j->pause_ms = backoff_next_ms(j->pause_ms, MIN_AGAIN_MS, MAX_AGAIN_MS);
    loop_timer_set(&j->gather, j->pause_ms);
}

static void jobs_read(void *arg, const PGresult *result, const asynq_error *error)
{
    jobs *j = arg;
    job_list list = {0};
    j->is_reading = false;
    if (error) {
        jobs_report(j, "cannot be read, and stay as they are", error);
        if (j->conn)
            read_jobs_later(j);
        return;
    }
    j->pause_ms = 0;
    if (list_fill(&list, result)) {
        take_list(j, &list);
    } else {
        list_clear(&list);
        j->is_stale = true;
    }
    if (j->is_stale)
        loop_timer_set(&j->gather, GATHER_MS);
}

static void read_jobs(void *arg)
{
    jobs *j = arg;
    if (!j->conn || j->is_reading)
        return;
    j->is_stale = false;
    j->is_reading = !pg_conn_query(j->conn, list_sql, 0, NULL, jobs_read, j);
    if (!j->is_reading)
        read_jobs_later(j);
}

static void table_changed(void *arg)
{
    jobs *j = arg;
    j->is_stale = true;
    if (!j->is_reading && !loop_timer_is_set(&j->gather))
        loop_timer_set(&j->gather, GATHER_MS);
}

void jobs_notified(jobs *j, const char *channel)
{
    change_feed_notified(j->feed, channel);
}

/* ---- the whole ---- */

void jobs_set_conns(jobs *j, pg_conn *conn, pg_conn *other)
{
    bool is_new = conn && !j->conn;
    j->conn = conn;
    change_feed_set_conns(j->feed, conn, other); /* listens before the table is read, so that nothing is missed */
    done_jobs_set_conn(j->done, conn);
    if (!is_new)
        return;
    loop_timer_cancel(&j->gather);
    read_jobs(j);
}

jobs *jobs_new(loop *l, log_sink *log, int64_t retention_ms)
{
    jobs *j = mem_calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->loop = l;
    j->log = log;
    j->complaint.min_ms = COMPLAIN_PERIOD_MS;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->scheduler_lock, NULL);
    loop_timer_init(l, &j->gather, read_jobs, j);
    j->feed = change_feed_new(l, log, table_changed, j);
    j->done = done_jobs_new(l, log, retention_ms);
    if (j->feed && j->done)
        return j;
    jobs_free(j);
    return NULL;
}

void jobs_free(jobs *j)
{
    if (!j)
        return;
    loop_timer_cancel(&j->gather);
    change_feed_free(j->feed);
    done_jobs_free(j->done);
    list_clear(&j->list);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->scheduler_lock);
    mem_free(j);
}

void jobs_get_stats(jobs *j, jobs_stats *stats)
{
    *stats = (jobs_stats){atomic_load(&j->enabled), atomic_load(&j->broken)};
}
