/* See schema_name.h. */
#include "pg/schema_name.h"

#include "base/buf.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz_"
#define PREFIX SCHEMA_NAME_DEFAULT "."

enum { MAX_NAME = 48 };

const char *schema_name_problem(const char *name)
{
    size_t length = strlen(name);
    if (!length || length > MAX_NAME || !strchr(LETTERS, *name) || strspn(name, LETTERS "0123456789") != length)
        return "is no name of a schema; it has small letters, digits and underscores, 48 at most";
    if (strncmp(name, "pg_", 3) == 0 || strcmp(name, "information_schema") == 0)
        return "is a schema of PostgreSQL's own, as all are that begin with \"pg_\", and \"information_schema\"";
    return NULL;
}

char *schema_name_put(const char *schema, const char *sql)
{
    buf text;
    buf_init(&text, 0);
    for (const char *at; (at = strstr(sql, PREFIX)); sql = at + strlen(PREFIX)) {
        buf_append(&text, sql, (size_t)(at - sql));
        buf_append_format(&text, "\"%s\".", schema);
    }
    buf_append_text(&text, sql);
    return buf_take(&text);
}
