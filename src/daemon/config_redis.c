/*
 * Where Redis is: one URI, made of the one that is given and of the options that take the place of its parts.
 */
#include "base/error.h"
#include "daemon/config.h"
#include "process/program.h"
#include "redis/uri.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PRIVATE_SCHEME "private:"

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
    c->private_directory = *directory ? directory : config_dup(c, "%s/redis", c->state_directory);
    char *cwd = *c->private_directory == '/' ? NULL : getcwd(NULL, 0);
    if (cwd)
        c->private_directory = config_dup(c, "%s/%s", cwd, c->private_directory);
    free(cwd);
    static const char *path = "PATH";
    process_options own = {.inherit = {&path, 1}};
    program_look(&(outside){NULL, take_lack, c}, &own, c->private_redis.program);
    c->redis_uri = config_dup(c, "unix://%s/redis.sock", c->private_directory);
    if (strlen(c->private_directory) + sizeof "/redis.sock" > sizeof((struct sockaddr_un *)NULL)->sun_path)
        option_set_complain(c->source, &c->redis, "the path %s is too long for a socket", c->private_directory);
}

/* Percent-encodes what could be taken for a separator. */
static void config_redis_append_part(buf *out, const char *text)
{
    for (; *text; text++)
        if (strchr(":/?#[]@%&", *text))
            buf_append_format(out, "%%%02X", (unsigned char)*text);
        else
            buf_append(out, text, 1);
}

static void append_place(buf *out, const char *before, const char *host, int port)
{
    bool is_v6 = strchr(host, ':') && *host != '[';
    buf_append_format(out, is_v6 ? "%s[%s]:%d" : "%s%s:%d", before, host, port);
}

/* The URI with the parts that are given in place of its own. */
static void join_parts(config *c, const redis_uri *base)
{
    const option_set *o = c->source;
    const char *user = c->redis_username ? c->redis_username : base->user;
    const char *password = c->redis_password ? c->redis_password : base->password;
    const char *query = c->redis_base ? strchr(c->redis_base, '?') : NULL;
    buf text;
    buf_init(&text, 0);
    buf_append_format(&text, "redis%s%s://", base->tls ? "s" : "", base->seeds.count ? "-cluster" : "");
    if (user)
        config_redis_append_part(&text, user);
    if (password) {
        buf_append_text(&text, ":");
        config_redis_append_part(&text, password);
    }
    if (user || password)
        buf_append_text(&text, "@");
    for (size_t i = 0; i < base->seeds.count; i++)
        append_place(&text, i ? "," : "", base->seeds.at[i].host, base->seeds.at[i].port);
    if (!base->seeds.count)
        append_place(&text, "", c->redis_host ? c->redis_host : base->host,
                     option_set_is_given(o, &c->redis_port) ? (int)c->redis_port : base->port);
    buf_append_format(&text, "/%d", option_set_is_given(o, &c->redis_db) ? (int)c->redis_db : base->database);
    if (query)
        buf_append_text(&text, query);
    c->redis_uri = config_dup(c, "%s", text.data ? text.data : "");
    buf_clear(&text);
}

static void append_parameter(buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_append_format(out, "&%s=", name);
    config_redis_append_part(out, value);
}

/* Behind sentinels the parts are parameters: what stands before the hosts is for the sentinels. The last one of a name
 * counts. */
static void join_parameters(config *c)
{
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, c->redis_base);
    append_parameter(&text, "username", c->redis_username);
    append_parameter(&text, "password", c->redis_password);
    if (option_set_is_given(c->source, &c->redis_db))
        buf_append_format(&text, "&db=%d", (int)c->redis_db);
    c->redis_uri = config_dup(c, "%s", text.data ? text.data : "");
    buf_clear(&text);
}

static void check_joined(config *c, const redis_uri *base, const void *given)
{
    redis_uri joined;
    asynq_error error;
    if (base->sentinels.places.count)
        join_parameters(c);
    else
        join_parts(c, base);
    if (redis_uri_parse(&joined, c->redis_uri, &error))
        option_set_complain(c->source, given, "%s", error.text);
    else
        redis_uri_clear(&joined);
}

/* Of those that tell where Redis is only one can count. NULL: none is given. */
static const void *given_finder(const config *c)
{
    const void *const finders[] = {&c->redis_cluster, &c->redis_sentinels, &c->redis_sentinel_master,
                                   &c->redis_sentinel_username, &c->redis_sentinel_password};
    for (size_t i = 0; i < sizeof finders / sizeof *finders; i++)
        if (option_set_is_given(c->source, finders[i]))
            return finders[i];
    return NULL;
}

/* redis-sentinel:// or redis-cluster:// of the options that are given one by one. */
static void append_finder(const config *c, buf *out)
{
    buf_append_text(out, c->redis_cluster ? "redis-cluster://" : "redis-sentinel://");
    if (c->redis_sentinel_username)
        config_redis_append_part(out, c->redis_sentinel_username);
    if (c->redis_sentinel_password) {
        buf_append_text(out, ":");
        config_redis_append_part(out, c->redis_sentinel_password);
        buf_append_text(out, "@");
    }
    buf_append_text(out, c->redis_cluster ? c->redis_cluster : c->redis_sentinels ? c->redis_sentinels : "");
    if (c->redis_cluster)
        return;
    buf_append_text(out, "/0?master=");
    config_redis_append_part(out, c->redis_sentinel_master ? c->redis_sentinel_master : "");
}

/* Sets `redis_base`. False: they contradict each other, which is told. */
static bool make_finder(config *c)
{
    const void *given = given_finder(c);
    const char *other = c->redis ? "redis" : c->redis_host ? "redis_host" : NULL;
    bool has_sentinels =
        c->redis_sentinels || c->redis_sentinel_master || c->redis_sentinel_username || c->redis_sentinel_password;
    if (!other && c->redis_cluster && has_sentinels)
        other = "redis_sentinel...";
    if (given && other) {
        option_set_complain(c->source, given, "`%s` tells where Redis is, too; give one of them", other);
        return false;
    }
    c->redis_base = c->redis;
    if (!given)
        return true;
    buf text;
    buf_init(&text, 0);
    append_finder(c, &text);
    c->redis_base = config_dup(c, "%s", text.data ? text.data : "");
    buf_clear(&text);
    return true;
}

void config_check_redis(config *c)
{
    const void *const parts[] = {&c->redis_host, &c->redis_port, &c->redis_username, &c->redis_password, &c->redis_db};
    const void *given = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (option_set_is_given(c->source, parts[i]))
            given = parts[i];
    bool is_word = c->redis && strcmp(c->redis, "private") == 0;
    if (is_private(c->redis) || is_word || (!c->redis && !given && !given_finder(c))) {
        check_private(c);
        return;
    }
    redis_uri uri;
    asynq_error error;
    if (!make_finder(c))
        return;
    if (redis_uri_parse(&uri, c->redis_base ? c->redis_base : "redis://127.0.0.1:6379", &error)) {
        const void *finder = given_finder(c);
        option_set_complain(c->source, finder ? finder : &c->redis, "%s", error.text);
        return;
    }
    bool has_host = option_set_is_given(c->source, &c->redis_host) || option_set_is_given(c->source, &c->redis_port);
    if (given && uri.path)
        option_set_complain(c->source, given, "has no meaning for a Redis at a socket");
    else if (has_host && (uri.sentinels.places.count || uri.seeds.count))
        option_set_complain(c->source,
                            option_set_is_given(c->source, &c->redis_host) ? (void *)&c->redis_host : &c->redis_port,
                            "has no meaning where `redis` names %s, which say where the others are",
                            uri.seeds.count ? "nodes of a cluster" : "sentinels");
    else if (given)
        check_joined(c, &uri, given);
    else
        c->redis_uri = config_dup(c, "%s", c->redis_base);
    redis_uri_clear(&uri);
}
