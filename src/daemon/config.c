/* See config.h. */
#include "daemon/config.h"

#include "base/alloc.h"
#include "pg/schema_name.h"

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
    {.name = "schema",
     .kind = SETTING_TEXT,
     .offset = IN(postgres, schema),
     .preset = SCHEMA_NAME_DEFAULT,
     .help = "Where the tables are: small letters, digits and underscores. Asynqds with schemas of their own in one "
             "database have nothing to do with each other."},
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
     .has_numbers = true,
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
     .help = "Where asynqd keeps what must outlive it. If it is not given: " CONFIG_SYSTEM_STATE " for root, else "
             "$XDG_STATE_HOME/asynqd or ~/.local/state/asynqd."},
    {0},
};

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
