/* See months.h. */
#include "pg/months.h"

#include "base/alloc.h"
#include "event/timer.h"
#include "pg/unknown_sql.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LOOK_MS = 600000,
    SOON_MS = 15000, /* after a failure: a table that somebody has locked for a moment */
    MAX_ROWS = 5000, /* that one statement deletes */
    COMPLAIN_PERIOD_MS = 60000
};

struct months {
    log_sink *log;
    pg_conn *conn;                    /* NULL: not now */
    loop_timer look;                  /* makes, ends, drops, deletes */
    char retention[PG_INTERVAL_SIZE]; /* "": for ever */
    int odd;                          /* rows that were told of last */
    log_limit complaint, late_note;
};

static void months_delete(months *m);

static const char *months_interval(const months *m)
{
    return *m->retention ? m->retention : NULL;
}

/* True if the statement went well; otherwise all begins again soon. */
static bool months_went_well(months *m, const char *what, const asynq_error *error)
{
    if (!error)
        return true;
    if (!m->conn || error->code == ASYNQ_E_CLOSED)
        return false;
    log_event_repeated(m->log, &m->complaint, LOG_HISTORY_UPKEEP, "%s: %s", what, error->text);
    loop_timer_set(&m->look, SOON_MS);
    return false;
}

static void months_send(months *m, const char *sql, int count, const char *const *values, pg_result_cb cb)
{
    if (!m->conn || pg_conn_query(m->conn, sql, count, values, cb, m))
        loop_timer_set(&m->look, SOON_MS);
}

/* ---- rows ---- */

static int months_number(const PGresult *result, int column)
{
    return PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, column)) : 0;
}

static void months_tell_odd(months *m, int odd)
{
    if (odd && odd != m->odd)
        log_event(m->log, LOG_HISTORY_MISDATED, "%d, of a clock that was wrong; they are in executions_other", odd);
    m->odd = odd;
}

static void months_deleted(void *arg, const PGresult *result, const asynq_error *error)
{
    months *m = arg;
    if (!months_went_well(m, "old rows cannot be deleted", error))
        return;
    int late = months_number(result, 0), deleted = months_number(result, 1);
    if (late)
        log_event_repeated(m->log, &m->late_note, LOG_HISTORY_EXPIRED,
                           "%d, of months that are not kept any more; they are deleted", late);
    if (late >= MAX_ROWS || deleted >= MAX_ROWS) {
        months_delete(m);
        return;
    }
    months_tell_odd(m, months_number(result, 2));
    loop_timer_set(&m->look, LOOK_MS);
}

static void months_delete(months *m)
{
    char max[16];
    snprintf(max, sizeof max, "%d", MAX_ROWS);
    months_send(m, "SELECT late, deleted, odd FROM asynqd.delete_executions($1::interval, $2::integer)", 2,
                (const char *const[]){months_interval(m), max}, months_deleted);
}

/* ---- months ---- */

static void months_dropped(void *arg, const PGresult *result, const asynq_error *error)
{
    months *m = arg;
    if (!months_went_well(m, "old months cannot be dropped", error))
        return;
    for (int i = 0; i < PQntuples(result); i++)
        log_event(m->log, LOG_PARTITION_DROPPED, "%s, which is older than postgres.retention",
                  PQgetvalue(result, i, 0));
    months_delete(m);
}

/* Behind a day there are no lines that are on their way, nor one that has just begun and is not seen yet. */
static const char months_forgotten_sql[] =
    "WITH open AS (SELECT id, started_at FROM asynqd.executions AS e WHERE finished_at IS NULL "
    "AND started_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM asynqd.instances AS w WHERE w.id = "
    "e.instance) "
    "ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED) " UNKNOWN_SET_SQL("is not known any more");

/* Otherwise they would keep their month for ever. */
static void months_forgotten(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    months *m = arg;
    const char *const retention = months_interval(m);
    if (months_went_well(m, "attempts of nobody cannot be ended", error))
        months_send(m, "SELECT asynqd.drop_months($1::interval)", 1, &retention, months_dropped);
}

static void months_made(void *arg, const PGresult *result, const asynq_error *error)
{
    months *m = arg;
    if (!months_went_well(m, "the coming months cannot be made; rows go to executions_other", error))
        return;
    if (months_number(result, 0))
        log_event(m->log, LOG_PARTITION_CREATED, "%d", months_number(result, 0));
    months_send(m, months_forgotten_sql, 0, NULL, months_forgotten);
}

static void months_look(void *arg)
{
    months *m = arg;
    const char *const retention = months_interval(m);
    if (m->conn)
        months_send(m, "SELECT asynqd.make_months($1::interval)", 1, &retention, months_made);
}

/* ---- the whole ---- */

void months_set_conn(months *m, pg_conn *conn)
{
    m->conn = conn;
    loop_timer_cancel(&m->look);
    months_look(m);
}

months *months_new(loop *l, log_sink *log, int64_t retention_ms)
{
    months *m = mem_calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->log = log;
    m->complaint.min_ms = m->late_note.min_ms = COMPLAIN_PERIOD_MS;
    if (retention_ms)
        pg_interval(retention_ms, m->retention);
    loop_timer_init(l, &m->look, months_look, m);
    return m;
}

void months_free(months *m)
{
    if (!m)
        return;
    loop_timer_cancel(&m->look);
    mem_free(m);
}
