/* See pg_conn.h. */
#include "pg/pg_conn.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/error.h"
#include "event/timer.h"
#include "event/watch.h"
#include "pg/pg_hosts.h"
#include "pg/pg_link.h"
#include "pg/schema_name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SHORTEST_PAUSE_MS = 250,
    LONGEST_PAUSE_MS = 5000,
    CONNECT_WITHIN_MS = 10000,
    ANSWER_WITHIN_MS = 60000,
    LASTING_MS = 10000 /* a session that has lasted so long was a success */
};

/*
 * Limits below that of an answer, so that no backend goes on waiting for a lock when we have given up. The others are
 * PostgreSQL's own defaults, whatever the role or the database would have instead: texts and times are read as ours.
 */
static const char session_sql[] =
    "SELECT set_config('statement_timeout', '50s', false), set_config('lock_timeout', '20s', false), "
    "set_config('default_transaction_isolation', 'read committed', false), " PG_NEUTRAL_SQL("false");

typedef enum pg_state {
    PG_RESTING,    /* between attempts to connect */
    PG_CONNECTING, /* hosts are looked up; then libpq says what it waits for */
    PG_READY
} pg_state;

typedef struct pg_statement {
    pg_result_cb cb;
    void *arg;
    struct pg_statement *next;
} pg_statement;

struct pg_conn {
    pg_conn_options options;
    pg_state state;
    pg_hosts *hosts;
    PGconn *link;
    int socket_fd; /* -1: none. Ours, a duplicate: see watch_link() */
    loop_watch watch;
    loop_timer again, limit;    /* limit: of connecting, or of the answer that comes next */
    int64_t pause_ms;           /* 0: nothing has failed since a session that lasted */
    pg_statement *first, **end; /* sent, in the order of their answers */
    size_t syncs;               /* ends of statements that have not come */
    int64_t ready_at_ms;        /* steady clock */
    char unfit[256];            /* why the session is of no use any more; "": it is */
    log_limit complaint, return_note;
    bool was_lost;
};

/* ---- the end of a connection ---- */

static void fail_statements(pg_conn *conn, const asynq_error *error)
{
    pg_statement *list = conn->first;
    conn->first = NULL;
    conn->end = &conn->first;
    while (list) {
        pg_statement *one = list;
        list = one->next;
        if (one->cb)
            one->cb(one->arg, NULL, error);
        mem_free(one);
    }
}

static void unwatch_link(pg_conn *conn)
{
    loop_watch_clear(&conn->watch);
    if (conn->socket_fd >= 0)
        close(conn->socket_fd);
    conn->socket_fd = -1;
}

static void close_link(pg_conn *conn)
{
    unwatch_link(conn);
    pg_hosts_cancel(conn->hosts);
    loop_timer_cancel(&conn->limit);
    PQfinish(conn->link);
    conn->link = NULL;
    conn->syncs = 0;
    conn->state = PG_RESTING;
}

static void lose(pg_conn *conn, const char *reason)
{
    asynq_error error;
    bool was_ready = conn->state == PG_READY;
    pg_error(&error, ASYNQ_E_OUTCOME_UNKNOWN, reason);
    log_event_repeated(conn->options.log, &conn->complaint, LOG_POSTGRES_DOWN, "the connection%s: %s",
                       conn->options.purpose, error.text);
    conn->was_lost = true;
    if (was_ready && loop_steady_ms(conn->options.loop) - conn->ready_at_ms >= LASTING_MS)
        conn->pause_ms = 0;
    close_link(conn);
    conn->pause_ms = backoff_next_ms(conn->pause_ms, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
    loop_timer_set(&conn->again, conn->pause_ms);
    if (was_ready)
        conn->options.down(conn->options.arg);
    fail_statements(conn, &error);
}

static void pg_conn_time_is_up(void *arg)
{
    pg_conn *conn = arg;
    lose(conn, conn->state == PG_READY ? "no answer for a minute" : "no connection within 10 s");
}

/* ---- statements ---- */

int pg_conn_query(pg_conn *conn, const char *sql, int count, const char *const *values, pg_result_cb cb, void *arg)
{
    if (conn->state != PG_READY)
        return ASYNQ_E_UNAVAILABLE;
    pg_statement *one = mem_alloc(sizeof *one);
    if (!one)
        return ASYNQ_E_NO_MEMORY;
    char *text = schema_name_put(conn->options.schema, sql);
    bool is_sent =
        text && PQsendQueryParams(conn->link, text, count, NULL, values, NULL, NULL, 0) && PQpipelineSync(conn->link);
    mem_free(text);
    if (!is_sent) {
        mem_free(one);
        return ASYNQ_E_NO_MEMORY;
    }
    *one = (pg_statement){cb, arg, NULL};
    *conn->end = one;
    conn->end = &one->next;
    conn->syncs++;
    if (!loop_timer_is_set(&conn->limit))
        loop_timer_set(&conn->limit, ANSWER_WITHIN_MS);
    loop_watch_set(&conn->watch, true, true); /* leaves with the next turn */
    return ASYNQ_OK;
}

void pg_interval(int64_t ms, char text[PG_INTERVAL_SIZE])
{
    const int64_t hour_ms = 3600000, max_ms = 1000 * 365 * 24 * hour_ms;
    ms = ms < max_ms ? ms : max_ms;
    snprintf(text, PG_INTERVAL_SIZE, "%" PRId64 " hours %" PRId64 " milliseconds", ms / hour_ms, ms % hour_ms);
}

static bool pg_conn_is_good(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
}

bool pg_result_has_state(const PGresult *result, const char *state)
{
    const char *found = result && !pg_conn_is_good(result) ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    return found && strncmp(found, state, strlen(state)) == 0;
}

bool pg_result_is_refused(const PGresult *result)
{
    return pg_result_has_state(result, "22") || pg_result_has_state(result, "23");
}

bool pg_result_lacks_partition(const PGresult *result)
{
    return pg_result_has_state(result, "23514") && !PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
}

/*
 * A server that has become a standby, or is being shut down, refuses the same session for ever; another session may
 * come to another server. A statement that was cancelled (57014) is none of that.
 */
static bool is_of_session(const PGresult *result)
{
    return pg_result_has_state(result, "25006") ||
           (pg_result_has_state(result, "57") && !pg_result_has_state(result, "57014"));
}

static void take_result(pg_conn *conn, const PGresult *result)
{
    pg_statement *one = conn->first;
    asynq_error error = {0};
    if (!pg_conn_is_good(result))
        pg_error(&error, ASYNQ_E_SYSTEM, PQresultErrorMessage(result));
    if (is_of_session(result))
        snprintf(conn->unfit, sizeof conn->unfit, "%s", error.text);
    conn->first = one->next;
    if (!conn->first)
        conn->end = &conn->first;
    loop_timer_cancel(&conn->limit);
    if (conn->first)
        loop_timer_set(&conn->limit, ANSWER_WITHIN_MS);
    if (one->cb)
        one->cb(one->arg, result, error.code ? &error : NULL);
    mem_free(one);
}

static void take_notifications(pg_conn *conn)
{
    for (PGnotify *one; (one = PQnotifies(conn->link)); PQfreemem(one))
        if (conn->options.notified)
            conn->options.notified(conn->options.arg, one->relname);
}

/*
 * For each statement there come its result, NULL, and that of the synchronisation behind it. All must be taken, as
 * libpq does not look for notifications behind what is left.
 */
static void take_results(pg_conn *conn)
{
    bool was_end = false;
    while (conn->syncs && !PQisBusy(conn->link)) {
        PGresult *result = PQgetResult(conn->link);
        if (!result && was_end)
            return; /* the connection has died, and there is no more */
        was_end = !result;
        if (result && PQresultStatus(result) == PGRES_PIPELINE_SYNC)
            conn->syncs--;
        else if (result && conn->first)
            take_result(conn, result);
        PQclear(result);
    }
}

static void serve_link(pg_conn *conn, bool can_read)
{
    if (can_read && !PQconsumeInput(conn->link)) {
        lose(conn, PQerrorMessage(conn->link));
        return;
    }
    if (can_read) {
        take_results(conn);
        take_notifications(conn);
    }
    if (*conn->unfit) {
        lose(conn, conn->unfit);
        return;
    }
    int left = PQflush(conn->link);
    if (left < 0 || PQstatus(conn->link) == CONNECTION_BAD)
        lose(conn, PQerrorMessage(conn->link));
    else
        loop_watch_set(&conn->watch, true, left > 0);
}

/* ---- connecting ---- */

static void link_moved(void *arg, bool can_read, bool can_write);

/*
 * libpq closes its socket as soon as a connection breaks, in the middle of a call; its number may then belong to
 * another descriptor, of another thread, while the loop still watches it. So the loop watches a duplicate, which only
 * we close.
 */
static bool watch_link(pg_conn *conn)
{
    unwatch_link(conn); /* another address has another socket */
    conn->socket_fd = fcntl(PQsocket(conn->link), F_DUPFD_CLOEXEC, 0);
    if (conn->socket_fd < 0) {
        lose(conn, strerror(errno));
        return false;
    }
    loop_watch_init(conn->options.loop, &conn->watch, conn->socket_fd, link_moved, conn);
    return true;
}

static void begin_session(pg_conn *conn)
{
    if (PQsetnonblocking(conn->link, 1) || !PQenterPipelineMode(conn->link)) {
        lose(conn, PQerrorMessage(conn->link));
        return;
    }
    loop_timer_cancel(&conn->limit);
    conn->state = PG_READY;
    conn->ready_at_ms = loop_steady_ms(conn->options.loop);
    *conn->unfit = '\0';
    if (conn->was_lost)
        log_event_repeated(conn->options.log, &conn->return_note, LOG_POSTGRES_UP, "the connection%s again",
                           conn->options.purpose);
    loop_watch_set(&conn->watch, true, false);
    if (pg_conn_query(conn, session_sql, 0, NULL, NULL, NULL))
        lose(conn, "out of memory");
    else
        conn->options.ready(conn->options.arg);
}

static void poll_link(pg_conn *conn)
{
    PostgresPollingStatusType step = PQconnectPoll(conn->link);
    if (step == PGRES_POLLING_FAILED) {
        lose(conn, PQerrorMessage(conn->link));
        return;
    }
    if (!watch_link(conn))
        return;
    if (step == PGRES_POLLING_OK)
        begin_session(conn);
    else
        loop_watch_set(&conn->watch, step == PGRES_POLLING_READING, step == PGRES_POLLING_WRITING);
}

static void link_moved(void *arg, bool can_read, bool can_write)
{
    (void)can_write;
    pg_conn *conn = arg;
    if (conn->state == PG_READY)
        serve_link(conn, can_read);
    else
        poll_link(conn);
}

static void begin_link(void *arg, const pg_addresses *at, const asynq_error *error)
{
    pg_conn *conn = arg;
    if (!at) {
        lose(conn, error->text);
        return;
    }
    conn->link = pg_link_begin(conn->options.conninfo, conn->options.password, at);
    if (!conn->link || PQstatus(conn->link) == CONNECTION_BAD)
        lose(conn, conn->link ? PQerrorMessage(conn->link) : "out of memory");
    else if (watch_link(conn))
        loop_watch_set(&conn->watch, false, true);
}

static void connect_now(void *arg)
{
    pg_conn *conn = arg;
    conn->state = PG_CONNECTING;
    loop_timer_set(&conn->limit, CONNECT_WITHIN_MS);
    pg_hosts_look_up(conn->hosts, begin_link, conn);
}

/* ---- the whole ---- */

pg_conn *pg_conn_new(const pg_conn_options *options)
{
    pg_conn *conn = mem_calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->options = *options;
    conn->socket_fd = -1;
    if (!conn->options.schema)
        conn->options.schema = SCHEMA_NAME_DEFAULT;
    if (!conn->options.purpose)
        conn->options.purpose = "";
    conn->end = &conn->first;
    loop_timer_init(options->loop, &conn->again, connect_now, conn);
    loop_timer_init(options->loop, &conn->limit, pg_conn_time_is_up, conn);
    conn->hosts = pg_hosts_new(options->loop, options->conninfo);
    if (!conn->hosts) {
        mem_free(conn);
        return NULL;
    }
    loop_timer_set(&conn->again, 0);
    return conn;
}

void pg_conn_free(pg_conn *conn)
{
    asynq_error error;
    if (!conn)
        return;
    loop_timer_cancel(&conn->again);
    close_link(conn);
    error_set(&error, ASYNQ_E_CLOSED, "the connection with PostgreSQL was closed");
    fail_statements(conn, &error);
    pg_hosts_free(conn->hosts);
    mem_free(conn);
}

bool pg_conn_is_ready(const pg_conn *conn)
{
    return conn->state == PG_READY;
}
