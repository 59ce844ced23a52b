/* See exposition.h. */
#include "base/exposition.h"

void exposition_append_family(buf *out, const char *name, const char *type, const char *help)
{
    buf_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_append_label(buf *out, const char *name, const char *value)
{
    buf_append_format(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_append_text(out, "\\n");
        else if (*value == '\\' || *value == '"')
            buf_append_format(out, "\\%c", *value);
        else
            buf_append(out, value, 1);
    }
    buf_append_text(out, "\"");
}
