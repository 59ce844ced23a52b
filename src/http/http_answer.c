/* What an answer means for the task; see http.h. */
#include "base/clock.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/saturate.h"
#include "base/text.h"
#include "handler/shortage.h"
#include "http/http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LOWEST_STATUS = 100, HIGHEST_STATUS = 599, MAX_QUOTED = 500, CROWDED_PAUSE_MS = 1000 };

/* ---- classes of errors ---- */

typedef struct error_row {
    CURLcode code;
    const char *error_class;
} error_row;

static const error_row error_rows[] = {
    {CURLE_COULDNT_RESOLVE_HOST, "dns"}, {CURLE_COULDNT_RESOLVE_PROXY, "dns"},
    {CURLE_COULDNT_CONNECT, "connect"},  {CURLE_OPERATION_TIMEDOUT, "timeout"},
    {CURLE_SSL_CONNECT_ERROR, "tls"},    {CURLE_PEER_FAILED_VERIFICATION, "tls"},
    {CURLE_SSL_CERTPROBLEM, "tls"},      {CURLE_SSL_CACERT_BADFILE, "tls"},
    {CURLE_SSL_ISSUER_ERROR, "tls"},     {CURLE_SSL_CIPHER, "tls"},
    {CURLE_SEND_ERROR, "connect"},       {CURLE_RECV_ERROR, "connect"},
    {CURLE_GOT_NOTHING, "connect"},      {CURLE_PROXY, "connect"},
};

static const char *const error_classes[] = {"dns", "connect", "tls", "timeout", "protocol"};

enum { ERROR_CLASSES = sizeof error_classes / sizeof *error_classes };

static const char *http_answer_class_of(CURLcode result)
{
    for (size_t i = 0; i < sizeof error_rows / sizeof *error_rows; i++)
        if (error_rows[i].code == result)
            return error_rows[i].error_class;
    return "protocol";
}

/* ---- classes of statuses ---- */

/* "404" or "4xx". False: it is neither. */
static bool read_statuses(const char *text, int *first, int *last)
{
    int64_t number;
    if (strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcasecmp(text + 1, "xx") == 0) {
        *first = (text[0] - '0') * 100;
        *last = *first + 99;
        return true;
    }
    if (!text_read_number(text, &number) || number < LOWEST_STATUS || number > HIGHEST_STATUS)
        return false;
    *first = *last = (int)number;
    return true;
}

typedef struct status_list {
    const char *name;
    const setting_list *list;
    http_class result;
} status_list;

/* Those of one width: first classes, then single statuses, which count more. */
static int mark_statuses(settings *file, settings_node *node, const status_list *from, bool single, const char **marks,
                         http_options *options, asynq_error *error)
{
    for (size_t i = 0; i < from->list->count; i++) {
        int first, last;
        if (!read_statuses(from->list->items[i], &first, &last))
            return settings_complain(file, node, error, "%s: \"%s\" is no status such as 404 or 4xx", from->name,
                                     from->list->items[i]);
        if ((first == last) != single)
            continue;
        if (marks[first])
            return settings_complain(file, node, error, "%s is in both %s and %s", from->list->items[i], marks[first],
                                     from->name);
        marks[first] = from->name;
        for (int status = first; status <= last; status++)
            options->classes[status] = from->result;
    }
    return ASYNQ_OK;
}

int http_answer_prepare(settings *file, settings_node *node, http_options *options, asynq_error *error)
{
    const status_list lists[] = {{"success_statuses", &options->success, HTTP_SUCCESS},
                                 {"permanent_statuses", &options->permanent, HTTP_PERMANENT},
                                 {"retryable_statuses", &options->retry, HTTP_RETRY}};
    for (int single = 0; single < 2; single++) {
        const char *marks[HIGHEST_STATUS + 1] = {0};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            int status = mark_statuses(file, node, &lists[i], single, marks, options, error);
            if (status)
                return status;
        }
    }
    for (size_t i = 0; i < options->permanent_errors.count; i++) {
        const char *name = options->permanent_errors.items[i];
        const char *nearest = nearest_word(name, error_classes, ERROR_CLASSES);
        if (!nearest || strcmp(nearest, name) != 0)
            return settings_complain(file, node, error,
                                     "permanent_errors: \"%s\" is none of dns, connect, tls, timeout, protocol", name);
    }
    return ASYNQ_OK;
}

/* ---- one answer ---- */

static void fail_without_answer(http_exchange *exchange, CURLcode result)
{
    const http_options *options = exchange->options;
    const char *error_class = http_answer_class_of(result);
    const char *text = *exchange->problem ? exchange->problem : curl_easy_strerror(result);
    if (result == CURLE_OUT_OF_MEMORY) /* libcurl 7.88 has no code of its own for it */
        text = "a header of the answer is too long, or there is no memory for it";
    if (exchange->is_again) {
        error_class = "connect";
        text = "the connection was closed before an answer came";
    }
    handler_failure failure = HANDLER_RETRY;
    curl_off_t began_us = 0; /* when the request could be sent */
    for (size_t i = 0; i < options->permanent_errors.count; i++)
        if (strcmp(options->permanent_errors.items[i], error_class) == 0)
            failure = HANDLER_PERMANENT;
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_PRETRANSFER_TIME_T, &began_us);
    if (result == CURLE_OPERATION_TIMEDOUT && began_us > 0)
        handler_fail(exchange->call, failure, error_class, -1, "no answer of %s within %.3g s", exchange->host,
                     (double)exchange->limit_ms / MS_PER_SECOND);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        handler_fail(exchange->call, failure, error_class, -1, "no connection with %s in time: %s", exchange->host,
                     text);
    else
        handler_fail(exchange->call, failure, error_class, -1, "%s: %s", exchange->host, text);
}

/* "HTTP status 404: the beginning of what it says" */
static void http_answer_describe(const http_exchange *exchange, long status, char *text, size_t size)
{
    size_t length = exchange->result.length < MAX_QUOTED ? exchange->result.length : MAX_QUOTED;
    char quoted[MAX_QUOTED + 1];
    memcpy(quoted, exchange->result.data ? exchange->result.data : "", length);
    length = text_cut(quoted, length, length);
    while (length && isspace((unsigned char)quoted[length - 1]))
        length--;
    quoted[length] = '\0';
    text_make_utf8(quoted, length);
    snprintf(text, size, "HTTP status %ld of %s%s%s", status, exchange->host, *quoted ? ": " : "", quoted);
}

/* Seconds, however many, or a date. Below 0: it is neither. */
static int64_t read_retry_after(const char *text)
{
    int64_t seconds;
    size_t digits = strspn(text, "0123456789");
    if (digits && !text[digits])
        return text_read_number(text, &seconds) ? saturating_mul(seconds, MS_PER_SECOND) : INT64_MAX;
    time_t at = curl_getdate(text, NULL);
    int64_t left_s = at - clock_now_ns() / NS_PER_SECOND;
    return at == (time_t)-1 ? -1 : left_s > 0 ? saturating_mul(left_s, MS_PER_SECOND) : 0;
}

/* Below 0: the server does not say. */
static int64_t pause_asked(const http_exchange *exchange, long status)
{
    struct curl_header *header;
    if ((status != 429 && status != 503) ||
        curl_easy_header(exchange->transfer.easy, "Retry-After", 0, CURLH_HEADER, -1, &header))
        return -1;
    int64_t max_ms = exchange->options->retry_after_max_ms, pause_ms = read_retry_after(header->value);
    return pause_ms < max_ms ? pause_ms : max_ms;
}

static void decide_by_status(http_exchange *exchange, long status)
{
    handler_call *call = exchange->call;
    bool is_known = status >= LOWEST_STATUS && status <= HIGHEST_STATUS;
    http_class result = is_known ? (http_class)exchange->options->classes[status] : HTTP_RETRY;
    char text[MAX_QUOTED + 400];
    if (exchange->result.length)
        (void)asynq_write_result(call->job, exchange->result.data, exchange->result.length);
    if (result == HTTP_SUCCESS) {
        handler_end(call, ASYNQ_OUTCOME_DONE);
        return;
    }
    http_answer_describe(exchange, status, text, sizeof text);
    handler_fail(call, result == HTTP_PERMANENT ? HANDLER_PERMANENT : HANDLER_RETRY, "http_status",
                 pause_asked(exchange, status), "%s", text);
}

/*
 * What asynqd had not, as an errno; 0: it is not that. Once a request was sent, this was an attempt, whatever then
 * failed: libcurl also says "out of memory" to a header that is too long.
 */
static int http_answer_lack(const http_exchange *exchange, CURLcode result)
{
    if (result == CURLE_OK || exchange->sent)
        return 0;
    if (exchange->lack || result == CURLE_OUT_OF_MEMORY)
        return exchange->lack ? exchange->lack : ENOMEM;
    bool had_none = result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY;
    return had_none && !shortage_has_descriptor() ? errno : 0; /* the resolver does not say what it could not open */
}

void http_answer_decide(http_exchange *exchange, CURLcode result)
{
    long status = 0;
    int lack = http_answer_lack(exchange, result);
    if (exchange->is_withdrawn) {
        handler_end(exchange->call, ASYNQ_OUTCOME_REQUEUED);
        return;
    }
    if (lack) {
        handler_requeue(exchange->call, "no connection can be made for an HTTP request", lack);
        return;
    }
    if (exchange->is_crowded) { /* whoever redirects has not done it, so that another request does no harm */
        handler_end(exchange->call, asynq_snooze(exchange->call->job, CROWDED_PAUSE_MS,
                                                 "waits until fewer look-ups of names are under way"));
        return;
    }
    attempt_note *note = handler_note(exchange->call);
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    note->http_status = (int)status;
    note->is_cut = exchange->is_cut;
    bool is_refused =
        exchange->refusal.length && (result == CURLE_COULDNT_CONNECT || result == CURLE_ABORTED_BY_CALLBACK);
    if (is_refused)
        handler_fail(exchange->call, HANDLER_PERMANENT, "refused_target", -1, "%s", exchange->refusal.data);
    else if (result == CURLE_OK || (result == CURLE_WRITE_ERROR && exchange->is_cut))
        decide_by_status(exchange, status);
    else
        fail_without_answer(exchange, result);
}
