/* See history.h. */
#include "pg/history.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_MOST = 1000,
    GATHER_MS = 100, /* how long the first line of a batch waits for others */
    AGAIN_MS = 1000, /* after PostgreSQL refused for a reason that may pass */
    CLEAN_MS = 600000,
    CLEAN_ROWS = 5000,
    ERROR_MOST = 8192, /* bytes of an error that are kept */
    TEXT_MOST = 4096,  /* of any other text */
    COMPLAIN_PERIOD_MS = 60000
};

/* One that was adopted. */
typedef struct leftover {
    spool *lines;
    struct leftover *next;
} leftover;

struct history {
    history_options options;
    pg_conn *conn; /* NULL: not now */
    spool *own;
    leftover *leftovers;
    loop_waker appended;
    _Atomic bool is_awake; /* nobody needs to wake it */
    loop_timer gather, clean;

    spool *sent; /* whose lines are under way; NULL: none are */
    size_t sent_lines;
    size_t batch_most;
    bool is_waiting; /* after a failure */
    bool is_cleaning;

    void (*finished)(void *arg);
    void *finished_arg;
    log_limit lost_complaint, failure_complaint;
    _Atomic int64_t written, refused;
};

static void pump(void *history);

/* ---- lines ---- */

static json_t *text_or_null(const char *text, size_t most)
{
    if (!text || !*text)
        return json_null();
    size_t length = text_cut(text, strlen(text), most);
    json_t *value = json_stringn(text, length);
    if (value)
        return value;
    char *clean = mem_dup(text, length);
    if (clean)
        text_make_utf8(clean, length);
    value = clean ? json_stringn(clean, length) : NULL;
    mem_free(clean);
    return value ? value : json_null();
}

static json_t *number_or_null(int64_t number)
{
    return number ? json_integer(number) : json_null();
}

/* A header that anybody can set; only a number of the column's type is one of a job. */
static json_t *job_or_null(const char *text)
{
    int64_t number;
    return text && text_read_number(text, &number) ? json_integer(number) : json_null();
}

static char *line_of(const execution *row)
{
    int64_t duration_ms = row->finished_at_ms - row->started_at_ms;
    json_t *line =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "id", row->id,
                  "task_id", text_or_null(row->task_id, TEXT_MOST), "job_id", job_or_null(row->job_id), "queue",
                  text_or_null(row->queue, TEXT_MOST), "type", text_or_null(row->type, TEXT_MOST), "attempt",
                  (json_int_t)row->attempt, "queued_at", number_or_null(row->queued_at_ms), "started_at",
                  number_or_null(row->started_at_ms), "finished_at", number_or_null(row->finished_at_ms), "outcome",
                  row->outcome ? row->outcome : "running", "error_class", text_or_null(row->error_class, TEXT_MOST),
                  "error", text_or_null(row->error, ERROR_MOST), "http_status", number_or_null(row->http_status),
                  "duration_ms", row->outcome ? json_integer(duration_ms > 0 ? duration_ms : 0) : json_null(),
                  "trace_id", text_or_null(row->trace_id, TEXT_MOST));
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    return text;
}

void history_record(history *h, const execution *row)
{
    asynq_error error;
    unsigned skipped;
    char *line = line_of(row);
    bool is_kept = line && spool_append(h->own, line, strlen(line), !row->outcome, &error);
    if (!line)
        error_set_code(&error, ASYNQ_E_NO_MEMORY);
    free(line);
    if (!is_kept && log_limit_pass(&h->lost_complaint, &skipped))
        log_error(h->options.log, "the history has no room for an attempt at task %s and others: %s", row->task_id,
                  error.text);
    if (is_kept && !atomic_exchange(&h->is_awake, true))
        loop_waker_wake(&h->appended);
}

/* ---- from the spool to the table ---- */

/* The last line about an attempt tells most; a row that has an end keeps it, unless it was only given up for lost. */
static const char insert_sql[] =
    "INSERT INTO executions AS e (id, task_id, job_id, queue, type, attempt, queued_at, started_at, finished_at, "
    "outcome, error_class, error, http_status, duration_ms, worker, trace_id) "
    "SELECT DISTINCT ON (id) id, coalesce(task_id, ''), job_id, coalesce(queue, ''), coalesce(type, ''), attempt, "
    "to_timestamp(queued_at / 1000.0), to_timestamp(started_at / 1000.0), to_timestamp(finished_at / 1000.0), "
    "outcome, error_class, error, http_status, duration_ms, $2, trace_id "
    "FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, task_id text, job_id bigint, queue text, type text, "
    "attempt integer, queued_at bigint, started_at bigint, finished_at bigint, outcome text, error_class text, "
    "error text, http_status integer, duration_ms bigint, trace_id text) "
    "ORDER BY id, finished_at NULLS LAST "
    "ON CONFLICT (id) DO UPDATE SET queued_at = excluded.queued_at, started_at = excluded.started_at, "
    "finished_at = excluded.finished_at, outcome = excluded.outcome, "
    "error_class = excluded.error_class, error = excluded.error, http_status = excluded.http_status, "
    "duration_ms = excluded.duration_ms "
    "WHERE excluded.finished_at IS NOT NULL AND (e.finished_at IS NULL OR e.outcome = 'lost')";

static const char end_lost_sql[] =
    "WITH gone AS (DELETE FROM asynqd_workers WHERE id = $1) "
    "UPDATE executions SET outcome = 'lost', finished_at = now(), error_class = 'worker', "
    "error = 'the asynqd that ran it has ended' WHERE worker = $1 AND finished_at IS NULL";

static const char clean_sql[] =
    "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE started_at < now() - $1::interval "
    "AND finished_at IS NOT NULL ORDER BY started_at LIMIT $2::integer FOR UPDATE SKIP LOCKED)";

static void finish_if_asked(history *h)
{
    void (*finished)(void *arg) = h->finished;
    h->finished = NULL;
    if (finished)
        finished(h->finished_arg);
}

static void try_again_later(history *h)
{
    h->sent = NULL;
    h->is_waiting = true;
    loop_timer_set(&h->gather, AGAIN_MS);
}

static void wait_a_while(history *h, const char *what, const asynq_error *error)
{
    unsigned skipped;
    if (log_limit_pass(&h->failure_complaint, &skipped))
        log_warn(h->options.log, "the history cannot be written, %s: %s", what, error->text);
    try_again_later(h);
}

/* A line that PostgreSQL never takes is looked for by halves, so that it costs only itself. */
static void narrow(history *h, const asynq_error *error)
{
    if (h->sent_lines > 1) {
        h->batch_most = h->sent_lines / 2;
        return;
    }
    log_error(h->options.log, "a row of the history is left out, as PostgreSQL refuses it: %s", error->text);
    atomic_fetch_add(&h->refused, 1);
    spool_advance(h->sent);
}

static void batch_done(void *arg, const PGresult *result, const asynq_error *error)
{
    history *h = arg;
    if (!error) {
        spool_advance(h->sent);
        atomic_fetch_add(&h->written, (int64_t)h->sent_lines);
        h->batch_most = h->batch_most * 2 < BATCH_MOST ? h->batch_most * 2 : BATCH_MOST;
    } else if (pg_result_is_refused(result)) {
        narrow(h, error);
    } else {
        wait_a_while(h, "and waits in the spool", error);
    }
    h->sent = NULL;
    if (!h->is_waiting)
        pump(h);
    else
        finish_if_asked(h);
}

static bool send_from(history *h, spool *from)
{
    buf lines;
    buf_init(&lines, 0);
    buf_append_text(&lines, "[");
    h->sent_lines = spool_read(from, h->batch_most, &lines);
    buf_append_text(&lines, "]");
    h->sent = h->sent_lines ? from : NULL;
    const char *const values[] = {lines.data, spool_name(from)};
    if (h->sent && (buf_failed(&lines) || pg_conn_query(h->conn, insert_sql, 2, values, batch_done, h)))
        try_again_later(h);
    buf_clear(&lines);
    return h->sent_lines > 0;
}

static void leftover_ended(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    history *h = arg;
    leftover *own = h->leftovers;
    h->sent = NULL;
    if (error) {
        wait_a_while(h, "that of a dead asynqd", error);
        finish_if_asked(h);
        return;
    }
    log_info(h->options.log, "the history of %s, which has ended, is written", spool_name(own->lines));
    h->leftovers = own->next;
    spool_close(own->lines);
    mem_free(own);
    pump(h);
}

/* All lines of a dead one are there: attempts without an end will get none. */
static void end_leftover(history *h)
{
    const char *const name = spool_name(h->leftovers->lines);
    h->sent = h->leftovers->lines;
    if (pg_conn_query(h->conn, end_lost_sql, 1, &name, leftover_ended, h))
        try_again_later(h);
}

/* Sends the next lines, if none are under way. */
static void pump(void *arg)
{
    history *h = arg;
    h->is_waiting = false;
    if (h->sent)
        return;
    if (!h->conn) {
        finish_if_asked(h);
        return;
    }
    atomic_store(&h->is_awake, false); /* what is appended from now on wakes it again */
    if (send_from(h, h->own))
        atomic_store(&h->is_awake, true);
    else if (h->finished)
        finish_if_asked(h);
    else if (h->leftovers && !send_from(h, h->leftovers->lines))
        end_leftover(h);
}

static void lines_came(void *arg)
{
    history *h = arg;
    if (!h->sent && !loop_timer_is_set(&h->gather))
        loop_timer_set(&h->gather, GATHER_MS);
}

/* ---- retention ---- */

static void clean(void *history);

static void cleaned(void *arg, const PGresult *result, const asynq_error *error)
{
    history *h = arg;
    unsigned skipped;
    h->is_cleaning = false;
    if (error && log_limit_pass(&h->failure_complaint, &skipped))
        log_warn(h->options.log, "old rows of the history cannot be removed: %s", error->text);
    bool is_more = !error && atoi(PQcmdTuples((PGresult *)result)) >= CLEAN_ROWS;
    loop_timer_set(&h->clean, is_more ? 0 : CLEAN_MS);
}

static void clean(void *arg)
{
    history *h = arg;
    char age[48], rows[16];
    if (!h->conn || h->is_cleaning || !h->options.retention_ms)
        return;
    snprintf(age, sizeof age, "%" PRId64 " milliseconds", h->options.retention_ms);
    snprintf(rows, sizeof rows, "%d", CLEAN_ROWS);
    h->is_cleaning = !pg_conn_query(h->conn, clean_sql, 2, (const char *const[]){age, rows}, cleaned, h);
}

/* ---- the whole ---- */

void history_set_conn(history *h, pg_conn *conn)
{
    h->conn = conn;
    if (!conn)
        return;
    loop_timer_cancel(&h->gather);
    pump(h);
    loop_timer_set(&h->clean, 0);
}

void history_finish(history *h, void (*done)(void *arg), void *arg)
{
    h->finished = done;
    h->finished_arg = arg;
    loop_timer_cancel(&h->gather);
    if (!h->is_waiting)
        pump(h);
    else
        finish_if_asked(h);
}

static int adopt(history *h, asynq_error *error)
{
    for (spool *found; (found = spool_adopt(h->options.spool));) {
        leftover *own = mem_calloc(1, sizeof *own);
        if (!own) {
            spool_close(found);
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        }
        own->lines = found;
        own->next = h->leftovers;
        h->leftovers = own;
    }
    return ASYNQ_OK;
}

history *history_new(const history_options *options, asynq_error *error)
{
    history *h = mem_calloc(1, sizeof *h);
    if (!h)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    h->options = *options;
    h->batch_most = BATCH_MOST;
    h->appended.fd = -1;
    h->lost_complaint.period_ms = h->failure_complaint.period_ms = COMPLAIN_PERIOD_MS;
    loop_timer_init(options->loop, &h->gather, pump, h);
    loop_timer_init(options->loop, &h->clean, clean, h);
    int status = adopt(h, error);
    if (!status) {
        h->own = spool_open(options->spool, options->worker, options->spool_most, error);
        status = h->own ? ASYNQ_OK : error->code;
    }
    if (!status && loop_waker_init(options->loop, &h->appended, lines_came, h))
        status = error_set_code(error, ASYNQ_E_SYSTEM);
    if (!status)
        return h;
    history_free(h);
    return NULL;
}

void history_free(history *h)
{
    if (!h)
        return;
    loop_timer_cancel(&h->gather);
    loop_timer_cancel(&h->clean);
    loop_waker_clear(&h->appended);
    while (h->leftovers) {
        leftover *own = h->leftovers;
        h->leftovers = own->next;
        spool_close(own->lines);
        mem_free(own);
    }
    spool_close(h->own);
    mem_free(h);
}

void history_get_stats(history *h, history_stats *stats)
{
    spool_get_stats(h->own, &stats->spool);
    stats->written = atomic_load(&h->written);
    stats->refused = atomic_load(&h->refused);
}
