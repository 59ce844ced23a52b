/* Output for programs: names of fields are stable. */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/terminal.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is no printable character is written as \u202e: it is the same to a program, and steers no terminal. */
static int print_json(json_t *document, size_t flags)
{
    char *text =
        document ? json_dumps(document, flags | JSON_REAL_PRECISION(15)) : NULL; /* 0.9, not 0.90000000000000002 */
    buf shown;
    buf_init(&shown, 0);
    if (text)
        terminal_append_json(&shown, text, strlen(text));
    buf_append_text(&shown, "\n");
    int problem = !text || buf_failed(&shown) || fwrite(shown.data, 1, shown.length, stdout) != shown.length;
    free(text);
    buf_clear(&shown);
    json_decref(document);
    return problem ? cli_complain(CLI_FAILED, "the output cannot be written") : CLI_OK;
}

int cli_print_json(json_t *document)
{
    return print_json(document, JSON_INDENT(2));
}

int cli_print_json_line(json_t *document)
{
    return print_json(document, JSON_COMPACT);
}

json_t *cli_json_bytes(const void *bytes, size_t length)
{
    if (text_is_utf8(bytes, length))
        return json_stringn(bytes, length);
    char *text = malloc(4 * ((length + 2) / 3) + 1);
    if (!text)
        return NULL;
    EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    json_t *object = json_pack("{ss}", "base64", text);
    free(text);
    return object;
}

json_t *cli_json_text(const char *text)
{
    return cli_json_bytes(text, strlen(text));
}

json_t *cli_json_time(int64_t at_ms)
{
    char text[64];
    struct tm parts;
    time_t second = at_ms / 1000;
    if (at_ms <= 0 || !gmtime_r(&second, &parts))
        return json_null();
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, sizeof text - length, at_ms % 1000 ? ".%03dZ" : "Z", (int)(at_ms % 1000));
    return json_string(text);
}

json_t *cli_json_fraction(double fraction)
{
    return fraction < 0 ? json_null() : json_real(fraction);
}

static json_t *json_headers_of(const asynq_task_info *task)
{
    json_t *headers = json_object();
    for (size_t i = 0; i < task->header_count; i++)
        json_object_set_new(headers, task->headers[i].key, json_string(task->headers[i].value));
    return headers;
}

json_t *cli_json_task(const asynq_task_info *task)
{
    return json_pack(
        "{so so ss ss so so si si ss so sI so sI so ss ss so so so sb sb so so ss sI}", "id", cli_json_text(task->id),
        "queue", cli_json_text(task->queue), "type", task->type, "state", asynq_state_name(task->state), "payload",
        cli_json_bytes(task->payload, task->payload_length), "headers", json_headers_of(task), "max_retry",
        task->max_retry, "retried", task->retried, "last_error", task->last_error, "last_failed_at",
        cli_json_time(task->last_failed_at_ms), "timeout_ms", (json_int_t)task->timeout_ms, "deadline",
        cli_json_time(task->deadline_ms), "retention_ms", (json_int_t)task->retention_ms, "completed_at",
        cli_json_time(task->completed_at_ms), "unique_key", task->unique_key, "group", task->group, "next_process_at",
        cli_json_time(task->next_process_at_ms), "since", cli_json_time(task->since_ms), "lease_ends_at",
        cli_json_time(task->lease_ends_at_ms), "orphaned", task->is_orphaned, "readable", task->is_readable, "result",
        cli_json_bytes(task->result, task->result_length), "progress", cli_json_fraction(task->progress),
        "progress_text", task->progress_text, "losses", (json_int_t)task->losses);
}
