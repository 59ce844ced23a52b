/*
 * The months of the history: asynqd.executions is partitioned by the month in which an attempt began. Months are made
 * before they are needed, and dropped as a whole when they lie behind the retention, which costs PostgreSQL nearly
 * nothing. Rows whose month is not there go to executions_other: to their month as soon as it is made, or away if they
 * lie behind the retention. The work is done by functions of the schema (sql/0002-months.sql), every ten minutes.
 *
 * Thread: that of the loop.
 */
#ifndef PG_MONTHS_H
#define PG_MONTHS_H

#include "pg/pg_conn.h"

typedef struct months months;

/* `retention_ms` of rows; 0: for ever. NULL: out of memory. */
months *months_new(loop *l, log_sink *log, int64_t retention_ms);
/* Accepts NULL. */
void months_free(months *m);

/* The connection is ready, and has the tables: the months are made at once; or it is not any more (NULL). */
void months_set_conn(months *m, pg_conn *conn);

#endif
