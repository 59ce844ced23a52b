/* See database.h. */
#include "pg/database.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "event/timer.h"
#include "event/waker.h"
#include "pg/schema.h"
#include "pg/unknown_sql.h"
#include "pg/untold.h"
#include "wire/task_id.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEN_MS = 10000, LOOK_AGAIN_MS = 2000, COMPLAIN_PERIOD_MS = 60000 };

typedef enum database_phase {
    PHASE_AWAY,
    PHASE_ASKING,
    PHASE_NO_TABLES,
    PHASE_OTHER_TABLES,
    PHASE_READY
} database_phase;

static const char *const phase_problems[] = {
    [PHASE_AWAY] = "there is no connection with PostgreSQL",
    [PHASE_ASKING] = "PostgreSQL is being asked for the version of its tables",
    [PHASE_NO_TABLES] = "the tables are missing or old; `asynqd migrate` makes them",
    [PHASE_OTHER_TABLES] = "the tables are of a newer asynqd",
    [PHASE_READY] = NULL,
};

struct database {
    database_options options;
    char worker[128]; /* host-pid-random */
    char host[64];
    loop *loop;
    pg_conn *conn, *jobs_conn; /* a lock on the history must not hold up the jobs */
    bool has_tables;           /* of our version */
    history *history;
    untold *untold; /* with a history */
    jobs *jobs;
    _Atomic database_phase phase;
    loop_timer look, seen, limit;
    log_limit complaint;

    pthread_t thread;
    loop_waker stop;
    int64_t stop_within_ms;
    bool is_running;
};

/*
 * A worker that nobody has seen for a minute is dead; how its attempts went is not known. Only who was there for that
 * minute can say so: when PostgreSQL was away, nobody was. Those that two give up at the same time are left to one.
 */
static const char seen_sql[] =
    "WITH seen AS (INSERT INTO asynqd.instances AS w (id, host, pid) VALUES ($1, $2, $3::integer) "
    "ON CONFLICT (id) DO UPDATE SET last_seen_at = now(), present_since = "
    "CASE WHEN w.last_seen_at < now() - interval '30 seconds' THEN now() ELSE w.present_since END "
    "RETURNING xmax = 0 AS is_new), "
    "gone AS (DELETE FROM asynqd.instances WHERE id IN (SELECT id FROM asynqd.instances "
    "WHERE last_seen_at < now() - interval '1 minute' AND id <> $1 AND EXISTS (SELECT FROM asynqd.instances WHERE id = "
    "$1 "
    "AND last_seen_at > now() - interval '30 seconds' AND present_since < now() - interval '1 minute') "
    "FOR UPDATE SKIP LOCKED) RETURNING id), "
    "open AS (SELECT e.id, e.started_at FROM asynqd.executions AS e JOIN gone ON e.instance = gone.id "
    "WHERE e.finished_at IS NULL ORDER BY e.id FOR UPDATE OF e), "
    "ended AS (" UNKNOWN_SET_SQL("has not been seen for a minute") ") SELECT is_new FROM seen";

/* It was given up, but lives. What has ended meanwhile is on its way. */
static const char back_sql[] =
    "WITH mine AS (SELECT id, started_at FROM asynqd.executions WHERE instance = $1 AND outcome = 'unknown' "
    "AND error_class = 'instance' ORDER BY id FOR UPDATE) UPDATE asynqd.executions AS e SET outcome = 'running', "
    "finished_at = NULL, error_class = NULL, error = NULL FROM mine "
    "WHERE e.id = mine.id AND e.started_at = mine.started_at";

static const char version_sql[] = "SELECT coalesce(max(version), 0) FROM asynqd.migrations";

/* All lines are written: attempts without an end will get none. */
static const char leave_sql[] = UNKNOWN_ENDED_SQL;

/* ---- tables ---- */

static void ask_version(void *database);

static void complain(database *d, const char *text)
{
    log_event_repeated(d->options.log, &d->complaint, LOG_POSTGRES_DOWN, "%s", text);
}

/* Begins or ends the work of the jobs, as their connection and the tables are. */
static void connect_jobs(void *arg)
{
    database *d = arg;
    pg_conn *own = d->has_tables && pg_conn_is_ready(d->jobs_conn) ? d->jobs_conn : NULL;
    if (d->jobs)
        jobs_set_conns(d->jobs, own, pg_conn_is_ready(d->conn) ? d->conn : NULL);
}

static void connect_history(database *d, pg_conn *conn)
{
    if (!d->history)
        return;
    history_set_conn(d->history, conn);
    untold_set_conn(d->untold, conn);
}

static void database_begin_work(database *d)
{
    atomic_store(&d->phase, PHASE_READY);
    log_event(d->options.log, LOG_POSTGRES_UP, "as %s", d->worker);
    loop_timer_set(&d->seen, 0);
    connect_history(d, d->conn);
    d->has_tables = true;
    connect_jobs(d);
}

static void take_version(database *d, int version)
{
    if (version == pg_schema_wanted()) {
        database_begin_work(d);
        return;
    }
    database_phase phase = version < pg_schema_wanted() ? PHASE_NO_TABLES : PHASE_OTHER_TABLES;
    atomic_store(&d->phase, phase);
    d->has_tables = false;
    connect_jobs(d);
    complain(d, phase_problems[phase]);
    loop_timer_set(&d->look, LOOK_AGAIN_MS);
}

static void version_came(void *arg, const PGresult *result, const asynq_error *error)
{
    database *d = arg;
    if (pg_result_has_state(result, "42P01")) { /* no such table */
        take_version(d, 0);
    } else if (!error && PQntuples(result) == 1) {
        take_version(d, atoi(PQgetvalue(result, 0, 0)));
    } else if (pg_conn_is_ready(d->conn)) {
        complain(d, error ? error->text : "no answer about the version of the tables");
        loop_timer_set(&d->look, LOOK_AGAIN_MS);
    }
}

static void ask_version(void *arg)
{
    database *d = arg;
    if (pg_conn_query(d->conn, version_sql, 0, NULL, version_came, d))
        loop_timer_set(&d->look, LOOK_AGAIN_MS);
}

/* ---- connection ---- */

static void database_link_ready(void *arg)
{
    database *d = arg;
    atomic_store(&d->phase, PHASE_ASKING);
    ask_version(d);
}

static void link_down(void *arg)
{
    database *d = arg;
    atomic_store(&d->phase, PHASE_AWAY);
    loop_timer_cancel(&d->look);
    loop_timer_cancel(&d->seen);
    connect_history(d, NULL);
    connect_jobs(d);
}

static void link_notified(void *arg, const char *channel)
{
    database *d = arg;
    if (d->jobs)
        jobs_notified(d->jobs, channel);
}

static void back_done(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    database *d = arg;
    if (error && pg_conn_is_ready(d->conn))
        complain(d, error->text);
}

static void seen_done(void *arg, const PGresult *result, const asynq_error *error)
{
    database *d = arg;
    const char *const worker = d->worker;
    bool is_new = !error && PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
    if (error && pg_conn_is_ready(d->conn))
        complain(d, error->text);
    if (is_new && pg_conn_query(d->conn, back_sql, 1, &worker, back_done, d))
        complain(d, "out of memory");
}

static void be_seen(void *arg)
{
    database *d = arg;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (!d->history)
        return;
    if (pg_conn_query(d->conn, seen_sql, 3, (const char *const[]){d->worker, d->host, pid}, seen_done, d))
        complain(d, "it cannot be told that this asynqd lives");
    loop_timer_set(&d->seen, SEEN_MS);
}

/* ---- the end ---- */

static void end_loop(void *arg)
{
    database *d = arg;
    loop_stop(d->loop);
}

static void left(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result, (void)error;
    end_loop(arg);
}

/* Who has still lines in its spool is no more seen, but does not say that there are no more. */
static void history_finished(void *arg)
{
    database *d = arg;
    const char *const worker = d->worker;
    history_stats stats = {0};
    loop_timer_cancel(&d->seen);
    if (d->untold)
        untold_set_conn(d->untold, NULL);
    if (d->history)
        history_get_stats(d->history, &stats);
    if (!d->history || stats.spool.lines || pg_conn_query(d->conn, leave_sql, 1, &worker, left, d))
        end_loop(d);
}

static void stop_asked(void *arg)
{
    database *d = arg;
    loop_timer_set(&d->limit, d->stop_within_ms);
    if (d->history)
        history_finish(d->history, history_finished, d);
    else
        history_finished(d);
}

/* ---- the whole ---- */

static void *database_run(void *arg)
{
    database *d = arg;
    loop_run(d->loop);
    return NULL;
}

static void name_worker(database *d)
{
    char random[TASK_ID_RANDOM_SIZE];
    if (gethostname(d->host, sizeof d->host - 1) || !*d->host)
        snprintf(d->host, sizeof d->host, "unknown");
    task_id_make_random(random);
    snprintf(d->worker, sizeof d->worker, "%s-%d-%.8s", d->host, (int)getpid(), random);
}

static int make_parts(database *d, asynq_error *error)
{
    const database_options *o = &d->options;
    if (o->has_history) {
        d->history = history_new(&(history_options){.loop = d->loop,
                                                    .log = o->log,
                                                    .spool = o->spool,
                                                    .worker = d->worker,
                                                    .spool_max = o->spool_max,
                                                    .retention_ms = o->retention_ms},
                                 error);
        d->untold = d->history ? untold_new(&(untold_options){d->loop, o->log, d->worker, o->redis, o->prefix}) : NULL;
        if (!d->history)
            return error->code;
        if (!d->untold)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    d->jobs = o->has_jobs ? jobs_new(d->loop, o->log, o->jobs_retention_ms) : NULL;
    if (d->jobs) {
        d->jobs_conn = pg_conn_new(&(pg_conn_options){.loop = d->loop,
                                                      .log = o->log,
                                                      .conninfo = o->conninfo,
                                                      .password = o->password,
                                                      .schema = o->schema,
                                                      .purpose = " (jobs)",
                                                      .ready = connect_jobs,
                                                      .down = connect_jobs,
                                                      .notified = link_notified,
                                                      .arg = d});
        if (!d->jobs_conn)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    d->conn = pg_conn_new(&(pg_conn_options){.loop = d->loop,
                                             .log = o->log,
                                             .conninfo = o->conninfo,
                                             .password = o->password,
                                             .schema = o->schema,
                                             .ready = database_link_ready,
                                             .down = link_down,
                                             .arg = d});
    bool is_complete = d->conn && (d->jobs || !o->has_jobs);
    return is_complete ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

database *database_start(const database_options *options, asynq_error *error)
{
    database *d = mem_calloc(1, sizeof *d);
    if (!d)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    d->options = *options;
    d->complaint.min_ms = COMPLAIN_PERIOD_MS;
    d->stop.fd = -1;
    name_worker(d);
    d->loop = loop_new();
    int status = d->loop ? loop_waker_init(d->loop, &d->stop, stop_asked, d) : ASYNQ_E_NO_MEMORY;
    if (status)
        error_set_code(error, status);
    if (!status) {
        loop_timer_init(d->loop, &d->look, ask_version, d);
        loop_timer_init(d->loop, &d->seen, be_seen, d);
        loop_timer_init(d->loop, &d->limit, end_loop, d);
        status = make_parts(d, error);
    }
    if (!status)
        status = thread_start(&d->thread, database_run, d, error);
    d->is_running = !status;
    if (!status)
        return d;
    database_free(d);
    return NULL;
}

void database_stop(database *d, int64_t within_ms)
{
    if (!d->is_running)
        return;
    d->is_running = false;
    d->stop_within_ms = within_ms;
    loop_waker_wake(&d->stop);
    pthread_join(d->thread, NULL);
}

void database_free(database *d)
{
    if (!d)
        return;
    database_stop(d, 0);
    if (d->conn) {
        loop_timer_cancel(&d->look);
        loop_timer_cancel(&d->seen);
        loop_timer_cancel(&d->limit);
    }
    pg_conn_free(d->conn);
    pg_conn_free(d->jobs_conn);
    jobs_free(d->jobs);
    untold_free(d->untold);
    history_free(d->history);
    loop_waker_clear(&d->stop);
    loop_free(d->loop);
    mem_free(d);
}

history *database_history(const database *d)
{
    return d->history;
}

jobs *database_jobs(const database *d)
{
    return d->jobs;
}

database_state database_get_state(const database *d)
{
    database_phase phase = atomic_load(&d->phase);
    return (database_state){phase == PHASE_READY, phase_problems[phase]};
}
