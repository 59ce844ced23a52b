/*
 * What evhttp answers by itself, to requests that it cannot read for example, is a page in HTML. It becomes the JSON
 * that the endpoints answer: {"error": "..."}. Thread: that of the loop.
 */
#ifndef METRICS_ERROR_PAGE_H
#define METRICS_ERROR_PAGE_H

#include "metrics/linger.h"

#include <stdbool.h>
#include <stdint.h>

struct bufferevent;

typedef struct error_pages {
    int64_t max_body; /* that the server takes */
    bool is_ours;     /* what is being sent now is no page of evhttp's */
    linger_set ends;  /* of connections that were refused */
    struct error_pages *prev, *next;
} error_pages;

/* There is one of each loop. */
void error_pages_init(error_pages *pages, loop *owner, int64_t max_body);
void error_pages_clear(error_pages *pages);
/* From now on what is sent over this connection of the loop. */
void error_pages_watch(struct bufferevent *connection);

#endif
