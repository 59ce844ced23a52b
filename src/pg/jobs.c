/* See jobs.h. */
#include "pg/jobs.h"

#include "base/alloc.h"
#include "base/error.h"
#include "event/timer.h"
#include "event/waker.h"
#include "schedule/schedule_file.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define CHANNEL "asynqd_jobs"
#define ENTRY_PREFIX "job:"

enum {
    GATHER_MS = 30 /* for changes that come together */,
    AGAIN_MS = 1000,
    REFRESH_MS = 60000,
    COMPLAIN_PERIOD_MS = 60000
};

typedef struct job {
    char *id, *name;
    char *entry;   /* JSON, see asynq-schedule(5) */
    char *problem; /* NULL: fine */
} job;

typedef struct job_list {
    job *items;
    size_t count;
} job_list;

/* The task of a job for one task alone is with Redis; PostgreSQL does not know yet. */
typedef struct enqueued_job {
    char *id, *spec;
    struct enqueued_job *next;
} enqueued_job;

struct jobs {
    loop *loop;
    log_sink *log;
    pg_conn *conn; /* NULL: not now */
    loop_timer gather, refresh;
    bool is_reading, is_stale; /* stale: something changed while it was being read */
    loop_waker enqueued;
    enqueued_job *sent; /* under way to PostgreSQL */
    log_limit complaint;
    _Atomic int64_t enabled, broken;

    pthread_mutex_t scheduler_lock; /* held while the scheduler is told */
    asynq_scheduler *scheduler;

    pthread_mutex_t lock; /* of what follows */
    job_list list;
    bool has_list;
    enqueued_job *waiting;
    asynq_scheduler *ticking; /* the same as `scheduler`, for its own thread */
};

/* The moment of one that is for one task alone; the same text wherever it is needed. */
#define SPEC_SQL                                                                                                       \
    "CASE WHEN schedule = '@once' THEN '@at ' || to_char(armed_at AT TIME ZONE 'UTC', "                                \
    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "                                                                               \
    "ELSE schedule END"
#define IS_SINGLE_SQL "(schedule = '@once' OR schedule LIKE '@at %')"

static const char list_sql[] =
    "SELECT id, name, (CASE WHEN " IS_SINGLE_SQL
    " THEN '{\"catch_up_limit\": \"876000h\"}'::jsonb ELSE '{}'::jsonb END "
    "|| options || jsonb_build_object('name', '" ENTRY_PREFIX "' || id, 'spec', " SPEC_SQL ", 'type', type, "
    "'queue', queue, 'payload', payload::text, 'headers', coalesce(options -> 'headers', '{}'::jsonb) || "
    "jsonb_build_object('" PG_JOB_HEADER "', id::text)))::text "
    "FROM jobs WHERE enabled AND NOT (" IS_SINGLE_SQL " AND enqueued_at IS NOT NULL) ORDER BY id";

static const char problems_sql[] =
    "UPDATE jobs SET problem = seen.problem FROM (SELECT id, r.problem FROM jobs "
    "LEFT JOIN jsonb_to_recordset($1::jsonb) AS r(id bigint, problem text) USING (id)) AS seen "
    "WHERE seen.id = jobs.id AND jobs.problem IS DISTINCT FROM seen.problem";

static const char enqueued_sql[] = "UPDATE jobs SET enqueued_at = now() FROM jsonb_to_recordset($1::jsonb) "
                                   "AS done(job bigint, spec text) WHERE id = done.job AND enqueued_at IS NULL "
                                   "AND done.spec = " SPEC_SQL;

/* ---- the list ---- */

static void list_clear(job_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        job *one = &list->items[i];
        char *const texts[] = {one->id, one->name, one->entry, one->problem};
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

static void remember(jobs *j, const char *id, const char *spec)
{
    enqueued_job *one = mem_calloc(1, sizeof *one);
    if (one) {
        one->id = mem_strdup(id);
        one->spec = mem_strdup(spec);
    }
    if (!one || !one->id || !one->spec) {
        log_error(j->log, "job %s: its task is enqueued, but the table cannot be told: out of memory", id);
        if (one)
            mem_free(one->id);
        mem_free(one);
        return;
    }
    pthread_mutex_lock(&j->lock);
    one->next = j->waiting;
    j->waiting = one;
    pthread_mutex_unlock(&j->lock);
    loop_waker_wake(&j->enqueued);
}

static void tick_over(const char *entry_id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg)
{
    (void)result; /* a task that was refused is not tried again either */
    jobs *j = arg;
    if (!entry->name || strncmp(entry->name, ENTRY_PREFIX, strlen(ENTRY_PREFIX)) != 0 ||
        strncmp(entry->spec, "@at ", 4) != 0)
        return;
    remember(j, entry->name + strlen(ENTRY_PREFIX), entry->spec);
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
        log_repeated(j->log, &j->complaint, ASYNQ_LOG_ERROR, "jobs: the entries stay as they are: %s", error.text);
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

static void report(jobs *j, const char *what, const asynq_error *error)
{
    if (error->code != ASYNQ_E_CLOSED)
        log_repeated(j->log, &j->complaint, ASYNQ_LOG_WARN, "jobs: %s: %s", what, error->text);
}

static void problems_told(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    if (error)
        report(arg, "their problems cannot be written", error);
}

/* To the column of those that have one; the others lose theirs. */
static void tell_problems(jobs *j)
{
    json_t *rows = json_array();
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < j->list.count; i++) {
        const job *one = &j->list.items[i];
        if (!one->problem)
            continue;
        log_error(j->log, "job \"%s\" is left out: %s", one->name, one->problem);
        json_array_append_new(
            rows, json_pack("{s:I, s:s}", "id", (json_int_t)strtoll(one->id, NULL, 10), "problem", one->problem));
    }
    atomic_store(&j->enabled, (int64_t)j->list.count);
    atomic_store(&j->broken, (int64_t)json_array_size(rows));
    pthread_mutex_unlock(&j->lock);
    char *text = json_dumps(rows, JSON_COMPACT);
    json_decref(rows);
    const char *const value = text;
    asynq_error error;
    int status = j->conn && text ? pg_conn_query(j->conn, problems_sql, 1, &value, problems_told, j) : ASYNQ_OK;
    if (status) {
        error_set_code(&error, status);
        report(j, "their problems cannot be written", &error);
    }
    free(text);
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

static void jobs_read(void *arg, const PGresult *result, const asynq_error *error)
{
    jobs *j = arg;
    job_list list = {0};
    j->is_reading = false;
    if (error) {
        report(j, "cannot be read, and stay as they are", error);
        if (j->conn)
            loop_timer_set(&j->gather, AGAIN_MS);
        return;
    }
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
        loop_timer_set(&j->gather, AGAIN_MS);
}

void jobs_notified(jobs *j, const char *channel)
{
    if (strcmp(channel, CHANNEL) != 0)
        return;
    j->is_stale = true;
    if (!j->is_reading && !loop_timer_is_set(&j->gather))
        loop_timer_set(&j->gather, GATHER_MS);
}

/* ---- those that are enqueued ---- */

static void enqueued_free(enqueued_job *list)
{
    while (list) {
        enqueued_job *one = list;
        list = one->next;
        mem_free(one->id);
        mem_free(one->spec);
        mem_free(one);
    }
}

/* Those that were sent together are told, or wait again. */
static void forget_sent(jobs *j, bool is_done)
{
    enqueued_job *sent = j->sent;
    j->sent = NULL;
    if (is_done) {
        enqueued_free(sent);
        return;
    }
    pthread_mutex_lock(&j->lock);
    LL_CONCAT(sent, j->waiting);
    j->waiting = sent;
    pthread_mutex_unlock(&j->lock);
}

static void tell_enqueued(void *jobs);

static void enqueued_told(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    jobs *j = arg;
    forget_sent(j, !error);
    if (error)
        report(j, "tasks are enqueued, but their jobs are not marked yet", error);
    else
        tell_enqueued(j); /* those that came meanwhile */
}

static char *sent_as_json(const jobs *j)
{
    json_t *rows = json_array();
    for (const enqueued_job *one = j->sent; one; one = one->next)
        json_array_append_new(
            rows, json_pack("{s:I, s:s}", "job", (json_int_t)strtoll(one->id, NULL, 10), "spec", one->spec));
    char *text = json_dumps(rows, JSON_COMPACT);
    json_decref(rows);
    return text;
}

/* All that wait in one statement, and one statement at a time. */
static void tell_enqueued(void *arg)
{
    jobs *j = arg;
    if (!j->conn || j->sent)
        return;
    pthread_mutex_lock(&j->lock);
    j->sent = j->waiting;
    j->waiting = NULL;
    pthread_mutex_unlock(&j->lock);
    if (!j->sent)
        return;
    char *text = sent_as_json(j);
    const char *const value = text;
    if (!text || pg_conn_query(j->conn, enqueued_sql, 1, &value, enqueued_told, j))
        forget_sent(j, false); /* the next connection, or the next task, tries again */
    free(text);
}

/* ---- the whole ---- */

static void listening(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    jobs *j = arg;
    if (error && j->conn)
        report(j, "PostgreSQL will not tell of changes; they are seen each minute", error);
}

/* A notification may be lost, as behind a pooler that changes sessions. */
static void refresh(void *arg)
{
    jobs *j = arg;
    if (!j->conn)
        return;
    jobs_notified(j, CHANNEL);
    loop_timer_set(&j->refresh, REFRESH_MS);
}

void jobs_set_conn(jobs *j, pg_conn *conn)
{
    j->conn = conn;
    if (!conn)
        return;
    int status = pg_conn_query(conn, "LISTEN " CHANNEL, 0, NULL, listening, j);
    if (status)
        j->is_stale = true;
    loop_timer_set(&j->refresh, REFRESH_MS);
    loop_timer_cancel(&j->gather);
    read_jobs(j);
    tell_enqueued(j);
}

jobs *jobs_new(loop *l, log_sink *log)
{
    jobs *j = mem_calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->loop = l;
    j->log = log;
    j->enqueued.fd = -1;
    j->complaint.min_ms = COMPLAIN_PERIOD_MS;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->scheduler_lock, NULL);
    loop_timer_init(l, &j->gather, read_jobs, j);
    loop_timer_init(l, &j->refresh, refresh, j);
    if (!loop_waker_init(l, &j->enqueued, tell_enqueued, j))
        return j;
    jobs_free(j);
    return NULL;
}

void jobs_free(jobs *j)
{
    if (!j)
        return;
    loop_timer_cancel(&j->gather);
    loop_timer_cancel(&j->refresh);
    loop_waker_clear(&j->enqueued);
    list_clear(&j->list);
    enqueued_free(j->sent);
    enqueued_free(j->waiting);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->scheduler_lock);
    mem_free(j);
}

void jobs_get_stats(jobs *j, jobs_stats *stats)
{
    *stats = (jobs_stats){atomic_load(&j->enabled), atomic_load(&j->broken)};
}
