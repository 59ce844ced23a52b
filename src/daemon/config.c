/* See config.h. */
#include "daemon/config.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/text.h"
#include "handler/plugin.h"
#include "metrics/endpoint.h"
#include "pg/pg_conn.h"
#include "redis/uri.h"

#include <asynq/cron.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PRIVATE_SCHEME "private:"
#define SYSTEM_STATE "/var/lib/asynqd"

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {[LOG_FORMAT_LOGFMT] = "logfmt", [LOG_FORMAT_JSON] = "json", NULL};
static const char *const output_names[] = {
    [LOG_OUTPUT_AUTO] = "auto", [LOG_OUTPUT_STDERR] = "stderr", [LOG_OUTPUT_JOURNAL] = "journal", NULL};

static int read_routes(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return route_list_read(file, node, &((config *)target)->routes, error);
}

static int read_workers(settings *file, settings_node *node, void *target, asynq_error *error)
{
    return worker_list_read(file, node, &((config *)target)->workers, error);
}

#define AT(field) offsetof(config, field)
#define IN(group, field) offsetof(config, group.field) - offsetof(config, group)

static const setting private_redis_table[] = {
    {.name = "port",
     .kind = SETTING_NUMBER,
     .offset = IN(private_redis, port),
     .most = 65535,
     .preset = "0",
     .help = "A port on 127.0.0.1 at which the private Redis can be reached as well, for Go services and Asynqmon on "
             "this machine. It has no password. 0: none."},
    {.name = "program",
     .kind = SETTING_TEXT,
     .offset = IN(private_redis, program),
     .preset = "redis-server",
     .value = "PATH",
     .help = "The server to start; also valkey-server."},
    {0},
};

static const setting schedule_table[] = {
    {.name = "file",
     .is_reloaded = true,
     .kind = SETTING_TEXT,
     .offset = IN(schedule, file),
     .value = "PATH",
     .example = "/etc/asynqd/schedule.yaml",
     .help = "Tasks to enqueue in time, see asynq-schedule(5). A change takes effect within a second, on all asynqds "
             "together each tick is enqueued once."},
    {.name = "zone",
     .is_reloaded = true,
     .kind = SETTING_TEXT,
     .offset = IN(schedule, zone),
     .value = "ZONE",
     .preset = "UTC",
     .help = "The time zone of entries that name none."},
    {0},
};

static const setting log_table[] = {
    {.name = "level",
     .is_reloaded = true,
     .kind = SETTING_CHOICE,
     .offset = IN(log, level),
     .choices = level_names,
     .preset = "info",
     .variables = "LOG_LEVEL WORKER_LOG_LEVEL",
     .help = "Lines below this level are left out."},
    {.name = "format",
     .kind = SETTING_CHOICE,
     .offset = IN(log, format),
     .choices = format_names,
     .preset = "logfmt",
     .variables = "LOG_FORMAT",
     .help = "How a line looks on standard error."},
    {.name = "output",
     .kind = SETTING_CHOICE,
     .offset = IN(log, output),
     .choices = output_names,
     .preset = "auto",
     .help = "Where lines go: to standard error, or to systemd's journal, field by field. auto: to the journal if "
             "systemd has connected standard error with it."},
    {.name = "attempts",
     .is_reloaded = true,
     .kind = SETTING_SWITCH,
     .offset = IN(log, attempts),
     .preset = "true",
     .help = "A line for each attempt at a task: completed at level info, retried at warn, archived at error."},
    {0},
};

static const setting endpoints_table[] = {
    {.name = "listen",
     .kind = SETTING_TEXT,
     .offset = IN(endpoints, listen),
     .value = "HOST:PORT",
     .preset = "127.0.0.1:9273",
     .help =
         "Where /healthz, /readyz, /metrics, /scale and POST /v1/tasks are answered. If it is empty, nowhere. If the "
         "default is taken, asynqd goes on without."},
    {.name = "token",
     .kind = SETTING_TEXT,
     .offset = IN(endpoints, token),
     .is_secret = true,
     .help = "All but /healthz and /readyz ask for it: `Authorization: Bearer <token>`. Without a token, tasks can be "
             "posted only where asynqd listens on a loopback address."},
    {.name = "cert_file",
     .kind = SETTING_TEXT,
     .offset = IN(endpoints, cert_file),
     .value = "PATH",
     .help = "Certificate, with its chain, for TLS; none without it. It is read again with the configuration."},
    {.name = "key_file", .kind = SETTING_TEXT, .offset = IN(endpoints, key_file), .value = "PATH", .help = "Its key."},
    {.name = "body_limit",
     .kind = SETTING_SIZE,
     .offset = IN(endpoints, most_body),
     .least = 1024,
     .most = 1 << 30,
     .preset = "16MiB",
     .help = "Requests with a larger body are refused."},
    {.name = "max_connections",
     .kind = SETTING_NUMBER,
     .offset = IN(endpoints, max_connections),
     .most = 100000,
     .example = "1024",
     .help =
         "Connections at the same time. When there are more, those that have been without a request longest are "
         "closed. If it is not given: an eighth of the files that asynqd may open, so that tasks keep the rest, but "
         "16 to 1024."},
    {.name = "request_timeout",
     .kind = SETTING_DURATION,
     .offset = IN(endpoints, request_within_ms),
     .least = 1000,
     .most = 3600 * 1000,
     .preset = "60s",
     .help = "A connection is closed if no whole request, head and body, has come so long after it was made, or after "
             "the last answer; after half a minute without any byte in any case."},
    {.name = "queues",
     .is_reloaded = true,
     .kind = SETTING_LIST,
     .offset = IN(endpoints, queues),
     .value = "[PATTERN, ...]",
     .example = "[default, \"mail-*\"]",
     .help = "Tasks may be posted to queues with such names only; `*` stands for any text. Without it, to all."},
    {.name = "types",
     .is_reloaded = true,
     .kind = SETTING_LIST,
     .offset = IN(endpoints, types),
     .value = "[PATTERN, ...]",
     .example = "[\"email:*\"]",
     .help = "The same for types of tasks."},
    {.name = "max_queues",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = IN(endpoints, max_queues),
     .most = 1000000,
     .preset = "100",
     .help = "To so many queues that asynqd does not serve itself tasks may be posted, as queues stay for ever."},
    {.name = "ready_within",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = IN(endpoints, ready_within_ms),
     .least = 6000,
     .preset = "15s",
     .help =
         "/readyz is fine only if Redis has had this server's records and leases so lately; they go there every 5 s."},
    {0},
};

static const setting postgres_table[] = {
    {.name = "uri",
     .kind = SETTING_TEXT,
     .offset = IN(postgres, uri),
     .value = "URI",
     .has_password = true,
     .variables = "DATABASE_URL POSTGRES_URI",
     .example = "postgresql://asynqd@127.0.0.1/asynqd",
     .help = "Where PostgreSQL is, as libpq takes it: postgresql://user@host:port/database?sslmode=verify-full, or "
             "host=... dbname=.... Without it there is no history and there are no jobs. `asynqd migrate` makes the "
             "tables."},
    {.name = "password",
     .kind = SETTING_TEXT,
     .offset = IN(postgres, password),
     .variables = "POSTGRES_PASSWORD",
     .is_secret = true,
     .help = "Instead of one in the URI."},
    {.name = "history",
     .kind = SETTING_SWITCH,
     .offset = IN(postgres, history),
     .preset = "true",
     .help = "Write a row into the table asynqd.executions for each attempt at a task."},
    {.name = "retention",
     .kind = SETTING_DURATION,
     .offset = IN(postgres, retention_ms),
     .preset = "90d",
     .help =
         "Months of the history that lie behind it are dropped, and rows if it is shorter than 28 days; 0: none are."},
    {.name = "spool_limit",
     .kind = SETTING_SIZE,
     .offset = IN(postgres, spool_most),
     .least = 16 << 20,
     .preset = "256MiB",
     .help = "How much history may wait on disk, in the state directory, while PostgreSQL is away; what comes then is "
             "lost, and the log and /metrics say so. A million attempts need some 800 MB."},
    {.name = "jobs",
     .kind = SETTING_SWITCH,
     .offset = IN(postgres, jobs),
     .preset = "true",
     .help = "Enqueue the tasks of the table asynqd.jobs in time. All asynqds with the same tables do it together: "
             "each tick is "
             "enqueued once."},
    {.name = "jobs_retention",
     .kind = SETTING_DURATION,
     .offset = IN(postgres, jobs_retention_ms),
     .preset = "0s",
     .help = "Jobs for one task alone are deleted when their task was enqueued so long ago; 0: they are not."},
    {0},
};

const setting config_table[] = {
    {.name = "redis",
     .kind = SETTING_TEXT,
     .offset = AT(redis),
     .value = "URI",
     .has_password = true,
     .variables = "ASYNQ_REDIS_URI REDIS_URL",
     .example = "redis://127.0.0.1:6379/0",
     .help = "Where Redis is: redis://[[user]:password@]host[:port][/db], rediss:// the same over TLS, unix:///path. "
             "private:DIRECTORY starts a Redis of asynqd's own, which keeps its data there; private does so in the "
             "state directory, and is the default if `redis_host` is not given either."},
    {.name = "redis_host",
     .kind = SETTING_TEXT,
     .offset = AT(redis_host),
     .value = "HOST",
     .variables = "REDIS_HOST",
     .help = "This and the next four take the place of the parts of the URI; a URI is not needed then."},
    {.name = "redis_port",
     .kind = SETTING_NUMBER,
     .offset = AT(redis_port),
     .most = 65535,
     .variables = "REDIS_PORT",
     .value = "PORT"},
    {.name = "redis_username",
     .kind = SETTING_TEXT,
     .offset = AT(redis_username),
     .variables = "REDIS_USERNAME REDIS_USER",
     .value = "NAME"},
    {.name = "redis_password",
     .kind = SETTING_TEXT,
     .offset = AT(redis_password),
     .variables = "REDIS_PASSWORD",
     .is_secret = true,
     .value = "TEXT"},
    {.name = "redis_db", .kind = SETTING_NUMBER, .offset = AT(redis_db), .most = 1000000, .variables = "REDIS_DB"},
    {.name = "private_redis",
     .kind = SETTING_GROUP,
     .offset = AT(private_redis),
     .group = private_redis_table,
     .help = "The Redis of asynqd's own."},
    {.name = "queues",
     .is_reloaded = true,
     .kind = SETTING_PAIRS,
     .offset = AT(queues),
     .value = "{NAME: PRIORITY}",
     .preset = "default=1",
     .variables = "WORKER_QUEUES",
     .example = "{critical: 6, default: 3, low: 1}",
     .help = "The queues to serve, each with its share of the attention."},
    {.name = "strict_priority",
     .is_reloaded = true,
     .kind = SETTING_SWITCH,
     .offset = AT(is_strict),
     .preset = "false",
     .help = "A queue is served only when all queues of higher priority are empty."},
    {.name = "concurrency",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = AT(concurrency),
     .least = 1,
     .most = 1000000,
     .preset = "50",
     .variables = "WORKER_CONCURRENCY",
     .help = "Tasks at the same time. HTTP calls need no thread or process each, so it may be thousands."},
    {.name = "shutdown_timeout",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = AT(shutdown_timeout_ms),
     .least = 1,
     .most = 24 * 3600 * 1000,
     .preset = "30s",
     .variables = "WORKER_SHUTDOWN_TIMEOUT",
     .help = "How long running tasks may go on after the signal TERM; then they are stopped and given back."},
    {.name = "routes",
     .is_reloaded = true,
     .kind = SETTING_OTHER,
     .offset = AT(routes),
     .read = read_routes,
     .value = "[ROUTE, ...]",
     .help = "What is done with which type of task; see ROUTES."},
    {.name = "workers",
     .is_reloaded = true,
     .kind = SETTING_OTHER,
     .offset = AT(workers),
     .read = read_workers,
     .value = "{NAME: POOL}",
     .help = "Pools of worker processes; see WORKERS."},
    {.name = "schedule",
     .kind = SETTING_GROUP,
     .offset = AT(schedule),
     .group = schedule_table,
     .help = "Periodic tasks."},
    {.name = "postgres",
     .kind = SETTING_GROUP,
     .offset = AT(postgres),
     .group = postgres_table,
     .help = "The history of attempts and a table of jobs; see POSTGRESQL."},
    {.name = "endpoints",
     .kind = SETTING_GROUP,
     .offset = AT(endpoints),
     .group = endpoints_table,
     .help = "The HTTP server for health checks, metrics and the API."},
    {.name = "scale",
     .kind = SETTING_GROUP,
     .offset = AT(scale),
     .group = scale_table,
     .help = "How many workers /scale asks for, see SCALING."},
    {.name = "log", .kind = SETTING_GROUP, .offset = AT(log), .group = log_table, .help = "The log."},
    {.name = "state_directory",
     .kind = SETTING_TEXT,
     .offset = AT(state_directory),
     .value = "PATH",
     .variables = "STATE_DIRECTORY",
     .help = "Where asynqd keeps what must outlive it. If it is not given: " SYSTEM_STATE " for root, else "
             "$XDG_STATE_HOME/asynqd or ~/.local/state/asynqd."},
    {0},
};

/* ---- checks ---- */

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
        c->state_directory = SYSTEM_STATE;
    else if (state && *state == '/')
        c->state_directory = text_dup(c, "%s/asynqd", state);
    else
        c->state_directory = text_dup(c, "%s/.local/state/asynqd", home && *home ? home : "/tmp");
}

static bool is_private(const char *redis)
{
    return redis && strncmp(redis, PRIVATE_SCHEME, strlen(PRIVATE_SCHEME)) == 0;
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
        join_parts(c, &uri);
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
    c->spool = text_dup(c, "%s/spool", c->state_directory);
}

static void check_plugins(config *c)
{
    if (!plugin_add_pools(&c->routes, &c->workers, option_set_memory(c->source)))
        option_set_complain(c->source, &c->routes, "out of memory");
}

static void check_schedule(config *c)
{
    asynq_error error;
    asynq_cron *any = asynq_cron_new("@daily", c->schedule.zone, &error);
    if (!any)
        option_set_complain(c->source, &c->schedule.zone, "%s", error.text);
    asynq_cron_free(any);
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

static void config_check(config *c)
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
}

/* ---- read again ---- */

typedef struct keeping {
    config *fresh;
    const config *first;
    void (*told)(void *arg, const char *path);
    void *arg;
} keeping;

static void keep_row(const setting *row, const char *path, void *target, void *arg)
{
    const keeping *to = arg;
    const void *first = (const char *)to->first + ((char *)target - (char *)to->fresh);
    if (row->is_reloaded)
        return;
    if (!setting_is_same(row, target, first))
        to->told(to->arg, path);
    setting_copy(row, target, first);
}

void config_keep(config *fresh, const config *first, void (*told)(void *arg, const char *path), void *arg)
{
    setting_walk(config_table, fresh, keep_row, &(keeping){fresh, first, told, arg});
    fresh->redis_uri = first->redis_uri;
    fresh->private_directory = first->private_directory;
    fresh->spool = first->spool;
}

/* ---- loading ---- */

config *config_load(const config_sources *sources, bool *is_valid)
{
    config *c = mem_calloc(1, sizeof *c);
    *is_valid = false;
    if (!c)
        return NULL;
    /* The last three are set by Kubernetes for a service called asynqd. */
    static const char *const others[] = {"CONFIG", "PORT", "PORT_*", "SERVICE_*", NULL};
    c->source = option_set_new(config_table, "ASYNQD", others, c);
    if (!c->source) {
        mem_free(c);
        return NULL;
    }
    c->refs = 1;
    *is_valid = !sources->file || option_set_read_file(c->source, sources->file);
    *is_valid &= option_set_read_environment(c->source, sources->environment);
    *is_valid &= option_set_read_flags(c->source, sources->flag_count, sources->flags);
    config_check(c);
    *is_valid &= !option_set_complaints(c->source);
    return c;
}

config *config_hold(config *c)
{
    c->refs++;
    return c;
}

void config_free(config *c)
{
    if (!c || --c->refs)
        return;
    route_list_clear(&c->routes);
    option_set_free(c->source);
    mem_free(c);
}

asynq_log_level config_log_level(const config *c)
{
    return (asynq_log_level)(c->log.level - 1); /* level_names are in the library's order, which begins with -1 */
}
