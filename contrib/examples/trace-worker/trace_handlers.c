/* See trace_handlers.h. */
#include "trace_handlers.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- payloads and results ---- */

/* The payload as a JSON object; NULL if it is not one: then `*outcome` is that of the job. */
static json_t *read_payload(asynq_job *job, int *outcome)
{
    json_error_t problem;
    size_t length;
    const char *payload = asynq_job_payload(job, &length);
    json_t *object = json_loadb(payload, length, JSON_REJECT_DUPLICATES, &problem);
    if (object && !json_is_object(object)) {
        json_decref(object);
        object = NULL;
        snprintf(problem.text, sizeof problem.text, "not an object");
    }
    if (!object)
        *outcome = asynq_skip_retry(job, "payload is not usable: %s", problem.text); /* it will not get better */
    return object;
}

/* Takes the result over. */
static int finish(asynq_job *job, json_t *result)
{
    char *text = json_dumps(result, JSON_COMPACT);
    json_decref(result);
    if (!text)
        return asynq_fail(job, "out of memory");
    int outcome = asynq_write_result(job, text, strlen(text));
    free(text);
    return outcome;
}

/* ---- cost:calculate: tokens times the model's price ---- */

typedef struct model_price {
    const char *model;
    double input, output; /* dollars per million tokens */
} model_price;

static const model_price prices[] = {{"small", 0.15, 0.60}, {"medium", 2.50, 10.00}, {"large", 15.00, 75.00}};

static const model_price *find_price(const char *model)
{
    for (size_t i = 0; model && i < sizeof prices / sizeof *prices; i++)
        if (strcmp(prices[i].model, model) == 0)
            return &prices[i];
    return NULL;
}

static int cost_calculate(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    const char *model = json_string_value(json_object_get(payload, "model"));
    const model_price *price = find_price(model);
    double input = json_number_value(json_object_get(payload, "input_tokens"));
    double output = json_number_value(json_object_get(payload, "output_tokens"));
    int outcome =
        price ? finish(job, json_pack("{s:f}", "dollars", (input * price->input + output * price->output) / 1e6))
              : asynq_fail(job, "no price for model %s", model ? model : "(none)"); /* a list may follow */
    json_decref(payload);
    return outcome;
}

/* ---- eval:run: the share of answers that equal what was expected ---- */

static int eval_run(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    json_t *cases = json_object_get(payload, "cases"), *one;
    size_t i, right = 0, count = json_array_size(cases);
    json_array_foreach(cases, i, one) {
        right += json_equal(json_object_get(one, "expected"), json_object_get(one, "answer")) == 1;
        if (asynq_job_is_cancelled(job))
            break;
    }
    int outcome = count
                      ? finish(job, json_pack("{s:f,s:i}", "score", (double)right / (double)count, "cases", (int)count))
                      : asynq_skip_retry(job, "an evaluation without cases");
    json_decref(payload);
    return outcome;
}

/* ---- otel:export: spans as an OTLP-like document; here only its size is kept ---- */

static int otel_export(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    json_t *spans = json_object_get(payload, "spans");
    json_t *document = json_pack("{s:[{s:{},s:[{s:O}]}]}", "resourceSpans", "resource", "scopeSpans", "spans", spans);
    size_t size = document ? json_dumpb(document, NULL, 0, JSON_COMPACT) : 0;
    int outcome =
        document ? finish(job, json_pack("{s:i,s:I}", "spans", (int)json_array_size(spans), "bytes", (json_int_t)size))
                 : asynq_skip_retry(job, "no spans");
    json_decref(document);
    json_decref(payload);
    return outcome;
}

/* ---- webhook:deliver: finished later, from the loop, as a real HTTP client would ---- */

static int webhook_deliver(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    const char *url = json_string_value(json_object_get(payload, "url"));
    /* The example's receiver: it answers with "answers", but only for the first "failures" attempts if that is given.
     */
    json_t *failures = json_object_get(payload, "failures");
    bool recovered = failures && asynq_job_retry_count(job) >= json_integer_value(failures);
    int status = recovered ? 200 : (int)json_integer_value(json_object_get(payload, "answers"));
    int outcome;
    if (!url || strncmp(url, "https://", 8) != 0)
        outcome = asynq_skip_retry(job, "webhook address \"%s\" is not https", url ? url : "");
    else if (status >= 500)
        outcome = asynq_fail(job, "%s answered %d", url, status); /* it may recover */
    else if (status >= 400)
        outcome = asynq_skip_retry(job, "%s answered %d", url, status);
    else
        outcome = finish(job, json_pack("{s:i,s:s}", "status", status ? status : 200, "attempt",
                                        asynq_job_retry_count(job) ? "retry" : "first"));
    json_decref(payload);
    return outcome;
}

/* ---- anomaly:detect: values further than three standard deviations from the mean ---- */

static int anomaly_detect(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    json_t *values = json_object_get(payload, "values"), *value, *found = json_array();
    size_t i, count = json_array_size(values);
    double sum = 0, squares = 0;
    json_array_foreach(values, i, value) {
        sum += json_number_value(value);
        squares += json_number_value(value) * json_number_value(value);
    }
    double mean = count ? sum / (double)count : 0;
    double deviation = count ? sqrt(fmax(0, squares / (double)count - mean * mean)) : 0;
    json_array_foreach(values, i, value) {
        if (fabs(json_number_value(value) - mean) > 3 * deviation)
            json_array_append_new(found, json_integer((json_int_t)i));
    }
    json_decref(payload);
    return finish(job, json_pack("{s:f,s:f,s:o}", "mean", mean, "deviation", deviation, "anomalies", found));
}

/* ---- cleanup:traces and notify:send ---- */

static int cleanup_traces(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    json_int_t days = json_integer_value(json_object_get(payload, "older_than_days"));
    json_decref(payload);
    if (days < 1)
        return asynq_skip_retry(job, "older_than_days is %" JSON_INTEGER_FORMAT "; at least 1 is needed", days);
    return finish(job, json_pack("{s:I}", "deleted", days * 10));
}

static int notify_send(asynq_job *job, void *arg)
{
    (void)arg;
    int refusal;
    json_t *payload = read_payload(job, &refusal);
    if (!payload)
        return refusal;
    const char *to = json_string_value(json_object_get(payload, "to"));
    int outcome = to && strchr(to, '@') ? finish(job, json_pack("{s:s}", "sent_to", to))
                                        : asynq_revoke(job, "nobody to notify"); /* neither failed nor kept */
    json_decref(payload);
    return outcome;
}

const asynq_route trace_routes[] = {
    {"cost:calculate", cost_calculate}, {"eval:run", eval_run},
    {"otel:export", otel_export},       {"webhook:deliver", webhook_deliver, .kind = ASYNQ_HANDLER_ASYNC},
    {"anomaly:detect", anomaly_detect}, {"cleanup:traces", cleanup_traces},
    {"notify:send", notify_send},       {NULL},
};

const asynq_queue trace_queues[] = {{"critical", 6}, {"default", 3}, {"low", 1}, {NULL}};

int64_t trace_retry_delay_ms(const asynq_failure *failure, void *arg)
{
    (void)arg;
    return ASYNQ_SECONDS(INT64_C(1) << (failure->retry_count < 20 ? failure->retry_count : 20));
}
