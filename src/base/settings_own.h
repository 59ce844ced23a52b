/* What the parts of settings.h share. */
#ifndef BASE_SETTINGS_OWN_H
#define BASE_SETTINGS_OWN_H

#include "base/settings.h"

enum { SETTINGS_DEPTH_MAX = 16 };

struct settings {
    char *path;
    buf text; /* the nodes point into it */
    arena memory;
    struct fy_parser *parser;
    struct fy_diag *diagnosis;
    struct fy_document *document;
    setting_refs refs;
    bool takes_refs;
    settings_stored_cb stored;
    void *stored_arg;
    const char *keys[SETTINGS_DEPTH_MAX]; /* where we are */
    size_t depth;
    buf complaints;
    size_t complaint_count;
};

#endif
