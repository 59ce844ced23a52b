/*
 * How a connection with PostgreSQL is asked for: what libpq is told beside the connection string, and what it says when
 * it cannot read that. Thread: any.
 */
#ifndef PG_PG_LINK_H
#define PG_PG_LINK_H

#include "pg/pg_hosts.h"

#include <asynq/error.h>
#include <libpq-fe.h>

/* Whether libpq can read it. Returns 0 or ASYNQ_E_INVALID. */
ASYNQ_MUST_CHECK int pg_conninfo_check(const char *conninfo, asynq_error *error);

/*
 * Begins to connect, with these addresses instead of the hosts in the string. The link may be bad already; NULL: out of
 * memory. End with PQfinish().
 */
PGconn *pg_link_begin(const char *conninfo, const char *password, const pg_addresses *at);
/* Connects and waits, for commands. Returns NULL and fills `error`, without the password. End with PQfinish(). */
PGconn *pg_connect(const char *conninfo, const char *password, asynq_error *error);

/* What libpq says, as one line. */
int pg_error(asynq_error *error, int code, const char *text);

#endif
