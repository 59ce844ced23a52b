/* See history.h. */
#include "pg/history.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/error.h"
#include "event/timer.h"
#include "event/waker.h"
#include "pg/months.h"
#include "pg/unknown_sql.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    BATCH_MAX = 1000,
    BATCH_MIN = 100,
    GATHER_MS = 100,      /* how long the first line of a batch waits for others */
    READ_AGAIN_MS = 1000, /* a spool that could not be read */
    MIN_AGAIN_MS = 1000,  /* after PostgreSQL refused for a reason that may pass */
    MAX_AGAIN_MS = 10000,
    MAX_WITHOUT_MONTH = 8, /* how often rows are tried that have no partition: for a minute */
    COMPLAIN_PERIOD_MS = 60000
};

/* One that was adopted. */
typedef struct leftover {
    spool *lines;
    int64_t unreadable; /* pieces that were told of */
    struct leftover *next;
} leftover;

struct history {
    history_options options;
    pg_conn *conn; /* NULL: not now */
    spool *own;
    leftover *leftovers;
    loop_waker appended;
    _Atomic bool is_awake; /* nobody needs to wake it */
    loop_timer gather;
    months *months;

    spool *sent; /* whose lines are under way; NULL: none are */
    size_t sent_lines;
    size_t batch_max;
    int without_month; /* so often in a row there was no partition */
    bool was_own;      /* the last batch; the next one is of a leftover */
    bool is_waiting;   /* after a failure */
    int64_t pause_ms;  /* after the last one; 0: all went well */

    void (*finished)(void *arg);
    void *finished_arg;
    log_limit lost_complaint, failure_complaint, unreadable_complaint;
    int64_t own_unreadable;
    _Atomic int64_t written, refused, leftover_unreadable;
};

static void history_pump(void *history);

/* ---- lines ---- */

void history_record(history *h, const execution *row)
{
    buf line;
    buf_init(&line, 0);
    execution_append(&line, row);
    if (buf_failed(&line))
        spool_count_lost(h->own, SPOOL_NO_MEMORY);
    else
        (void)spool_append(h->own, line.data, line.length, !row->outcome);
    buf_clear(&line);
}

/* The spool's thread. */
static void lines_written(void *arg, const char *problem)
{
    history *h = arg;
    if (problem)
        log_event_repeated(h->options.log, &h->lost_complaint, LOG_HISTORY_LOST, "%s: %s", spool_name(h->own), problem);
    if (!atomic_exchange(&h->is_awake, true))
        loop_waker_wake(&h->appended);
}

/* ---- from the spool to the table ---- */

/*
 * The last line about an attempt tells most; a row that has an end keeps it, unless nobody knew it, or it was completed
 * from what Redis said (untold.h), and has no duration.
 */
static const char insert_sql[] =
    "INSERT INTO asynqd.executions AS e (id, task_id, job_id, queue, type, attempt, queued_at, started_at, "
    "finished_at, "
    "outcome, error_class, error, http_status, duration_ms, instance, trace_id, output) "
    "SELECT DISTINCT ON (id) id, coalesce(task_id, ''), job_id, coalesce(queue, ''), coalesce(type, ''), attempt, "
    "to_timestamp(queued_at / 1000.0), to_timestamp(started_at / 1000.0), to_timestamp(finished_at / 1000.0), "
    "outcome, error_class, error, http_status, duration_ms, $2, trace_id, output "
    "FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, task_id text, job_id bigint, queue text, type text, "
    "attempt integer, queued_at bigint, started_at bigint, finished_at bigint, outcome text, error_class text, "
    "error text, http_status integer, duration_ms bigint, trace_id text, output text) "
    "ORDER BY id, finished_at NULLS LAST "
    "ON CONFLICT (id, started_at) DO UPDATE SET queued_at = excluded.queued_at, "
    "finished_at = excluded.finished_at, outcome = excluded.outcome, "
    "error_class = excluded.error_class, error = excluded.error, http_status = excluded.http_status, "
    "duration_ms = excluded.duration_ms, output = excluded.output "
    "WHERE excluded.finished_at IS NOT NULL AND (e.finished_at IS NULL OR e.outcome = 'unknown' "
    "OR e.duration_ms IS NULL)";

static const char end_unknown_sql[] = UNKNOWN_ENDED_SQL;

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
    h->pause_ms = backoff_next_ms(h->pause_ms, MIN_AGAIN_MS, MAX_AGAIN_MS);
    loop_timer_set(&h->gather, h->pause_ms);
}

static void wait_a_while(history *h, const char *what, const asynq_error *error)
{
    if (error->code != ASYNQ_E_CLOSED)
        log_event_repeated(h->options.log, &h->failure_complaint, LOG_HISTORY_DELAYED, "%s: %s", what, error->text);
    try_again_later(h);
}

/* A line that PostgreSQL never takes is looked for by halves, so that it costs only itself. */
static void history_narrow(history *h, const asynq_error *error)
{
    if (h->sent_lines > 1) {
        h->batch_max = h->sent_lines / 2;
        return;
    }
    log_event(h->options.log, LOG_HISTORY_REFUSED, "%s", error->text);
    atomic_fetch_add(&h->refused, 1);
    spool_advance(h->sent);
}

/* A few lines wait for others, if nothing else is to be done. */
static bool is_worth_sending(history *h)
{
    spool_stats stats;
    spool_get_stats(h->own, &stats);
    return h->leftovers || h->finished || stats.lines >= BATCH_MIN;
}

static void batch_done(void *arg, const PGresult *result, const asynq_error *error)
{
    history *h = arg;
    bool has_no_month = error && pg_result_lacks_partition(result);
    if (!error) {
        h->pause_ms = h->without_month = 0;
        spool_advance(h->sent);
        atomic_fetch_add(&h->written, (int64_t)h->sent_lines);
        h->batch_max = h->batch_max * 2 < BATCH_MAX ? h->batch_max * 2 : BATCH_MAX;
    } else if (has_no_month && h->without_month++ < MAX_WITHOUT_MONTH) {
        wait_a_while(h, "and waits for its month", error);
    } else if (pg_result_is_refused(result)) {
        history_narrow(h, error);
    } else {
        wait_a_while(h, "and waits in the spool", error);
    }
    h->sent = NULL;
    if (h->is_waiting)
        finish_if_asked(h);
    else if (is_worth_sending(h))
        history_pump(h);
    else
        loop_timer_set(&h->gather, GATHER_MS);
}

typedef enum sending { SENDING_NOTHING, SENDING_LINES, SENDING_FAILED } sending;

static sending cannot_read(history *h, const spool *from, const char *problem)
{
    log_event_repeated(h->options.log, &h->failure_complaint, LOG_HISTORY_UNREADABLE, "spool %s: %s", spool_name(from),
                       problem);
    loop_timer_set(&h->gather, READ_AGAIN_MS);
    return SENDING_FAILED;
}

/* What a crash has left that is no line, for example. */
static void tell_unreadable(history *h, spool *from)
{
    spool_stats stats;
    spool_get_stats(from, &stats);
    int64_t *told = from == h->own ? &h->own_unreadable : &h->leftovers->unreadable;
    int64_t more = stats.lost[SPOOL_UNREADABLE] - *told;
    *told += more;
    if (more)
        log_event_repeated(h->options.log, &h->unreadable_complaint, LOG_HISTORY_LOST,
                           "spool %s: pieces that are no lines, or are missing, %" PRId64 " so far", spool_name(from),
                           *told);
    if (from != h->own)
        atomic_fetch_add(&h->leftover_unreadable, more);
}

static sending send_from(history *h, spool *from)
{
    buf lines;
    const char *problem;
    buf_init(&lines, 0);
    buf_append_text(&lines, "[");
    h->sent_lines = spool_read(from, h->batch_max, &lines, &problem);
    buf_append_text(&lines, "]");
    tell_unreadable(h, from);
    h->sent = h->sent_lines ? from : NULL;
    const char *const values[] = {lines.data, spool_name(from)};
    if (h->sent && (buf_failed(&lines) || pg_conn_query(h->conn, insert_sql, 2, values, batch_done, h)))
        try_again_later(h);
    buf_clear(&lines);
    if (problem)
        return cannot_read(h, from, problem);
    return h->sent_lines ? SENDING_LINES : SENDING_NOTHING;
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
    h->pause_ms = 0;
    log_event(h->options.log, LOG_HISTORY_RECOVERED, "of %s, which has ended", spool_name(own->lines));
    h->leftovers = own->next;
    spool_close(own->lines);
    mem_free(own);
    history_pump(h);
}

/* All lines of a dead one are there: attempts without an end will get none. */
static void end_leftover(history *h)
{
    const char *const name = spool_name(h->leftovers->lines);
    h->sent = h->leftovers->lines;
    if (pg_conn_query(h->conn, end_unknown_sql, 1, &name, leftover_ended, h))
        try_again_later(h);
}

/* The first goes to the end. */
static void turn_leftovers(history *h)
{
    leftover *first = h->leftovers;
    LL_DELETE(h->leftovers, first);
    LL_APPEND(h->leftovers, first);
}

/* What dead ones left and what is new take turns. False: nothing was sent. */
static bool send_leftover(history *h)
{
    bool is_its_turn = h->leftovers && !h->finished && h->was_own;
    h->was_own = !is_its_turn;
    sending what = is_its_turn ? send_from(h, h->leftovers->lines) : SENDING_FAILED;
    if (what == SENDING_NOTHING)
        end_leftover(h);
    else if (is_its_turn && what == SENDING_FAILED)
        turn_leftovers(h);
    return what != SENDING_FAILED;
}

/* Sends the next lines, if none are under way. */
static void history_pump(void *arg)
{
    history *h = arg;
    h->is_waiting = false;
    if (h->sent)
        return;
    if (!h->conn) {
        finish_if_asked(h);
        return;
    }
    if (send_leftover(h))
        return;
    if (h->finished)
        spool_flush(h->own);
    atomic_store(&h->is_awake, false); /* what is written from now on wakes it again */
    if (send_from(h, h->own) == SENDING_LINES)
        atomic_store(&h->is_awake, true);
    else if (h->finished)
        finish_if_asked(h);
    else
        send_leftover(h);
}

static void lines_came(void *arg)
{
    history *h = arg;
    if (!h->sent && !loop_timer_is_set(&h->gather))
        loop_timer_set(&h->gather, GATHER_MS);
}

/* ---- the whole ---- */

void history_set_conn(history *h, pg_conn *conn)
{
    h->conn = conn;
    months_set_conn(h->months, conn); /* before the first row, so that it finds its month */
    if (!conn)
        return;
    loop_timer_cancel(&h->gather);
    history_pump(h);
}

void history_finish(history *h, void (*done)(void *arg), void *arg)
{
    h->finished = done;
    h->finished_arg = arg;
    loop_timer_cancel(&h->gather);
    if (!h->is_waiting)
        history_pump(h);
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
    h->batch_max = BATCH_MAX;
    h->appended.fd = -1;
    h->lost_complaint.min_ms = h->failure_complaint.min_ms = h->unreadable_complaint.min_ms = COMPLAIN_PERIOD_MS;
    loop_timer_init(options->loop, &h->gather, history_pump, h);
    h->months = months_new(options->loop, options->log, options->retention_ms);
    int status = h->months ? adopt(h, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status && loop_waker_init(options->loop, &h->appended, lines_came, h))
        status = error_set_code(error, ASYNQ_E_SYSTEM);
    if (!status) {
        h->own = spool_open(options->spool, options->worker, options->spool_max, lines_written, h, error);
        status = h->own ? ASYNQ_OK : error->code;
    }
    if (!status && error->code)
        log_event(options->log, LOG_HISTORY_LOST, "there is no spool: %s", error->text);
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
    months_free(h->months);
    spool_close(h->own); /* its thread wakes us */
    loop_waker_clear(&h->appended);
    while (h->leftovers) {
        leftover *own = h->leftovers;
        h->leftovers = own->next;
        spool_close(own->lines);
        mem_free(own);
    }
    mem_free(h);
}

void history_get_stats(history *h, history_stats *stats)
{
    spool_get_stats(h->own, &stats->spool);
    stats->spool.lost[SPOOL_UNREADABLE] += atomic_load(&h->leftover_unreadable);
    stats->written = atomic_load(&h->written);
    stats->refused = atomic_load(&h->refused);
}
