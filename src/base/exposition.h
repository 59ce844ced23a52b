/* The text format of Prometheus, as far as writing it goes. */
#ifndef BASE_EXPOSITION_H
#define BASE_EXPOSITION_H

#include "base/buf.h"

/* "# HELP name help" and "# TYPE name type". */
void exposition_append_family(buf *out, const char *name, const char *type, const char *help);
/* name="value", escaped. */
void exposition_append_label(buf *out, const char *name, const char *value);

#endif
