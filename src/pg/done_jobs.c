/* See done_jobs.h. */
#include "pg/done_jobs.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "event/timer.h"
#include "event/waker.h"
#include "pg/job_sql.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    LOOK_MS = 600000,
    MIN_AGAIN_MS = 1000,
    MAX_AGAIN_MS = 10000,
    MAX_ROWS = 5000 /* that one statement deletes */,
    COMPLAIN_PERIOD_MS = 60000
};

typedef struct done_job {
    char *id, *spec;
    struct done_job *next;
} done_job;

struct done_jobs {
    log_sink *log;
    pg_conn *conn; /* NULL: not now */
    loop_waker added;
    loop_timer look, again; /* again: some could not be marked */
    int64_t pause_ms;       /* the last one of `again`; 0: nothing has failed since all went well */
    bool has_failed;        /* nothing is sent before `again` */
    done_job *sent;         /* under way to PostgreSQL */
    done_job *held_back;    /* until `again` */
    char retention[PG_INTERVAL_SIZE];
    bool is_deleting;
    log_limit complaint;

    pthread_mutex_t lock; /* of what follows */
    done_job *waiting;
};

/* A job that somebody has locked is not waited for, as nothing else could be asked meanwhile: it is told, and comes
 * again. */
static const char mark_sql[] =
    "WITH done AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(job bigint, spec text)), "
    "free AS (SELECT id FROM asynqd.jobs WHERE id IN (SELECT job FROM done) FOR UPDATE SKIP LOCKED), "
    "marked AS (UPDATE asynqd.jobs SET enqueued_at = now() FROM free, done WHERE jobs.id = free.id "
    "AND jobs.id = done.job AND enqueued_at IS NULL AND done.spec = " JOB_SPEC_SQL ") "
    "SELECT id FROM asynqd.jobs WHERE id IN (SELECT job FROM done) AND id NOT IN (SELECT id FROM free)";

static const char delete_sql[] =
    "DELETE FROM asynqd.jobs WHERE id IN (SELECT id FROM asynqd.jobs WHERE enqueued_at < now() - $1::interval "
    "ORDER BY enqueued_at LIMIT $2::integer FOR UPDATE SKIP LOCKED)";

static void done_jobs_report(done_jobs *d, const char *what, const asynq_error *error)
{
    if (error->code != ASYNQ_E_CLOSED)
        log_event_repeated(d->log, &d->complaint, LOG_JOBS_FAILED, "%s: %s", what, error->text);
}

/* ---- marking ---- */

static void done_job_free(done_job *one)
{
    if (!one)
        return;
    mem_free(one->id);
    mem_free(one->spec);
    mem_free(one);
}

static void done_job_free_all(done_job *list)
{
    while (list) {
        done_job *one = list;
        list = one->next;
        done_job_free(one);
    }
}

void done_jobs_add(done_jobs *d, const char *id, const char *spec)
{
    done_job *one = mem_calloc(1, sizeof *one);
    if (one) {
        one->id = mem_strdup(id);
        one->spec = mem_strdup(spec);
    }
    if (!one || !one->id || !one->spec) {
        log_event(d->log, LOG_JOBS_FAILED, "job %s: its task is enqueued, but the table does not know: out of memory",
                  id);
        done_job_free(one);
        return;
    }
    pthread_mutex_lock(&d->lock);
    LL_PREPEND(d->waiting, one);
    pthread_mutex_unlock(&d->lock);
    loop_waker_wake(&d->added);
}

static bool done_jobs_is_among(const char *id, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++)
        if (strcmp(PQgetvalue(result, i, 0), id) == 0)
            return true;
    return false;
}

/* Those that were sent together are told; those in `locked` are held back, or all of them, if it is NULL. */
static void done_jobs_forget_sent(done_jobs *d, const PGresult *locked)
{
    done_job *sent = d->sent;
    d->sent = NULL;
    while (sent) {
        done_job *one = sent;
        sent = one->next;
        if (locked && !done_jobs_is_among(one->id, locked)) {
            done_job_free(one);
            continue;
        }
        LL_PREPEND(d->held_back, one);
    }
}

/* Those that are held back come again later, and later each time. */
static void done_jobs_hold_back(done_jobs *d, bool has_failed)
{
    d->has_failed = has_failed;
    if (loop_timer_is_set(&d->again))
        return; /* what was held back before has its time */
    d->pause_ms = backoff_next_ms(d->pause_ms, MIN_AGAIN_MS, MAX_AGAIN_MS);
    loop_timer_set(&d->again, d->pause_ms);
}

static void done_jobs_mark(void *done_jobs);

static void done_jobs_marked(void *arg, const PGresult *result, const asynq_error *error)
{
    done_jobs *d = arg;
    done_jobs_forget_sent(d, error ? NULL : result);
    if (error)
        done_jobs_report(d, "tasks are enqueued, but their jobs are not marked yet", error);
    if (error || d->held_back)
        done_jobs_hold_back(d, error);
    else
        d->pause_ms = 0;
    done_jobs_mark(d); /* those that came meanwhile */
}

static char *sent_as_json(const done_jobs *d)
{
    json_t *rows = json_array();
    for (const done_job *one = d->sent; one; one = one->next)
        json_array_append_new(
            rows, json_pack("{s:I, s:s}", "job", (json_int_t)strtoll(one->id, NULL, 10), "spec", one->spec));
    char *text = json_dumps(rows, JSON_COMPACT);
    json_decref(rows);
    return text;
}

/* All that wait in one statement, and one statement at a time. */
static void done_jobs_mark(void *arg)
{
    done_jobs *d = arg;
    if (!d->conn || d->sent || d->has_failed)
        return;
    pthread_mutex_lock(&d->lock);
    d->sent = d->waiting;
    d->waiting = NULL;
    pthread_mutex_unlock(&d->lock);
    if (!d->sent)
        return;
    char *text = sent_as_json(d);
    const char *const value = text;
    if (!text || pg_conn_query(d->conn, mark_sql, 1, &value, done_jobs_marked, d)) {
        done_jobs_forget_sent(d, NULL);
        done_jobs_hold_back(d, true);
    }
    free(text);
}

static void done_jobs_mark_again(void *arg)
{
    done_jobs *d = arg;
    d->has_failed = false;
    pthread_mutex_lock(&d->lock);
    LL_CONCAT(d->waiting, d->held_back);
    pthread_mutex_unlock(&d->lock);
    d->held_back = NULL;
    done_jobs_mark(d);
}

/* ---- retention ---- */

static void done_jobs_delete(done_jobs *d);

static void done_jobs_deleted(void *arg, const PGresult *result, const asynq_error *error)
{
    done_jobs *d = arg;
    d->is_deleting = false;
    if (error)
        done_jobs_report(d, "those that are done cannot be deleted", error);
    else if (atoi(PQcmdTuples((PGresult *)result)) >= MAX_ROWS)
        done_jobs_delete(d);
}

static void done_jobs_delete(done_jobs *d)
{
    char max[16];
    snprintf(max, sizeof max, "%d", MAX_ROWS);
    if (d->conn && *d->retention && !d->is_deleting)
        d->is_deleting =
            !pg_conn_query(d->conn, delete_sql, 2, (const char *const[]){d->retention, max}, done_jobs_deleted, d);
}

static void done_jobs_look(void *arg)
{
    done_jobs *d = arg;
    if (!d->conn)
        return;
    loop_timer_set(&d->look, LOOK_MS);
    done_jobs_delete(d);
}

/* ---- the whole ---- */

void done_jobs_set_conn(done_jobs *d, pg_conn *conn)
{
    d->conn = conn;
    loop_timer_cancel(&d->again);
    done_jobs_mark_again(d);
    done_jobs_look(d);
}

done_jobs *done_jobs_new(loop *l, log_sink *log, int64_t retention_ms)
{
    done_jobs *d = mem_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->log = log;
    d->added.fd = -1;
    d->complaint.min_ms = COMPLAIN_PERIOD_MS;
    if (retention_ms)
        pg_interval(retention_ms, d->retention);
    pthread_mutex_init(&d->lock, NULL);
    loop_timer_init(l, &d->look, done_jobs_look, d);
    loop_timer_init(l, &d->again, done_jobs_mark_again, d);
    if (!loop_waker_init(l, &d->added, done_jobs_mark, d))
        return d;
    done_jobs_free(d);
    return NULL;
}

void done_jobs_free(done_jobs *d)
{
    if (!d)
        return;
    loop_timer_cancel(&d->look);
    loop_timer_cancel(&d->again);
    loop_waker_clear(&d->added);
    done_job_free_all(d->sent);
    done_job_free_all(d->held_back);
    done_job_free_all(d->waiting);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}
