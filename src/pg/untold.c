/* See untold.h. */
#include "pg/untold.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/container.h"
#include "event/errands.h"
#include "event/timer.h"
#include "pg/untold_end.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ROWS = 100,      /* at a time; as in the statement */
    FIRST_LOOK_MS = 500, /* those that this asynqd finds at its start have their outcome by then */
    LOOK_MS = 10000,
    NEXT_ROWS_MS = 200,
    REDIS_TIMEOUT_MS = 2000,
    COMPLAIN_PERIOD_MS = 600000
};

/* Columns of rows_sql. */
enum { ROW_ID, ROW_STARTED_AT, ROW_STARTED_AT_MS, ROW_TASK, ROW_QUEUE, ROW_NUMBER, ROW_NEXT, ROW_COLUMNS };

typedef struct untold_row {
    const char *id, *started_at; /* the key, as PostgreSQL writes it */
    const char *task, *queue;
    untold_attempt attempt;
} untold_row;

struct untold {
    untold_options options;
    pg_conn *conn;   /* NULL: not now */
    loop_timer look; /* the next rows */
    char after[40];  /* the id of the last row that was looked at */
    bool is_busy;    /* something is under way */

    /* An errand's while one is under way. */
    errands *thread; /* made when there is something to ask */
    errand ask;
    asynq_inspector *inspector;
    arena memory; /* of the rows */
    untold_row rows[MAX_ROWS];
    int count;
    json_t *known;
    asynq_error error;
    _Atomic bool is_ending;
    log_limit complaint;
};

#define NO_ID "00000000-0000-0000-0000-000000000000"

/*
 * $1: this asynqd; the first of those that are there does it. $2: behind this one. Not those of which nothing more will
 * be known, which have another error_class, or are older; what becomes of a task takes at most as long as its lease,
 * and as somebody is away who could tell.
 */
static const char rows_sql[] =
    "SELECT e.id, e.started_at, (extract(epoch FROM e.started_at) * 1000)::bigint, e.task_id, e.queue, e.attempt, "
    "coalesce((SELECT next.attempt FROM asynqd.executions AS next WHERE next.task_id = e.task_id "
    "AND next.queue = e.queue AND next.started_at > e.started_at ORDER BY next.started_at LIMIT 1), 0) "
    "FROM asynqd.executions AS e WHERE e.outcome = 'unknown' AND e.error_class = 'instance' "
    "AND e.finished_at > now() - interval '2 days' AND e.id > $2::uuid "
    "AND $1 = (SELECT min(id) FROM asynqd.instances WHERE last_seen_at > now() - interval '30 seconds') "
    "ORDER BY e.id LIMIT 100";

/* Who ran it may tell more later, and knows better: a row without a duration is one that was completed here. */
static const char known_sql[] =
    "WITH known AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, started_at timestamptz, outcome text, "
    "error_class text, error text, finished_at bigint)), "
    "mine AS (SELECT e.id, e.started_at FROM asynqd.executions AS e JOIN known USING (id, started_at) "
    "WHERE e.outcome = 'unknown' ORDER BY e.id FOR UPDATE OF e) "
    "UPDATE asynqd.executions AS e SET outcome = known.outcome, error_class = known.error_class, error = known.error, "
    "finished_at = CASE WHEN known.finished_at > 0 THEN greatest(e.started_at, to_timestamp(known.finished_at / "
    "1000.0)) "
    "ELSE e.finished_at END FROM known JOIN mine USING (id, started_at) "
    "WHERE e.id = known.id AND e.started_at = known.started_at";

static void untold_report(untold *e, const char *what, const asynq_error *error)
{
    if (error->code != ASYNQ_E_CLOSED)
        log_event_repeated(e->options.log, &e->complaint, LOG_HISTORY_INCOMPLETE, "%s: %s", what, error->text);
}

static void untold_rest(untold *e, int64_t ms)
{
    e->is_busy = false;
    if (e->conn)
        loop_timer_set(&e->look, ms);
}

/* From the beginning again, if these were the last. */
static void untold_next(untold *e)
{
    bool has_more = e->count == MAX_ROWS;
    strcpy(e->after, has_more ? e->rows[e->count - 1].id : NO_ID);
    untold_rest(e, has_more ? NEXT_ROWS_MS : LOOK_MS);
}

/* ---- what Redis says ---- */

static void add_known(json_t *known, const untold_row *row, const untold_end *end)
{
    if (end->outcome)
        json_array_append_new(known, json_pack("{ss ss ss ss* ss* sI}", "id", row->id, "started_at", row->started_at,
                                               "outcome", end->outcome, "error_class", end->error_class, "error",
                                               end->error, "finished_at", (json_int_t)end->finished_at_ms));
}

static int ask_for(untold *e, const untold_row *row)
{
    asynq_task_list list = {0};
    int status = asynq_inspector_task(e->inspector, row->queue, row->task, &list, &e->error);
    bool is_there = !status && list.count;
    if (is_there || status == ASYNQ_E_TASK_NOT_FOUND || status == ASYNQ_E_QUEUE_NOT_FOUND) {
        untold_end end = untold_end_of(&row->attempt, is_there ? &list.tasks[0] : NULL);
        add_known(e->known, row, &end);
        status = ASYNQ_OK;
    } else if (status == ASYNQ_E_MALFORMED || status == ASYNQ_E_INVALID || status == ASYNQ_E_REDIS) {
        status = ASYNQ_OK; /* of this task only */
    }
    asynq_task_list_free(&list);
    return status;
}

static void run_ask(errand *one)
{
    untold *e = container_of(one, untold, ask);
    int status = ASYNQ_OK;
    e->error = (asynq_error){0};
    if (!e->inspector)
        e->inspector = asynq_inspector_new(&(asynq_inspector_options){.redis = e->options.redis,
                                                                      .prefix = e->options.prefix,
                                                                      .timeout_ms = REDIS_TIMEOUT_MS},
                                           &e->error);
    for (int i = 0; e->inspector && !status && i < e->count && !e->is_ending; i++)
        status = ask_for(e, &e->rows[i]);
    if (!status && e->inspector)
        e->error.code = ASYNQ_OK;
}

static void rows_are_known(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    untold *e = arg;
    if (error)
        untold_report(e, "PostgreSQL", error);
    untold_next(e);
}

static void ask_done(errand *one)
{
    untold *e = container_of(one, untold, ask);
    char *text = json_array_size(e->known) ? json_dumps(e->known, JSON_COMPACT) : NULL;
    const char *const values[] = {text};
    json_decref(e->known);
    e->known = NULL;
    if (e->error.code)
        untold_report(e, "Redis", &e->error);
    if (!text || !e->conn || pg_conn_query(e->conn, known_sql, 1, values, rows_are_known, e))
        untold_next(e);
    free(text);
}

/* ---- rows ---- */

static bool take_row(untold *e, const PGresult *result, int i)
{
    const char *texts[ROW_COLUMNS];
    for (int k = 0; k < ROW_COLUMNS; k++) {
        texts[k] = arena_dup(&e->memory, PQgetvalue(result, i, k), (size_t)PQgetlength(result, i, k));
        if (!texts[k])
            return false;
    }
    e->rows[i] = (untold_row){
        .id = texts[ROW_ID],
        .started_at = texts[ROW_STARTED_AT],
        .task = texts[ROW_TASK],
        .queue = texts[ROW_QUEUE],
        .attempt = {.number = strtoll(texts[ROW_NUMBER], NULL, 10),
                    .started_at_ms = strtoll(texts[ROW_STARTED_AT_MS], NULL, 10),
                    .next = strtoll(texts[ROW_NEXT], NULL, 10)},
    };
    return strlen(e->rows[i].id) < sizeof e->after;
}

static bool take_rows(untold *e, const PGresult *result)
{
    arena_reset(&e->memory);
    e->count = 0;
    for (int i = 0; i < PQntuples(result) && i < MAX_ROWS; i++) {
        if (!take_row(e, result, i))
            return false;
        e->count++;
    }
    return true;
}

static bool ask_redis(untold *e)
{
    if (!e->thread)
        e->thread = errands_new(e->options.loop, &e->error);
    e->known = json_array();
    e->ask = (errand){.run = run_ask, .done = ask_done};
    return e->thread && e->known && errands_send(e->thread, &e->ask);
}

static void rows_came(void *arg, const PGresult *result, const asynq_error *error)
{
    untold *e = arg;
    if (error) {
        untold_report(e, "PostgreSQL", error);
        untold_rest(e, LOOK_MS);
        return;
    }
    bool is_fine = take_rows(e, result);
    if (is_fine && !e->count) {
        untold_next(e);
    } else if (!is_fine || !ask_redis(e)) {
        json_decref(e->known);
        e->known = NULL;
        untold_rest(e, LOOK_MS);
    }
}

static void look_for_rows(void *arg)
{
    untold *e = arg;
    const char *const values[] = {e->options.worker, e->after};
    if (!e->conn || e->is_busy)
        return;
    e->is_busy = true;
    if (pg_conn_query(e->conn, rows_sql, 2, values, rows_came, e))
        untold_rest(e, LOOK_MS);
}

/* ---- the whole ---- */

void untold_set_conn(untold *e, pg_conn *conn)
{
    e->conn = conn;
    if (!conn)
        loop_timer_cancel(&e->look);
    else if (!e->is_busy)
        loop_timer_set(&e->look, FIRST_LOOK_MS);
}

untold *untold_new(const untold_options *options)
{
    untold *e = mem_calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->options = *options;
    e->complaint.min_ms = COMPLAIN_PERIOD_MS;
    strcpy(e->after, NO_ID);
    arena_init(&e->memory, 0);
    loop_timer_init(options->loop, &e->look, look_for_rows, e);
    return e;
}

void untold_free(untold *e)
{
    if (!e)
        return;
    e->conn = NULL;
    e->is_ending = true;
    errands_free(e->thread);
    loop_timer_cancel(&e->look);
    asynq_inspector_free(e->inspector);
    arena_clear(&e->memory);
    mem_free(e);
}
