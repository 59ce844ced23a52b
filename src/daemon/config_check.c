/*
 * What can be said of a configuration as a whole, and what a start makes of it. What a start would refuse is a mistake;
 * what it lacks outside of the configuration, such as a program, may come yet, so it is a doubt: --check-config refuses
 * it, a start warns and goes on with what there is.
 */
#include "base/error.h"
#include "base/nearest.h"
#include "base/text.h"
#include "daemon/config.h"
#include "handler/outside.h"
#include "handler/plugin.h"
#include "handler/route_lookup.h"
#include "metrics/endpoint.h"
#include "metrics/endpoint_tls.h"
#include "pg/pg_conn.h"
#include "pg/schema_name.h"
#include "redis/uri.h"
#include "schedule/provided.h"
#include "schedule/schedule_file.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PRIVATE_SCHEME "private:"

static char *text_dup(config *c, const char *format, ...) ASYNQ_PRINTF(2, 3);
static char *text_dup(config *c, const char *format, ...)
{
    buf text;
    va_list args;
    buf_init(&text, 0);
    va_start(args, format);
    buf_append_formatv(&text, format, args);
    va_end(args);
    char *made = arena_dup(option_set_memory(c->source), text.data ? text.data : "", text.length);
    buf_clear(&text);
    return made;
}

static void find_state_directory(config *c)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (c->state_directory && *c->state_directory)
        return;
    if (geteuid() == 0)
        c->state_directory = CONFIG_SYSTEM_STATE;
    else if (state && *state == '/')
        c->state_directory = text_dup(c, "%s/asynqd", state);
    else
        c->state_directory = text_dup(c, "%s/.local/state/asynqd", home && *home ? home : "/tmp");
}

static bool is_private(const char *redis)
{
    return redis && strncmp(redis, PRIVATE_SCHEME, strlen(PRIVATE_SCHEME)) == 0;
}

/* Without it there is no start. */
static void take_lack(void *arg, const char *origin, const char *text)
{
    config *c = arg;
    (void)origin;
    option_set_complain(c->source, &c->private_redis.program, "%s", text + strlen("argv: "));
}

static void check_private(config *c)
{
    const char *directory = is_private(c->redis) ? c->redis + strlen(PRIVATE_SCHEME) : "";
    const char *parts[] = {c->redis_host, c->redis_username, c->redis_password};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i])
            option_set_complain(c->source, &c->redis,
                                "a private Redis has no host, user or password; they are given too");
    c->private_directory = *directory ? directory : text_dup(c, "%s/redis", c->state_directory);
    char *cwd = *c->private_directory == '/' ? NULL : getcwd(NULL, 0);
    if (cwd)
        c->private_directory = text_dup(c, "%s/%s", cwd, c->private_directory);
    free(cwd);
    static const char *path = "PATH";
    process_options own = {.inherit = {&path, 1}};
    outside_program(&(outside){NULL, take_lack, c}, &own, c->private_redis.program);
    c->redis_uri = text_dup(c, "unix://%s/redis.sock", c->private_directory);
    if (strlen(c->private_directory) + sizeof "/redis.sock" > sizeof((struct sockaddr_un *)NULL)->sun_path)
        option_set_complain(c->source, &c->redis, "the path %s is too long for a socket", c->private_directory);
}

/* Percent-encodes what could be taken for a separator. */
static void append_part(buf *out, const char *text)
{
    for (; *text; text++)
        if (strchr(":/?#[]@%", *text))
            buf_append_format(out, "%%%02X", (unsigned char)*text);
        else
            buf_append(out, text, 1);
}

/* The URI with the parts that are given in place of its own. */
static void join_parts(config *c, const redis_uri *base)
{
    const option_set *o = c->source;
    const char *user = c->redis_username ? c->redis_username : base->user;
    const char *password = c->redis_password ? c->redis_password : base->password;
    const char *query = c->redis ? strchr(c->redis, '?') : NULL;
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, base->tls ? "rediss://" : "redis://");
    if (user)
        append_part(&text, user);
    if (password) {
        buf_append_text(&text, ":");
        append_part(&text, password);
    }
    if (user || password)
        buf_append_text(&text, "@");
    const char *host = c->redis_host ? c->redis_host : base->host;
    bool is_v6 = strchr(host, ':') && *host != '[';
    buf_append_format(&text, is_v6 ? "[%s]:%d/%d" : "%s:%d/%d", host,
                      option_set_is_given(o, &c->redis_port) ? (int)c->redis_port : base->port,
                      option_set_is_given(o, &c->redis_db) ? (int)c->redis_db : base->database);
    if (query)
        buf_append_text(&text, query);
    c->redis_uri = text_dup(c, "%s", text.data ? text.data : "");
    buf_clear(&text);
}

static void check_joined(config *c, const redis_uri *base, const void *given)
{
    redis_uri joined;
    asynq_error error;
    join_parts(c, base);
    if (redis_uri_parse(&joined, c->redis_uri, &error))
        option_set_complain(c->source, given, "%s", error.text);
    else
        redis_uri_clear(&joined);
}

static void check_redis(config *c)
{
    const void *const parts[] = {&c->redis_host, &c->redis_port, &c->redis_username, &c->redis_password, &c->redis_db};
    const void *given = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (option_set_is_given(c->source, parts[i]))
            given = parts[i];
    bool is_word = c->redis && strcmp(c->redis, "private") == 0;
    if (is_private(c->redis) || is_word || (!c->redis && !given)) {
        check_private(c);
        return;
    }
    redis_uri uri;
    asynq_error error;
    if (redis_uri_parse(&uri, c->redis ? c->redis : "redis://127.0.0.1:6379", &error)) {
        option_set_complain(c->source, &c->redis, "%s", error.text);
        return;
    }
    if (given && uri.path)
        option_set_complain(c->source, given, "has no meaning for a Redis at a socket");
    else if (given)
        check_joined(c, &uri, given);
    else
        c->redis_uri = text_dup(c, "%s", c->redis);
    redis_uri_clear(&uri);
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

static void check_postgres(config *c)
{
    asynq_error error;
    if (c->postgres.uri && !*c->postgres.uri)
        c->postgres.uri = NULL; /* an environment variable that is set to nothing */
    if (c->postgres.uri && pg_conninfo_check(c->postgres.uri, &error))
        option_set_complain(c->source, &c->postgres.uri, "%s", error.text);
    if (!c->postgres.schema || !schema_name_is_good(c->postgres.schema))
        option_set_complain(c->source, &c->postgres.schema,
                            "\"%s\" is no name of a schema; it has small letters, digits and underscores, 48 at most",
                            c->postgres.schema ? c->postgres.schema : "");
    c->spool = text_dup(c, "%s/spool", c->state_directory);
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
    int status = file ? key_space_init(&space, NULL, &error) : error_set_code(&error, ASYNQ_E_NO_MEMORY);
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
    if (scale->interval_ms && (scale->window_ms + scale->cool_down_ms) / scale->interval_ms > SCALE_MAX_SAMPLES - 2)
        option_set_complain(c->source, &c->scale.window_ms,
                            "is, with scale.cool_down, more than %d times scale.interval", SCALE_MAX_SAMPLES - 2);
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
        if (other < one && one->limit.most != other->limit.most)
            option_set_complain_line(c->source,
                                     "%slimit: the scope \"%s\" has %d here and %d in the route \"%s\"; it can have "
                                     "one number only",
                                     one->origin, one->limit.scope, (int)one->limit.most, (int)other->limit.most,
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
            outside_program(&(outside){c->workers.items[i].origin, take_doubt, c}, &c->workers.items[i].process,
                            c->workers.items[i].argv.count ? c->workers.items[i].argv.items[0] : NULL);
}

void config_check(config *c)
{
    find_state_directory(c);
    check_redis(c);
    check_queues(c);
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
