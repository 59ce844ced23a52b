/* See http_options.h. */
#include "http/http_options.h"

#include "base/error.h"
#include "handler/outside.h"
#include "http/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HTTP(field) offsetof(http_options, field)
#define IN(group, field) offsetof(http_options, group.field) - offsetof(http_options, group)

static const char *const version_names[] = {"auto", "1.1", "2", NULL};

static const setting tls_table[] = {
    {.name = "verify",
     .kind = SETTING_SWITCH,
     .offset = IN(tls, verify),
     .preset = "true",
     .help = "Verify the server's certificate."},
    {.name = "ca_file",
     .kind = SETTING_TEXT,
     .offset = IN(tls, ca_file),
     .value = "PATH",
     .help = "Trusted certificates, instead of the system's."},
    {.name = "cert_file",
     .kind = SETTING_TEXT,
     .offset = IN(tls, cert_file),
     .value = "PATH",
     .help = "Client certificate."},
    {.name = "key_file",
     .kind = SETTING_TEXT,
     .offset = IN(tls, key_file),
     .value = "PATH",
     .help = "Private key of `cert_file`."},
    {0},
};

static const setting signature_table[] = {
    {.name = "key",
     .kind = SETTING_TEXT,
     .offset = IN(signature, key),
     .is_secret = true,
     .help = "Key that signs requests: the header is `t=<Unix seconds>,v1=<hex>`, where hex is HMAC-SHA256 of `<Unix "
             "seconds>.<body>`."},
    {.name = "header",
     .kind = SETTING_TEXT,
     .offset = IN(signature, header),
     .preset = "Asynq-Signature",
     .value = "NAME",
     .help = "Name of the header with the signature."},
    {0},
};

const setting http_table[] = {
    {.name = "url",
     .kind = SETTING_TEXT,
     .offset = HTTP(url),
     .has_password = true,
     .is_needed = true,
     .value = "URL",
     .example = "\"https://api.example.com/mails/{{payload.id}}\"",
     .help = "URL of the request. Values of placeholders are percent-encoded; a placeholder that begins the URL is "
             "inserted as it is: `{{payload.url}}`."},
    {.name = "method",
     .kind = SETTING_TEXT,
     .offset = HTTP(method),
     .preset = "POST",
     .value = "METHOD",
     .help = "HTTP method."},
    {.name = "headers",
     .kind = SETTING_PAIRS,
     .offset = HTTP(headers),
     .hides_values = true,
     .value = "{NAME: VALUE}",
     .example = "{Authorization: \"Bearer abc\", X-Tenant: \"{{header.tenant}}\"}",
     .help = "Headers of the request. A value with a control character fails the task permanently."},
    {.name = "body",
     .kind = SETTING_TEXT,
     .offset = HTTP(body),
     .value = "TEXT",
     .example = "\"{{payload}}\"",
     .help =
         "Body of the request. Default: the payload as it is, and nothing with GET and HEAD. Values of placeholders "
         "are escaped by the rules of `content_type`: JSON's in JSON, where a placeholder outside of quotes stands for "
         "a whole value; percent-encoding in application/x-www-form-urlencoded; else not at all."},
    {.name = "content_type",
     .kind = SETTING_TEXT,
     .offset = HTTP(content_type),
     .preset = "application/json",
     .value = "TYPE",
     .help = "Content type of the body."},
    {.name = "timeout",
     .kind = SETTING_DURATION,
     .offset = HTTP(timeout_ms),
     .min = 1,
     .preset = "90s",
     .help =
         "Timeout of a request, from its start to the end of the answer. It ends at the task's deadline in any case."},
    {.name = "connect_timeout",
     .kind = SETTING_DURATION,
     .offset = HTTP(connect_timeout_ms),
     .min = 1,
     .preset = "10s",
     .help = "Timeout for DNS, connection and TLS, as a part of `timeout`."},
    {.name = "success_statuses",
     .kind = SETTING_LIST,
     .offset = HTTP(success),
     .preset = "2xx",
     .value = "[STATUS, ...]",
     .help = "Statuses that mean success. A status such as 404 takes precedence over a class such as 4xx."},
    {.name = "permanent_statuses",
     .kind = SETTING_LIST,
     .offset = HTTP(permanent),
     .preset = "3xx,4xx",
     .value = "[STATUS, ...]",
     .help = "Statuses after which the task is archived at once, as retrying is useless."},
    {.name = "retryable_statuses",
     .kind = SETTING_LIST,
     .offset = HTTP(retry),
     .preset = "408,425,429,5xx",
     .value = "[STATUS, ...]",
     .help = "Statuses after which the task is retried; so it is after all that are in none of the lists."},
    {.name = "retry_after_limit",
     .kind = SETTING_DURATION,
     .offset = HTTP(retry_after_max_ms),
     .preset = "1h",
     .help = "Maximum delay that a server can ask for (Retry-After) with status 429 or 503. A longer backoff of the "
             "route takes precedence."},
    {.name = "permanent_errors",
     .kind = SETTING_LIST,
     .offset = HTTP(permanent_errors),
     .value = "[dns|connect|tls|timeout|protocol, ...]",
     .help = "Failures without a status after which the task is archived; after the others it is retried."},
    {.name = "result_limit",
     .kind = SETTING_SIZE,
     .offset = HTTP(max_result),
     .preset = "64kB",
     .max = 64 << 20,
     .help = "Maximum size of the result, which is the beginning of the answer's body; the rest is not read, and the "
             "log line of the attempt says so. 0: no result."},
    {.name = "max_redirects",
     .kind = SETTING_NUMBER,
     .offset = HTTP(redirects),
     .preset = "0",
     .max = 50,
     .help = "Maximum number of redirects to follow, with the same method and body. With 0 an answer of 3xx is handled "
             "as `permanent_statuses` says. A redirect to another host, port or scheme is refused where the route has "
             "`headers`, a `signature` or a `tls.cert_file`, which are for its own."},
    {.name = "max_connections_per_host",
     .kind = SETTING_NUMBER,
     .offset = HTTP(max_connections_per_host),
     .preset = "0",
     .help = "Maximum number of concurrent requests to one host and port, from this asynqd; further tasks wait. 0: no "
             "limit."},
    {.name = "http_version",
     .kind = SETTING_CHOICE,
     .offset = HTTP(version),
     .choices = version_names,
     .preset = "auto",
     .help = "HTTP version. auto: 2 over TLS where the server has it, else 1.1; 2: also without TLS."},
    {.name = "proxy",
     .kind = SETTING_TEXT,
     .offset = HTTP(proxy),
     .has_password = true,
     .value = "URL",
     .help = "Proxy. Default: none, whatever the environment says."},
    {.name = "task_headers",
     .kind = SETTING_SWITCH,
     .offset = HTTP(sends_task),
     .preset = "true",
     .help = "Send headers about the task: `Idempotency-Key` (its id), `Asynq-Task-Type`, `Asynq-Queue`, "
             "`Asynq-Retried`. `traceparent` and `tracestate` are passed on in any case."},
    {.name = "tls", .kind = SETTING_GROUP, .offset = HTTP(tls), .group = tls_table, .help = "TLS."},
    {.name = "signature",
     .kind = SETTING_GROUP,
     .offset = HTTP(signature),
     .group = signature_table,
     .help = "Signature that proves to the receiver that asynqd sent the request."},
    {.name = "targets",
     .kind = SETTING_GROUP,
     .offset = HTTP(target),
     .group = target_table,
     .help = "Restriction of the addresses that requests may reach."},
    {0},
};

static bool is_token(const char *text)
{
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && strspn(text, tokens) == strlen(text);
}

static int prepare_template(settings *file, settings_node *node, const char *name, const char *text,
                            template_place place, template **made, asynq_error *error)
{
    asynq_error problem;
    return template_new(made, text, place, &problem)
               ? settings_complain(file, node, error, "%s: %s", name, problem.text)
               : ASYNQ_OK;
}

static template_place place_of_body(const char *content_type)
{
    if (strstr(content_type, "json"))
        return TEMPLATE_JSON;
    return strstr(content_type, "x-www-form-urlencoded") ? TEMPLATE_FORM : TEMPLATE_TEXT;
}

/* Not one of several documents, as application/x-ndjson. */
static bool is_one_json(const char *content_type)
{
    size_t length = strcspn(content_type, "; ");
    return (length >= 5 && strncasecmp(content_type + length - 5, "/json", 5) == 0) ||
           (length >= 5 && strncasecmp(content_type + length - 5, "+json", 5) == 0);
}

static int prepare_body(settings *file, settings_node *node, http_options *options, asynq_error *error)
{
    bool has_none = strcmp(options->method, "GET") == 0 || strcmp(options->method, "HEAD") == 0;
    options->has_body = options->body ? *options->body != '\0' : !has_none;
    if (!options->body || !*options->body || strcmp(options->body, "{{payload}}") == 0)
        return ASYNQ_OK;
    int status = prepare_template(file, node, "body", options->body, place_of_body(options->content_type),
                                  &options->body_template, error);
    if (!status && is_one_json(options->content_type) && !template_may_be_json(options->body_template))
        status = settings_complain(file, node, error, "body: is no JSON, which its content_type says");
    return status;
}

static int prepare_headers(settings *file, settings_node *node, http_options *options, asynq_error *error)
{
    size_t count = options->headers.count;
    options->header_list = arena_alloc(settings_memory(file), (count + 1) * sizeof *options->header_list);
    if (!options->header_list)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    memset(options->header_list, 0, (count + 1) * sizeof *options->header_list);
    for (size_t i = 0; i < count; i++) {
        const setting_pair *pair = &options->headers.items[i];
        if (!is_token(pair->name))
            return settings_complain(file, node, error, "headers: \"%s\" is no name of a header", pair->name);
        for (const char *at = pair->value; *at; at++)
            if (iscntrl((unsigned char)*at))
                return settings_complain(file, node, error, "headers: %s: has a control character", pair->name);
        options->header_list[i].name = pair->name;
        int status = prepare_template(file, node, "headers", pair->value, TEMPLATE_HEADER,
                                      &options->header_list[i].value, error);
        if (status)
            return status;
    }
    return ASYNQ_OK;
}

/* The host in a URL whose host has no placeholder. */
static int prepare_url(settings *file, settings_node *node, http_options *options, asynq_error *error)
{
    int status = prepare_template(file, node, "url", options->url, TEMPLATE_URL, &options->url_template, error);
    if (status || strncmp(options->url, "{{", 2) == 0)
        return status;
    if (strncasecmp(options->url, "http://", 7) != 0 && strncasecmp(options->url, "https://", 8) != 0)
        return settings_complain(file, node, error, "url: \"%s\" does not begin with http:// or https://",
                                 options->url);
    const char *start = strstr(options->url, "://") + 3;
    size_t length = strcspn(start, "/?#");
    if (memmem(start, length, "{{", 2))
        return ASYNQ_OK;
    char host[256], port[8], place[300];
    char *whole = arena_dup(settings_memory(file), options->url, (size_t)(start - options->url) + length);
    if (!whole || !http_read_host(whole, host, sizeof host, port, sizeof port))
        return settings_complain(file, node, error, "url: \"%s\" is no URL", options->url);
    int place_length = snprintf(place, sizeof place, "%s:%s", host, port);
    options->written_host = arena_dup(settings_memory(file), host, strlen(host));
    options->written_place = arena_dup(settings_memory(file), place, (size_t)place_length);
    return options->written_host && options->written_place ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* libcurl takes nearly anything for a host. The value may have a password in it. */
static int prepare_proxy(settings *file, settings_node *node, http_options *options, asynq_error *error)
{
    static const char *const schemes[] = {"http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"};
    char host[256], port[8];
    bool is_known = !options->proxy || !*options->proxy;
    for (size_t i = 0; !is_known && i < sizeof schemes / sizeof *schemes; i++)
        is_known = strncasecmp(options->proxy, schemes[i], strlen(schemes[i])) == 0;
    const char *rest = options->proxy ? strstr(options->proxy, "://") : NULL;
    char *as_http = NULL;
    if (is_known && rest) /* libcurl's parser may know http and https alone */
        as_http = arena_dup(settings_memory(file), rest - 4, strlen(rest) + 4);
    if (as_http)
        memcpy(as_http, "http", 4);
    if (is_known && (!as_http || http_read_host(as_http, host, sizeof host, port, sizeof port)))
        return ASYNQ_OK;
    return settings_complain(file, node, error,
                             "proxy: is no URL such as http://proxy:3128; it can be http, https, socks4, socks4a, "
                             "socks5 or socks5h");
}

void http_options_look(const void *target, const outside *to)
{
    const http_options *options = target;
    outside_file(to, "tls.ca_file", options->tls.ca_file);
    outside_file(to, "tls.cert_file", options->tls.cert_file);
    outside_file(to, "tls.key_file", options->tls.key_file);
}

int http_options_prepare(settings *file, settings_node *node, void *target, asynq_error *error)
{
    http_options *options = target;
    if (!is_token(options->method))
        return settings_complain(file, node, error, "method: \"%s\" is no method", options->method);
    if (!is_token(options->signature.header))
        return settings_complain(file, node, error, "signature: header: \"%s\" is no name of a header",
                                 options->signature.header);
    if (!options->tls.cert_file != !options->tls.key_file)
        return settings_complain(file, node, error, "tls: cert_file and key_file belong together");
    int (*const steps[])(settings *, settings_node *, http_options *, asynq_error *) = {
        prepare_url, prepare_proxy, prepare_body, prepare_headers, http_answer_prepare};
    int status = ASYNQ_OK;
    for (size_t i = 0; !status && i < sizeof steps / sizeof *steps; i++)
        status = steps[i](file, node, options, error);
    if (status)
        return status;
    settings_enter(file, "targets");
    status = target_prepare(file, node, &options->target, error);
    settings_leave(file);
    return status;
}

void http_options_clear(void *target)
{
    http_options *options = target;
    template_free(options->url_template);
    template_free(options->body_template);
    for (size_t i = 0; options->header_list && i < options->headers.count; i++)
        template_free(options->header_list[i].value);
}
