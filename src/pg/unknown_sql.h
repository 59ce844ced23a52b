/*
 * Statements that give attempts the outcome "unknown", as those who could have told how they went are not there. All
 * lock in one order, so that none waits for another in a circle: rows of asynqd.instances, then attempts by their ids,
 * as they are inserted. Each has an expression `open` that names the attempts.
 */
#ifndef PG_UNKNOWN_SQL_H
#define PG_UNKNOWN_SQL_H

#define UNKNOWN_SET_SQL(why)                                                                                           \
    "UPDATE asynqd.executions AS e SET outcome = 'unknown', finished_at = now(), error_class = 'instance', "           \
    "error = 'the asynqd that ran it " why ", and did not tell how it went' "                                          \
    "FROM open WHERE e.id = open.id AND e.started_at = open.started_at"

/* $1: an instance that has ended; it is not known any more either. */
#define UNKNOWN_ENDED_SQL                                                                                              \
    "WITH gone AS (DELETE FROM asynqd.instances WHERE id = $1 RETURNING id), "                                         \
    "open AS (SELECT id, started_at FROM asynqd.executions WHERE instance = $1 AND finished_at IS NULL "               \
    "AND (SELECT count(*) FROM gone) >= 0 ORDER BY id FOR UPDATE) " UNKNOWN_SET_SQL("has ended")

#endif
