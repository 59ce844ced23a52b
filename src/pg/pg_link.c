/* See pg_link.h. */
#include "pg/pg_link.h"

#include "base/error.h"

#include <string.h>

int pg_error(asynq_error *error, int code, const char *text)
{
    error_set(error, code, "%.*s", (int)strcspn(text, "\n"), text);
    return code;
}

/*
 * The session's name, how long a silent peer is waited for, and a server that can be written to: what the text says is
 * stronger. The encoding is ours, whatever the environment or the database would have it.
 */
static PGconn *start_link(const char *conninfo, const char *password, const pg_addresses *at,
                          PGconn *start(const char *const *keywords, const char *const *values, int expand_dbname))
{
    const char *const options[][2] = {
        {"fallback_application_name", "asynqd"},
        {"keepalives_idle", "15"},
        {"tcp_user_timeout", "20000"},
        {"target_session_attrs", "read-write"},
        {"dbname", conninfo},
        {"client_encoding", "UTF8"},
        {"password", password},
        {"host", at->hosts},
        {"hostaddr", at->addresses},
        {"port", at->ports},
    };
    enum { COUNT = sizeof options / sizeof *options };
    const char *keywords[COUNT + 1], *values[COUNT + 1];
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        keywords[count] = options[i][0];
        values[count] = options[i][1];
        count += options[i][1] != NULL;
    }
    keywords[count] = values[count] = NULL;
    return start(keywords, values, 1);
}

/* libpq quotes what it cannot read, which may be or have a password. Names of options and single characters stay. */
static void cut_quoted(char *text)
{
    if (strncmp(text, "invalid connection option", 25) == 0)
        return;
    for (char *at = text; (at = strstr(at, " \"")); at++) {
        bool is_character = at[2] && at[3] == '"';
        if (!is_character) {
            strcpy(at, at[2] ? " ..." : "");
            return;
        }
    }
}

int pg_conninfo_check(const char *conninfo, asynq_error *error)
{
    char *text = NULL;
    PQconninfoOption *read = PQconninfoParse(conninfo, &text);
    if (text)
        cut_quoted(text);
    int status = read ? ASYNQ_OK : pg_error(error, ASYNQ_E_INVALID, text ? text : "out of memory");
    PQconninfoFree(read);
    PQfreemem(text);
    return status;
}

PGconn *pg_link_begin(const char *conninfo, const char *password, const pg_addresses *at)
{
    return start_link(conninfo, password, at, PQconnectStartParams);
}

PGconn *pg_connect(const char *conninfo, const char *password, asynq_error *error)
{
    PGconn *link = start_link(conninfo, password, &(pg_addresses){0}, PQconnectdbParams);
    if (link && PQstatus(link) == CONNECTION_OK)
        return link;
    pg_error(error, ASYNQ_E_UNAVAILABLE, link ? PQerrorMessage(link) : "out of memory");
    PQfinish(link);
    return NULL;
}
