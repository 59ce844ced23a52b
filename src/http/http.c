/* See http.h. */
#include "http/http.h"

#include "base/alloc.h"
#include "base/error.h"
#include "handler/route.h"

#include <errno.h>

static void exchange_free(http_exchange *exchange)
{
    http_transfer_stop(&exchange->transfer);
    if (exchange->transfer.easy)
        http_client_give_back_easy(exchange->client, exchange->transfer.easy);
    curl_slist_free_all(exchange->headers);
    buf_clear(&exchange->url);
    buf_clear(&exchange->filled);
    buf_clear(&exchange->result);
    buf_clear(&exchange->refusal);
    mem_free(exchange);
}

/* What ends the call frees it, so the exchange goes first; `fail` needs neither. */
static void fail(http_exchange *exchange, handler_failure failure, const char *error_class, const char *text)
{
    handler_call *call = exchange->call;
    exchange_free(exchange);
    handler_fail(call, failure, error_class, -1, "%s", text);
}

/* Its turn has come at the host. */
static bool transfer_begin(void *arg)
{
    http_exchange *exchange = arg;
    exchange->is_withdrawn = !handler_start(exchange->call);
    if (exchange->is_withdrawn)
        return false;
    http_request_limit(exchange);
    return true;
}

/* Where the host comes from the task, the client counts, and what is too much waits there. */
static bool http_has_room(const http_options *options)
{
    return options->max_connections_per_host && options->written_place;
}

static asynq_capacity *http_capacity(handler_host *host, const route *r)
{
    const http_options *own = r->options;
    return http_has_room(own) ? http_client_join(host->http, own->written_place, own->max_connections_per_host) : NULL;
}

static void http_release(handler_host *host, const route *r)
{
    const http_options *own = r->options;
    if (http_has_room(own))
        http_client_leave(host->http, own->written_place, own->max_connections_per_host);
}

static void transfer_done(void *arg, CURLcode result)
{
    http_exchange *exchange = arg;
    http_answer_decide(exchange, result);
    exchange_free(exchange);
}

static void http_cancel(handler_call *call)
{
    fail(call->work, HANDLER_RETRY, "cancelled", "cancelled");
}

/* A task that names its host is not to wait here, in a slot that others could use. It has not begun. */
static bool http_postpone(http_exchange *exchange)
{
    handler_call *call = exchange->call;
    int64_t max = exchange->options->max_connections_per_host;
    int64_t pause_ms = http_client_postpone_ms(exchange->client, exchange->host, max);
    if (!pause_ms)
        return false;
    int outcome = asynq_snooze(call->job, pause_ms,
                               "waits until fewer requests to %s, or look-ups of names, are under way", exchange->host);
    exchange_free(exchange);
    handler_end(call, outcome);
    return true;
}

static void http_begin(handler_call *call)
{
    asynq_error error;
    http_exchange *exchange = mem_calloc(1, sizeof *exchange);
    if (!exchange) {
        handler_requeue(call, "no memory for an HTTP request", ENOMEM);
        return;
    }
    exchange->call = call;
    exchange->client = call->host->http;
    exchange->options = call->route->options;
    exchange->transfer.begin = transfer_begin;
    exchange->transfer.done = transfer_done;
    exchange->transfer.arg = exchange;
    call->work = exchange;
    buf_init(&exchange->url, 0);
    buf_init(&exchange->filled, 0);
    buf_init(&exchange->result, 0);
    buf_init(&exchange->refusal, 0);
    exchange->transfer.easy = http_client_take_easy(exchange->client);
    int status =
        exchange->transfer.easy ? http_request_make(exchange, &error) : error_set_code(&error, ASYNQ_E_NO_MEMORY);
    if (!status && http_postpone(exchange))
        return;
    if (status == ASYNQ_E_INVALID)
        fail(exchange, HANDLER_PERMANENT, "payload", error.text);
    else if (status || !http_transfer_start(exchange->client, &exchange->transfer, exchange->host,
                                            exchange->options->max_connections_per_host))
        transfer_done(exchange, CURLE_OUT_OF_MEMORY);
}

const handler_kind handler_http = {
    .name = "http",
    .table = http_table,
    .size = sizeof(http_options),
    .help =
        "Makes one HTTP request for each attempt at a task, and one for each redirect. It is not sent again by itself "
        "if the connection is closed without an answer: the attempt has failed then.",
    .waits = true,
    .descriptors = 2,
    .capacity = http_capacity,
    .release = http_release,
    .prepare = http_options_prepare,
    .clear = http_options_clear,
    .look = http_options_look,
    .begin = http_begin,
    .cancel = http_cancel,
};
