/*
 * libcurl on the loop: its sockets and its timer, transfers that are told when they have ended, and easy handles, which
 * are kept to be used again. Thread: that of the loop.
 */
#ifndef HTTP_HTTP_MULTI_H
#define HTTP_HTTP_MULTI_H

#include "event/timer.h"

#include <curl/curl.h>

enum { HTTP_SPARE_MAX = 256 };

/* Never called from inside of libcurl. */
typedef struct http_multi_events {
    void (*turn)(void *arg); /* before what has ended is told, and as http_multi_look_later() asks for */
    void (*ended)(void *arg, CURL *easy, CURLcode result);
    void *arg;
} http_multi_events;

typedef struct http_multi {
    loop *loop;
    CURLM *multi;
    http_multi_events events;
    loop_timer timer;
    loop_deferred look;
    bool will_look;
    CURL *spare[HTTP_SPARE_MAX];
    size_t spare_count;
} http_multi;

/* False: out of memory. */
bool http_multi_init(http_multi *m, loop *l, const http_multi_events *events);
/* All transfers must be over. */
void http_multi_clear(http_multi *m);

/* Begins a transfer. False: out of memory. */
bool http_multi_add(http_multi *m, CURL *easy);
/* It has ended, or is not to go on. */
void http_multi_remove(http_multi *m, CURL *easy);
/* Soon, and not from inside of libcurl, which may have called us. */
void http_multi_look_later(http_multi *m);

/* See http_client_take_easy(). */
CURL *http_multi_take_easy(http_multi *m);
void http_multi_give_back_easy(http_multi *m, CURL *easy);

#endif
