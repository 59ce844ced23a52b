/*
 * Transfers on the loop, by libcurl: thousands at once from one thread. Connections are kept and shared; HTTP/2 carries
 * many transfers on one. So that a burst shares them, too, the first transfer to a host that may have HTTP/2 goes alone
 * until it is connected, has ended, or half a second has gone.
 */
#ifndef HTTP_HTTP_CLIENT_H
#define HTTP_HTTP_CLIENT_H

#include "base/log.h"
#include "event/errands.h"
#include "handler/admission.h"

#include <curl/curl.h>

typedef struct http_client http_client;
typedef struct http_transfer http_transfer;
struct http_host;

/* Embedded in its owner. */
struct http_transfer {
    CURL *easy;
    bool (*begin)(void *arg);                 /* its turn has come; false: it is not to run any more */
    void (*done)(void *arg, CURLcode result); /* once, unless it is stopped before */
    void *arg;

    /* The client's. */
    http_client *client;
    struct http_host *host;
    http_transfer *prev, *next; /* in the host's waiting list */
    int64_t max;                /* that run to the same host */
    bool may_share;             /* a connection with others; set before the start */
    bool is_running, is_looking_up, has_failed_lookup, is_elsewhere /* not its host's name */, is_probe, is_connected;
};

/* `thread` may be NULL, see http_trust_new(). NULL: out of memory. */
http_client *http_client_new(loop *l, log_sink *log, errands *thread);
/* All transfers must be over. Accepts NULL. */
void http_client_free(http_client *client);

/*
 * An easy handle with nothing set. NULL: out of memory. CURLOPT_BUFFERSIZE must stay as it is: after a transfer that
 * failed before it had a connection, libcurl 7.88 keeps the old buffer and refuses the option, so that it then writes
 * beyond a smaller buffer.
 */
CURL *http_client_take_easy(http_client *client);
void http_client_give_back_easy(http_client *client, CURL *easy);

/* It trusts whom the system trusts; see http_trust_apply(). */
bool http_client_trust_system(http_client *client, CURL *easy);

/*
 * Starts the transfer, or has it wait until fewer than `most` (0: no limit) run to the same host ("host:port"). `easy`,
 * `begin`, `done` and `arg` are set. False: out of memory, or it was not to run.
 */
bool http_transfer_start(http_client *client, http_transfer *transfer, const char *host, int64_t max);
/*
 * How long a task should be postponed whose host has enough that wait for it, so that those that are postponed come
 * back one after the other, at the pace of the host; or whose name cannot be looked up, as many others are. 0: not at
 * all.
 */
int64_t http_client_postpone_ms(http_client *client, const char *host, int64_t max);
/*
 * libcurl is about to look up a name: the host's, or that of a redirect. False: as many as may be are looked up, and it
 * must not. Called from inside of libcurl.
 */
bool http_transfer_may_look_up(http_transfer *transfer);
/* The name is known, and whatever libcurl does next is something else. Called from inside of libcurl. */
void http_transfer_found_name(http_transfer *transfer);
/* It has a connection to its host. Called from inside of libcurl. */
void http_transfer_connected(http_transfer *transfer);
/* No effect if it is not under way. */
void http_transfer_stop(http_transfer *transfer);

/*
 * The tasks for one host, of which `max` run at the same time: what a route takes up that has no other. NULL: out of
 * memory; else http_client_leave() follows, when no server uses it any more.
 */
asynq_capacity *http_client_join(http_client *client, const char *host, int64_t max);
void http_client_leave(http_client *client, const char *host, int64_t max);

/* For metrics: transfers under way, and those that wait. */
size_t http_client_running(const http_client *client);
size_t http_client_waiting(const http_client *client);

#endif
