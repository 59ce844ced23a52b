/*
 * Texts with placeholders, filled from a task:
 *
 *   {{payload}}            the whole payload
 *   {{payload.user.name}}  a value in a payload that is JSON; lists by number: {{payload.items.0}}
 *   {{task.id}} {{task.type}} {{task.queue}} {{task.retried}} {{task.max_retry}} {{task.deadline}} (RFC 3339)
 *   {{header.NAME}}        a header of the task
 *
 * What is filled in is escaped for the place where it stands, so that no value can become more than a value: percent
 * signs in URLs and forms, JSON's rules in JSON. A value that is not there is a mistake of the task, unless the
 * placeholder ends with '?': {{payload.note?}}.
 */
#ifndef HANDLER_TEMPLATE_H
#define HANDLER_TEMPLATE_H

#include "base/buf.h"
#include "base/json_index.h"

#include <asynq/server.h>

typedef enum template_place {
    TEMPLATE_TEXT,   /* as it is */
    TEMPLATE_URL,    /* percent-encoded but for unreserved characters; at the beginning as it is */
    TEMPLATE_FORM,   /* percent-encoded in any case */
    TEMPLATE_HEADER, /* as it is; control characters are refused */
    TEMPLATE_JSON    /* inside of quotes the text, else a JSON value */
} template_place;

typedef struct template template;

/* Parses `text`. Returns 0, ASYNQ_E_INVALID with what is wrong in it, or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int template_new(template **made, const char *text, template_place place, asynq_error *error);
/* Accepts NULL. */
void template_free(template *t);

/* True if it has a placeholder. */
bool template_is_variable(const template *t);
/* True if it begins with one. */
bool template_begins_variable(const template *t);

/* False: whatever values the placeholders have, the text is no JSON. Or it is out of memory. */
bool template_may_be_json(const template *t);

/* What placeholders look into. */
typedef struct template_values {
    const asynq_job *job;
    bool is_looked_at, is_json; /* the payload; it is looked at when it is first asked for */
    json_index index;           /* of it */
} template_values;
void template_values_clear(template_values *values);

/* Appends the filled text. Returns 0, ASYNQ_E_INVALID (a value is missing or not allowed), or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int template_fill(const template *t, template_values *values, buf *out, asynq_error *error);

#endif
