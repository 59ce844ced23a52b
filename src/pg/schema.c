/* See schema.h. */
#include "pg/schema.h"

#include "base/error.h"
#include "pg/pg_conn.h"

#include <stdlib.h>

/* Any number, as long as it is always the same one. */
#define LOCK "pg_advisory_lock(7094612300)"
#define UNLOCK "pg_advisory_unlock(7094612300)"

int pg_schema_wanted(void)
{
    int version = 0;
    for (const pg_migration *one = pg_migrations; one->version; one++)
        version = one->version;
    return version;
}

static int run(PGconn *link, const char *sql, asynq_error *error)
{
    PGresult *result = PQexec(link, sql);
    ExecStatusType what = PQresultStatus(result);
    PQclear(result);
    if (what == PGRES_COMMAND_OK || what == PGRES_TUPLES_OK)
        return ASYNQ_OK;
    return pg_error(error, ASYNQ_E_SYSTEM, PQerrorMessage(link));
}

static int read_version(PGconn *link, int *version, asynq_error *error)
{
    PGresult *result = PQexec(link, "SELECT coalesce(max(version), 0) FROM asynqd_schema");
    int status = ASYNQ_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        *version = atoi(PQgetvalue(result, 0, 0));
    else
        status = pg_error(error, ASYNQ_E_SYSTEM, PQerrorMessage(link));
    PQclear(result);
    return status;
}

static int note_version(PGconn *link, const pg_migration *step, asynq_error *error)
{
    char number[16];
    snprintf(number, sizeof number, "%d", step->version);
    PGresult *result = PQexecParams(link, "INSERT INTO asynqd_schema (version, name) VALUES ($1::integer, $2)", 2, NULL,
                                    (const char *const[]){number, step->name}, NULL, NULL, 0);
    bool is_done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return is_done ? ASYNQ_OK : pg_error(error, ASYNQ_E_SYSTEM, PQerrorMessage(link));
}

static int carry_out(PGconn *link, const pg_migration *step, asynq_error *error)
{
    asynq_error ignored;
    int status = run(link, "BEGIN", error);
    if (!status)
        status = run(link, step->text, error);
    if (!status)
        status = note_version(link, step, error);
    if (!status)
        status = run(link, "COMMIT", error);
    if (status && run(link, "ROLLBACK", &ignored))
        PQreset(link); /* whatever was begun is gone */
    return status;
}

static int migrate(PGconn *link, FILE *out, asynq_error *error)
{
    int version = 0;
    int status = run(link,
                     "CREATE TABLE IF NOT EXISTS asynqd_schema (version integer PRIMARY KEY, name text NOT NULL, "
                     "applied_at timestamptz NOT NULL DEFAULT now())",
                     error);
    if (!status)
        status = read_version(link, &version, error);
    if (!status && version > pg_schema_wanted())
        status = error_set(error, ASYNQ_E_CONFLICT, "the tables have version %d, this asynqd knows %d; use a newer one",
                           version, pg_schema_wanted());
    for (const pg_migration *step = pg_migrations; !status && step->version; step++) {
        if (step->version <= version)
            continue;
        fprintf(out, "%04d %s\n", step->version, step->name);
        status = carry_out(link, step, error);
    }
    if (!status)
        fprintf(out, "the tables have version %d\n", pg_schema_wanted());
    return status;
}

int pg_schema_migrate(const char *conninfo, const char *password, FILE *out, asynq_error *error)
{
    PGconn *link = pg_connect(conninfo, password, error);
    if (!link)
        return error->code;
    asynq_error ignored;
    int status = run(link, "SET client_min_messages = warning", error);
    if (!status)
        status = run(link, "SELECT " LOCK, error);
    if (!status)
        status = migrate(link, out, error);
    if (run(link, "SELECT " UNLOCK, &ignored))
        fflush(out); /* the lock ends with the session */
    PQfinish(link);
    return status;
}
