/* See routes.h. */
#include "daemon/routes.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "client/task_option.h"
#include "http/http.h"
#include "process/command.h"
#include "process/plugin.h"
#include "process/worker.h"

#include <pthread.h>
#include <string.h>

const handler_kind *const handler_kinds[] = {&handler_http, &handler_command, &handler_worker, &handler_plugin, NULL};

static const char *const retry_kinds[] = {[ASYNQ_RETRY_BY_SERVER] = "asynq",
                                          [ASYNQ_RETRY_CONSTANT] = "constant",
                                          [ASYNQ_RETRY_EXPONENTIAL] = "exponential",
                                          NULL};

const setting route_retry_table[] = {
    {.name = "policy",
     .kind = SETTING_CHOICE,
     .offset = offsetof(route_retry, kind),
     .choices = retry_kinds,
     .preset = "exponential",
     .help = "Growth of the delay between attempts: `constant` is always `initial_delay`; `exponential` doubles it "
             "with each "
             "attempt; `asynq` is Asynq's default, about n^4 seconds."},
    {.name = "initial_delay",
     .kind = SETTING_DURATION,
     .offset = offsetof(route_retry, delay_ms),
     .min = 1,
     .example = "2s",
     .help = "Delay after the first attempt."},
    {.name = "max_delay",
     .kind = SETTING_DURATION,
     .offset = offsetof(route_retry, max_ms),
     .example = "10m",
     .help = "Maximum delay; default 1h."},
    {.name = "jitter",
     .kind = SETTING_NUMBER,
     .offset = offsetof(route_retry, jitter_percent),
     .max = 100,
     .value = "PERCENT",
     .preset = "0",
     .help = "Maximum random deviation of a delay, in percent, in both directions."},
    {0},
};

const setting route_limit_table[] = {
    {.name = "scope",
     .kind = SETTING_TEXT,
     .offset = offsetof(route, limit.scope) - offsetof(route, limit),
     .is_needed = true,
     .value = "NAME",
     .example = "printers",
     .help = "Name of the limit. Routes of all servers with the same scope share it."},
    {.name = "max",
     .kind = SETTING_NUMBER,
     .offset = offsetof(route, limit.max) - offsetof(route, limit),
     .min = 1,
     .max = 1000000,
     .is_needed = true,
     .example = "3",
     .help = "Maximum number of concurrent tasks, on all servers together."},
    {0},
};

static int read_retry(settings *file, settings_node *node, void *target, asynq_error *error)
{
    route *r = target;
    settings_enter(file, "retry");
    setting_preset(route_retry_table, &r->retry, settings_memory(file));
    int status = settings_read_mapping(file, node, route_retry_table, &r->retry, error);
    if (!status && r->retry.kind != ASYNQ_RETRY_BY_SERVER && !r->retry.delay_ms)
        status = settings_complain(file, node, error, "initial_delay is missing");
    if (!status && r->retry.kind == ASYNQ_RETRY_BY_SERVER && r->retry.delay_ms)
        status = settings_complain(file, node, error, "initial_delay is given, but the policy asynq does not use it");
    if (!status && r->retry.max_ms && r->retry.max_ms < r->retry.delay_ms)
        status = settings_complain(file, node, error, "max_delay is less than initial_delay");
    r->has_retry = true;
    settings_leave(file);
    return status;
}

static int read_limit(settings *file, settings_node *node, void *target, asynq_error *error)
{
    route *r = target;
    settings_enter(file, "limit");
    int status = settings_read_mapping(file, node, route_limit_table, &r->limit, error);
    r->has_limit = true;
    settings_leave(file);
    return status;
}

/* ---- defaults ---- */

static const struct {
    const char *option, *help, *example;
} default_rows[] = {
    {"queue", "The queue.", "mail"},
    {"max_retry", "How often it is tried again.", "5"},
    {"timeout", "How long one attempt may take; 0: practically without end.", "10m"},
    {"retention", "How long it is kept when it is done; 0: not at all.", "24h"},
    {"unique", "So long there is no second task of equal type, payload and queue; 0: there may be.", "1h"},
};

enum { DEFAULT_ROWS = sizeof default_rows / sizeof *default_rows };

static setting defaults_table[DEFAULT_ROWS + 1]; /* ends with a name of NULL */
static pthread_once_t defaults_table_once = PTHREAD_ONCE_INIT;

static void defaults_table_make(void)
{
    for (size_t i = 0; i < DEFAULT_ROWS; i++) {
        const task_option *option = task_option_find(default_rows[i].option);
        defaults_table[i] = task_option_setting(option);
        defaults_table[i].help = default_rows[i].help;
        defaults_table[i].example = default_rows[i].example;
    }
}

const setting *route_defaults_table(void)
{
    pthread_once(&defaults_table_once, defaults_table_make);
    return defaults_table;
}

static int read_defaults(settings *file, settings_node *node, void *target, asynq_error *error)
{
    route *r = target;
    asynq_error problem;
    settings_enter(file, "defaults");
    int status = settings_read_mapping(file, node, route_defaults_table(), &r->defaults, error);
    if (!status && task_options_check(&r->defaults, &problem)) {
        task_options_reword(&problem, false);
        status = settings_complain(file, node, error, "%s", problem.text);
    }
    settings_leave(file);
    return status;
}

/* The part of a route that is its handler's. */
static int read_handler(settings *file, settings_node *node, route *r, const handler_kind *kind, asynq_error *error)
{
    if (r->kind)
        return settings_complain(file, node, error, "%s and %s are both given; a route has one handler", r->kind->name,
                                 kind->name);
    r->kind = kind;
    r->options = arena_alloc(settings_memory(file), kind->size);
    if (!r->options)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    memset(r->options, 0, kind->size);
    settings_enter(file, kind->name);
    setting_preset(kind->table, r->options, settings_memory(file));
    size_t length = 0;
    const char *alone = kind->takes_text ? settings_value(file, node, kind->name, &length, error) : NULL;
    int status = ASYNQ_OK;
    if (alone && kind->takes_text) /* the first key's value */
        memcpy((char *)r->options + kind->table->offset, &alone, sizeof alone);
    else
        status = settings_read_mapping(file, node, kind->table, r->options, error);
    if (!status)
        status = kind->prepare(file, node, r->options, error);
    settings_leave(file);
    return status;
}

static int read_command(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return read_handler(file, node, target, &handler_command, error);
}

static int read_http(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return read_handler(file, node, target, &handler_http, error);
}

static int read_worker(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return read_handler(file, node, target, &handler_worker, error);
}

static int read_plugin(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return read_handler(file, node, target, &handler_plugin, error);
}

const setting route_table[] = {
    {.name = "type",
     .kind = SETTING_TEXT,
     .offset = offsetof(route, type),
     .is_needed = true,
     .value = "PATTERN",
     .example = "email:",
     .help = "Type of tasks, or the beginning of types. The longest pattern that matches is used."},
    {.name = "http", .kind = SETTING_OTHER, .read = read_http, .help = "Make an HTTP request."},
    {.name = "command", .kind = SETTING_OTHER, .read = read_command, .help = "Run a command."},
    {.name = "worker", .kind = SETTING_OTHER, .read = read_worker, .help = "Hand the task to a worker process."},
    {.name = "plugin", .kind = SETTING_OTHER, .read = read_plugin, .help = "Run a handler in C from a shared object."},
    {.name = "retry",
     .kind = SETTING_OTHER,
     .read = read_retry,
     .help = "Backoff between attempts. Default: that of Asynq. The maximum number of retries is set by the producer "
             "(max_retry). After a lost lease the default applies."},
    {.name = "limit",
     .kind = SETTING_OTHER,
     .read = read_limit,
     .help = "Maximum number of concurrent tasks, over all servers."},
    {.name = "defaults",
     .kind = SETTING_OTHER,
     .read = read_defaults,
     .help =
         "Default options of tasks of this type that asynqd itself enqueues: by POST /v1/tasks, a schedule or a job."},
    {0},
};

static int read_route(settings *file, settings_node *node, void *arg, asynq_error *error)
{
    route_list *list = arg;
    list->items = arena_grow(settings_memory(file), list->items, list->count, &list->capacity, sizeof *list->items);
    if (!list->items)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    route *r = &list->items[list->count];
    *r = (route){.origin = settings_place(file, node)};
    if (!r->origin)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = settings_read_mapping(file, node, route_table, r, error);
    list->count += r->kind != NULL; /* what its handler has made is freed with the list */
    if (status)
        return status;
    if (!r->kind)
        return settings_complain(file, node, error, "there is no handler; give one of http, command, worker, plugin");
    if (text_is_blank(r->type, strlen(r->type)))
        return settings_complain(file, node, error, "type is blank");
    if (r->type[strlen(r->type) - 1] == '*')
        return settings_complain(file, node, error,
                                 "type: \"%s\": there are no wildcards; a type matches all that begin with it, as "
                                 "\"email:\" does \"email:send\"",
                                 r->type);
    for (size_t i = 0; i + 1 < list->count; i++)
        if (list->items[i].type && strcmp(list->items[i].type, r->type) == 0)
            return settings_complain(file, node, error, "another route has the type \"%s\"", r->type);
    return ASYNQ_OK;
}

int route_list_read(settings *file, settings_node *node, route_list *list, asynq_error *error)
{
    route_list_clear(list);
    settings_enter(file, "routes");
    int status = settings_read_list(file, node, read_route, list, error);
    settings_leave(file);
    return status;
}

void route_list_clear(route_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind->clear)
            list->items[i].kind->clear(list->items[i].options);
    *list = (route_list){0};
}

asynq_route route_for_mux(const route *r, asynq_handler handler, void *arg, asynq_handler_kind kind)
{
    asynq_route made = {.pattern = r->type, .handler = handler, .arg = arg, .kind = kind};
    if (r->has_retry)
        made.retry = (asynq_retry_policy){.kind = (asynq_retry_kind)r->retry.kind,
                                          .delay_ms = r->retry.delay_ms,
                                          .max_delay_ms = r->retry.max_ms,
                                          .jitter_percent = (int)r->retry.jitter_percent};
    if (r->has_limit)
        made.limit = (asynq_limit){.scope = r->limit.scope, .max = (int)r->limit.max};
    return made;
}
