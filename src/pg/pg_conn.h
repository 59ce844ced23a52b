/*
 * A connection with PostgreSQL on a loop: libpq without blocking, in its pipeline mode, so that statements need not
 * wait for each other's answers. It comes back by itself when it is lost. Names of hosts are looked up beside it
 * (pg_hosts.h).
 *
 *   resting --connect_now()--> connecting --> ready --lose()--> resting
 *
 * Thread: that of the loop.
 */
#ifndef PG_PG_CONN_H
#define PG_PG_CONN_H

#include "base/log.h"
#include "event/loop.h"

#include <asynq/error.h>
#include <libpq-fe.h>

typedef struct pg_conn pg_conn;

typedef struct pg_conn_options {
    loop *loop;
    log_sink *log;
    const char *conninfo;     /* as libpq takes it: "postgresql://user@host/db", "host=... dbname=..."; borrowed */
    const char *password;     /* instead of one in it; may be NULL; borrowed */
    const char *schema;       /* of the tables; borrowed. NULL: asynqd */
    const char *purpose;      /* what log lines call it: " (jobs)"; NULL: nothing */
    void (*ready)(void *arg); /* connected; statements can be sent */
    void (*down)(void *arg);  /* it was ready, and is not any more */
    void (*notified)(void *arg, const char *channel); /* NOTIFY; NULL: of no interest */
    void *arg;
} pg_conn_options;

/*
 * What came of a statement. `result` is NULL if the connection was lost: it may have been carried out. Called once,
 * never from inside pg_conn_query(). The result belongs to the connection. `error` is NULL if all went well.
 */
typedef void (*pg_result_cb)(void *arg, const PGresult *result, const asynq_error *error);

/*
 * Calls of set_config() that make texts, times and comparisons mean what they mean by default, whatever the role or the
 * database has set. `is_local`: "true" for this transaction only, "false".
 */
#define PG_NEUTRAL_SQL(is_local)                                                                                       \
    "set_config('timezone', 'UTC', " is_local "), set_config('datestyle', 'ISO, MDY', " is_local "), "                 \
    "set_config('intervalstyle', 'postgres', " is_local "), set_config('quote_all_identifiers', 'off', " is_local      \
    "), "                                                                                                              \
    "set_config('standard_conforming_strings', 'on', " is_local "), "                                                  \
    "set_config('transform_null_equals', 'off', " is_local ")"

/* Begins to connect. NULL: out of memory. */
pg_conn *pg_conn_new(const pg_conn_options *options);
/* Statements under way get their callback with a lost connection. Accepts NULL. */
void pg_conn_free(pg_conn *conn);

bool pg_conn_is_ready(const pg_conn *conn);

/*
 * Sends one statement, which is a transaction of its own. `values` are texts ($1, ...), NULL for SQL's null. Returns 0,
 * ASYNQ_E_UNAVAILABLE if it is not ready, or ASYNQ_E_NO_MEMORY; then `cb` is never called. `cb` may be NULL.
 */
ASYNQ_MUST_CHECK int pg_conn_query(pg_conn *conn, const char *sql, int count, const char *const *values,
                                   pg_result_cb cb, void *arg);

enum { PG_INTERVAL_SIZE = 48 };
/*
 * A duration above 0 as text for PostgreSQL, at most 1,000 years: its times do not go further back than 6,700. No
 * number in it has more than 31 bits, which is all that PostgreSQL takes before version 15.
 */
void pg_interval(int64_t ms, char text[PG_INTERVAL_SIZE]);

/* True if the statement failed with this SQLSTATE, or one that begins so. */
bool pg_result_has_state(const PGresult *result, const char *state);
/* True if PostgreSQL refused a value of the statement (SQLSTATE 22 or 23), as it would do again. */
bool pg_result_is_refused(const PGresult *result);
/*
 * True if a row had no partition, or that of another one while its own was being made: the SQLSTATE of a check, but no
 * check has a name. It has one soon.
 */
bool pg_result_lacks_partition(const PGresult *result);

#endif
