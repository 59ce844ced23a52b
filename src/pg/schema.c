/* See schema.h. */
#include "pg/schema.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/terminal.h"
#include "pg/pg_conn.h"
#include "pg/pg_link.h"
#include "pg/schema_name.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 64 }; /* of PostgreSQL's names, as it is built everywhere */

/*
 * Each step begins so. The lock is any number, as long as it is always the same one; it ends with the transaction, as
 * behind a pooler the next statement may come to another session. It is waited for as long as another one migrates, but
 * a table is not: whoever needs it would have to wait behind us.
 */
static const char begin_sql[] =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SELECT set_config('client_min_messages', 'warning', true), set_config('statement_timeout', '0', true), "
    "set_config('lock_timeout', '0', true), " PG_NEUTRAL_SQL(
        "true") "; "
                "SELECT pg_advisory_xact_lock(7094612300); SELECT set_config('lock_timeout', '60s', true)";

/* The schema of tables that an older asynqd, which knew of no postgres.schema, made wherever search_path led: ours, or
 * another. */
static const char adopted_sql[] =
    "SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.oid = coalesce(to_regclass('asynqd.asynqd_schema'), to_regclass('asynqd_schema'))";

static const char adopt_sql[] =
    "DO $$ DECLARE old CONSTANT text := (SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n "
    "ON n.oid = c.relnamespace WHERE c.oid = coalesce(to_regclass('asynqd.asynqd_schema'), "
    "to_regclass('asynqd_schema'))); one text; BEGIN "
    "IF to_regclass('asynqd.asynqd_schema') IS NULL THEN "
    "FOREACH one IN ARRAY ARRAY['TABLE %I.jobs', 'TABLE %I.executions', 'TABLE %I.asynqd_workers', "
    "'TABLE %I.asynqd_schema', 'FUNCTION %I.asynqd_job_changes()', 'FUNCTION %I.asynqd_jobs_changed()'] LOOP "
    "EXECUTE format('ALTER ' || one || ' SET SCHEMA %I', old, current_setting('asynq.schema')); END LOOP; END IF; "
    "ALTER TABLE asynqd.asynqd_schema RENAME TO migrations; "
    "ALTER TABLE asynqd.asynqd_workers RENAME TO workers; "
    "ALTER FUNCTION asynqd.asynqd_job_changes() RENAME TO job_changes; "
    "ALTER FUNCTION asynqd.asynqd_jobs_changed() RENAME TO jobs_changed; END $$";

static const char make_sql[] = "CREATE TABLE asynqd.migrations (version integer PRIMARY KEY, name text NOT NULL, "
                               "applied_at timestamptz NOT NULL DEFAULT now())";

int pg_schema_wanted(void)
{
    int version = 0;
    for (const pg_migration *one = pg_migrations; one->version; one++)
        version = one->version;
    return version;
}

typedef struct migration {
    PGconn *link;
    const char *schema;
    FILE *out;
} migration;

/* The result has to be cleared. */
static PGresult *execute(migration *m, const char *sql)
{
    char *text = schema_name_put(m->schema, sql);
    PGresult *result = text ? PQexec(m->link, text) : NULL;
    mem_free(text);
    return result;
}

static int schema_run(migration *m, const char *sql, asynq_error *error)
{
    PGresult *result = execute(m, sql);
    ExecStatusType what = PQresultStatus(result);
    PQclear(result);
    if (what == PGRES_COMMAND_OK || what == PGRES_TUPLES_OK)
        return ASYNQ_OK;
    return pg_error(error, ASYNQ_E_SYSTEM, PQerrorMessage(m->link));
}

/* The first value of a query; "" if there is none. */
static int schema_ask(migration *m, const char *sql, char *value, size_t size, asynq_error *error)
{
    PGresult *result = execute(m, sql);
    int status = ASYNQ_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        snprintf(value, size, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    else
        status = pg_error(error, ASYNQ_E_SYSTEM, PQerrorMessage(m->link));
    PQclear(result);
    return status;
}

/* ---- the schema ---- */

static int make_schema(migration *m, asynq_error *error)
{
    char text[sizeof error->text];
    char sql[128];
    snprintf(sql, sizeof sql, "CREATE SCHEMA \"%s\"", m->schema);
    if (!schema_run(m, sql, error)) {
        (void)terminal_line(m->out, "", "made the schema %s", m->schema);
        return ASYNQ_OK;
    }
    snprintf(text, sizeof text, "%s", error->text);
    return error_set(error, ASYNQ_E_SYSTEM, "%.120s; who may can do so: CREATE SCHEMA %s AUTHORIZATION \"%.40s\"", text,
                     m->schema, PQuser(m->link));
}

static int adopt_tables(migration *m, const char *from, asynq_error *error)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT set_config('asynq.schema', '%s', true)", m->schema);
    int status = schema_run(m, sql, error);
    if (!status)
        status = schema_run(m, adopt_sql, error);
    if (!status)
        (void)terminal_line(m->out, "", "the tables of an older asynqd in the schema %s are those of asynqd now", from);
    return status;
}

/*
 * Whether old tables there are those of the fleet that wants this schema. A schema of one's own is for those who share
 * the database with others, so what is elsewhere may be theirs.
 */
static bool schema_is_ours(const migration *m, const char *old_schema)
{
    return strcmp(m->schema, SCHEMA_NAME_DEFAULT) == 0 || strcmp(m->schema, old_schema) == 0;
}

/* The schema with the list of steps that have been carried out. */
static int prepare(migration *m, asynq_error *error)
{
    char found[NAME_SIZE];
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT to_regnamespace('\"%s\"')", m->schema);
    int status = schema_ask(m, sql, found, sizeof found, error);
    if (!status && !*found)
        status = make_schema(m, error);
    if (!status)
        status = schema_ask(m, "SELECT to_regclass('asynqd.migrations')", found, sizeof found, error);
    if (status || *found)
        return status;
    status = schema_ask(m, adopted_sql, found, sizeof found, error);
    if (status)
        return status;
    if (*found && schema_is_ours(m, found))
        return adopt_tables(m, found, error);
    if (*found)
        (void)terminal_line(
            m->out, "",
            "the tables of an older asynqd in the schema %s stay there, as they may be another fleet's; those of "
            "the schema " SCHEMA_NAME_DEFAULT " would be made of them",
            found);
    return schema_run(m, make_sql, error);
}

/* ---- steps ---- */

static int read_version(migration *m, int *version, asynq_error *error)
{
    char text[16];
    int status = schema_ask(m, "SELECT coalesce(max(version), 0) FROM asynqd.migrations", text, sizeof text, error);
    *version = status ? 0 : atoi(text);
    if (*version > pg_schema_wanted())
        status = error_set(error, ASYNQ_E_CONFLICT, "the tables have version %d, this asynqd knows %d; use a newer one",
                           *version, pg_schema_wanted());
    return status;
}

static int note_version(migration *m, const pg_migration *step, asynq_error *error)
{
    char sql[256];
    snprintf(sql, sizeof sql, "INSERT INTO asynqd.migrations (version, name) VALUES (%d, '%s')", step->version,
             step->name);
    return schema_run(m, sql, error);
}

/* What is missing behind `version`; NULL: nothing is. */
static const pg_migration *step_behind(int version)
{
    const pg_migration *step = pg_migrations;
    while (step->version && step->version <= version)
        step++;
    return step->version ? step : NULL;
}

/* In a transaction that has the lock. */
static int carry_out_next(migration *m, bool *is_more, asynq_error *error)
{
    int version = 0;
    int status = prepare(m, error);
    if (!status)
        status = read_version(m, &version, error);
    const pg_migration *step = status ? NULL : step_behind(version);
    *is_more = step != NULL;
    if (!step)
        return status;
    status = schema_run(m, step->text, error);
    if (!status)
        status = note_version(m, step, error);
    if (!status)
        (void)terminal_line(m->out, "", "%04d %s", step->version, step->name);
    return status;
}

static int schema_migrate(migration *m, asynq_error *error)
{
    asynq_error ignored;
    bool is_more = true;
    int status = ASYNQ_OK;
    while (!status && is_more) {
        status = schema_run(m, begin_sql, error);
        if (!status)
            status = carry_out_next(m, &is_more, error);
        if (!status)
            status = schema_run(m, "COMMIT", error);
        if (status && schema_run(m, "ROLLBACK", &ignored))
            PQreset(m->link); /* whatever was begun is gone */
    }
    if (!status)
        fprintf(m->out, "the tables have version %d\n", pg_schema_wanted());
    return status;
}

int pg_schema_migrate(const char *conninfo, const char *password, const char *schema, FILE *out, asynq_error *error)
{
    migration m = {pg_connect(conninfo, password, error), schema, out};
    if (!m.link)
        return error->code;
    int status = schema_migrate(&m, error);
    fflush(out);
    PQfinish(m.link);
    return status;
}
