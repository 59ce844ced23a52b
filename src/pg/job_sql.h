/* Expressions over a row of asynqd.jobs. */
#ifndef PG_JOB_SQL_H
#define PG_JOB_SQL_H

/* For one task alone, and not again and again. */
#define JOB_IS_SINGLE_SQL "(schedule = '@once' OR schedule LIKE '@at %')"

/* When its task is due, as a scheduler takes it. The same text wherever it is needed: jobs that are done are known by
 * it. */
#define JOB_SPEC_SQL                                                                                                   \
    "CASE WHEN schedule = '@once' THEN '@at ' || to_char(effective_at AT TIME ZONE 'UTC', "                            \
    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') ELSE schedule END"

#endif
