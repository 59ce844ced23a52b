/* The tables of asynqd in PostgreSQL, as migrations, sql/NNNN-name.sql, that are carried out once, in their order. */
#ifndef PG_SCHEMA_H
#define PG_SCHEMA_H

#include <asynq/error.h>
#include <stdio.h>

typedef struct pg_migration {
    int version;
    const char *name;
    const char *text; /* SQL */
} pg_migration;

/* Ends with a version of 0. */
extern const pg_migration pg_migrations[];

/* The version that this asynqd needs. */
int pg_schema_wanted(void);

/*
 * Brings the tables up to that version, each step in a transaction of its own, and says on `out` what it does. `schema`
 * is a good name (schema_name.h). Several may run at once: one does the work, the others wait. Returns 0,
 * ASYNQ_E_UNAVAILABLE (no connection), ASYNQ_E_CONFLICT (the tables are of a newer asynqd) or ASYNQ_E_SYSTEM
 * (PostgreSQL refused a step). Blocks.
 */
ASYNQ_MUST_CHECK int pg_schema_migrate(const char *conninfo, const char *password, const char *schema, FILE *out,
                                       asynq_error *error);

#endif
