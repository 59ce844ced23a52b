/*
 * The schema of asynqd's tables. All SQL here names them asynqd.jobs and so on; for another schema that is put in its
 * place before a statement is sent.
 */
#ifndef PG_SCHEMA_NAME_H
#define PG_SCHEMA_NAME_H

#define SCHEMA_NAME_DEFAULT "asynqd"

/*
 * Small letters, digits and underscores, no digit first, at most 48: what never needs an escape anywhere in SQL; and
 * none of PostgreSQL's own. NULL: it is good; otherwise the end of a sentence.
 */
const char *schema_name_problem(const char *name);

/* The statement for this schema, to be freed with mem_free(). NULL: out of memory. */
char *schema_name_put(const char *schema, const char *sql);

#endif
