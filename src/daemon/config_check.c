/*
 * What can be said of a configuration as a whole, and what a start makes of it. What a start would refuse is a mistake;
 * what it lacks outside of the configuration, such as a program, may come yet, so it is a doubt: --check-config refuses
 * it, a start warns and goes on with what there is.
 */
#include "base/error.h"
#include "base/nearest.h"
#include "base/text.h"
#include "daemon/config.h"
#include "handler/route_lookup.h"
#include "metrics/endpoint.h"
#include "metrics/endpoint_tls.h"
#include "pg/pg_link.h"
#include "pg/schema_name.h"
#include "process/plugin.h"
#include "process/program.h"
#include "redis/uri.h"
#include "schedule/provided.h"
#include "schedule/schedule_file.h"
#include "server/patterns.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static void find_state_directory(config *c)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (c->state_directory && *c->state_directory)
        return;
    if (geteuid() == 0)
        c->state_directory = CONFIG_SYSTEM_STATE;
    else if (state && *state == '/')
        c->state_directory = config_dup(c, "%s/asynqd", state);
    else
        c->state_directory = config_dup(c, "%s/.local/state/asynqd", home && *home ? home : "/tmp");
}

static void check_prefix(config *c)
{
    key_space space = {0};
    asynq_error error;
    if (key_space_init(&space, c->prefix, &error))
        option_set_complain(c->source, &c->prefix, "%s", error.text);
    key_space_clear(&space);
}

static void check_queues(config *c)
{
    size_t count = c->queues.count;
    c->queue_list = arena_alloc(option_set_memory(c->source), (count + 1) * sizeof *c->queue_list);
    if (!c->queue_list)
        return;
    if (!count)
        option_set_complain(c->source, &c->queues, "there is no queue");
    for (size_t i = 0; i < count; i++) {
        const setting_pair *pair = &c->queues.items[i];
        int64_t priority;
        asynq_error error;
        if (pattern_is_one(pair->name) && pattern_check(pair->name, &error))
            option_set_complain(c->source, &c->queues, "%s", error.text);
        if (text_is_blank(pair->name, strlen(pair->name)) || !text_is_utf8(pair->name, strlen(pair->name)))
            option_set_complain(c->source, &c->queues, "\"%s\" is no name of a queue", pair->name);
        if (!text_read_number(pair->value, &priority) || priority < 1 || priority > 1000000)
            option_set_complain(c->source, &c->queues, "%s: \"%s\" is no priority; it is a whole number from 1 on",
                                pair->name, pair->value);
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->queues.items[k].name, pair->name) == 0)
                option_set_complain(c->source, &c->queues, "queue \"%s\" is given twice", pair->name);
        c->queue_list[i] = (asynq_queue){pair->name, (int)priority};
    }
    c->queue_list[count] = (asynq_queue){0};
}

static void check_session(config *c)
{
    if (c->session_renewal_ms > c->session_timeout_ms / 2)
        option_set_complain(c->source, &c->session_renewal_ms,
                            "more than half of session_timeout, so that one delay would end the session");
}

static void check_postgres(config *c)
{
    asynq_error error;
    if (c->postgres.uri && !*c->postgres.uri)
        c->postgres.uri = NULL; /* an environment variable that is set to nothing */
    if (c->postgres.uri && pg_conninfo_check(c->postgres.uri, &error))
        option_set_complain(c->source, &c->postgres.uri, "%s", error.text);
    const char *schema = c->postgres.schema ? c->postgres.schema : "", *problem = schema_name_problem(schema);
    if (problem)
        option_set_complain(c->source, &c->postgres.schema, "\"%s\" %s", schema, problem);
    c->spool = config_dup(c, "%s/spool", c->state_directory);
}

static void check_plugins(config *c)
{
    if (!plugin_add_pools(&c->routes, &c->workers, option_set_memory(c->source)))
        option_set_complain(c->source, &c->routes, "out of memory");
}

/* A start reads it, and gets on only if all of it is right. */
static void check_schedule_file(config *c)
{
    asynq_error error = {0};
    key_space space = {0};
    route_lookup *lookup = route_lookup_new(&c->routes);
    asynq_periodic_list list = {
        .context = {.space = &space, .zone = c->schedule.zone, .defaults = route_lookup_fill, .defaults_arg = lookup}};
    schedule_file *file = lookup ? schedule_file_new(c->schedule.file) : NULL;
    int status = file ? key_space_init(&space, c->prefix, &error) : error_set_code(&error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = schedule_file_provide(&list, file, &error);
    if (status)
        option_set_complain(c->source, &c->schedule.file, "%s", error.text);
    periodic_list_clear(&list);
    schedule_file_free(file);
    key_space_clear(&space);
    route_lookup_free(lookup);
}

static void check_schedule(config *c)
{
    asynq_error error;
    asynq_cron *any = asynq_cron_new("@daily", c->schedule.zone, &error);
    if (!any)
        option_set_complain(c->source, &c->schedule.zone, "%s", error.text);
    else if (c->schedule.file)
        check_schedule_file(c);
    asynq_cron_free(any);
}

static void check_certificate(config *c)
{
    asynq_error error;
    SSL_CTX *tls = endpoint_tls_new(c->endpoints.cert_file, c->endpoints.key_file, &error);
    if (!tls)
        option_set_complain(c->source, &c->endpoints.cert_file, "%s", error.text);
    SSL_CTX_free(tls);
}

static void check_endpoints(config *c)
{
    char host[256];
    int port;
    if (*c->endpoints.listen && !endpoint_read_address(c->endpoints.listen, host, &port))
        option_set_complain(c->source, &c->endpoints.listen, "\"%s\" is not HOST:PORT", c->endpoints.listen);
    if (!c->endpoints.cert_file != !c->endpoints.key_file)
        option_set_complain(c->source, c->endpoints.cert_file ? &c->endpoints.cert_file : &c->endpoints.key_file,
                            "cert_file and key_file belong together");
    else if (c->endpoints.cert_file)
        check_certificate(c);
    if (c->endpoints.token && !*c->endpoints.token)
        option_set_complain(c->source, &c->endpoints.token, "is empty");
}

static void check_scale(config *c)
{
    const scale_options *scale = &c->scale;
    if (scale->min > scale->max)
        option_set_complain(c->source, &c->scale.min, "is more than scale.max");
    if (scale->interval_ms && (scale->window_ms + scale->cooldown_ms) / scale->interval_ms > SCALE_MAX_SAMPLES - 2)
        option_set_complain(c->source, &c->scale.window_ms,
                            "is, with scale.cooldown, more than %d times scale.interval", SCALE_MAX_SAMPLES - 2);
    if (scale->window_ms < scale->interval_ms)
        option_set_complain(c->source, &c->scale.window_ms, "is less than scale.interval");
}

/* Each route's pool must be there. */
static void check_pools(config *c)
{
    for (size_t i = 0; i < c->routes.count; i++) {
        const char *names[64], *nearest = NULL;
        const worker_route *own = c->routes.items[i].options;
        bool is_found = c->routes.items[i].kind != &handler_worker;
        size_t count = 0;
        for (size_t k = 0; !is_found && k < c->workers.count && k < 64; k++) {
            is_found = own->pool && strcmp(c->workers.items[k].name, own->pool) == 0;
            names[count++] = c->workers.items[k].name;
        }
        if (is_found || !own->pool)
            continue;
        nearest = nearest_word(own->pool, names, count);
        option_set_complain_line(c->source, "%spool: there is no worker pool \"%s\"%s%s%s", own->origin, own->pool,
                                 nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    }
}

/* Those who share a limit must agree on it. */
static void check_limits(config *c)
{
    for (size_t i = 0; i < c->routes.count; i++) {
        const route *one = &c->routes.items[i], *other = c->routes.items;
        while (other < one && !(one->has_limit && other->has_limit && one->limit.scope && other->limit.scope &&
                                strcmp(one->limit.scope, other->limit.scope) == 0))
            other++;
        if (other < one && one->limit.max != other->limit.max)
            option_set_complain_line(c->source,
                                     "%slimit: the scope \"%s\" has %d here and %d in the route \"%s\"; it can have "
                                     "one number only",
                                     one->origin, one->limit.scope, (int)one->limit.max, (int)other->limit.max,
                                     other->type);
    }
}

static void take_doubt(void *arg, const char *origin, const char *text)
{
    config *c = arg;
    option_set_doubt_line(c->source, "%s%s", origin, text);
}

static void check_outside(config *c)
{
    for (size_t i = 0; i < c->routes.count; i++)
        if (c->routes.items[i].kind->look)
            c->routes.items[i].kind->look(c->routes.items[i].options,
                                          &(outside){c->routes.items[i].origin, take_doubt, c});
    for (size_t i = 0; i < c->workers.count; i++)
        if (c->workers.items[i].origin)
            program_look(&(outside){c->workers.items[i].origin, take_doubt, c}, &c->workers.items[i].process,
                         c->workers.items[i].argv.count ? c->workers.items[i].argv.items[0] : NULL);
}

void config_check(config *c)
{
    find_state_directory(c);
    config_check_redis(c);
    check_prefix(c);
    check_queues(c);
    check_session(c);
    check_schedule(c);
    check_postgres(c);
    check_pools(c);
    check_plugins(c);
    check_endpoints(c);
    check_scale(c);
    check_limits(c);
    if (!option_set_complaints(c->source))
        check_outside(c);
}
