/* See schema_name.h. */
#include "pg/schema_name.h"

#include "base/buf.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz_"
#define PREFIX SCHEMA_NAME_DEFAULT "."

enum { MAX_NAME = 48 };

bool schema_name_is_good(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= MAX_NAME && strchr(LETTERS, *name) && strspn(name, LETTERS "0123456789") == length;
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
