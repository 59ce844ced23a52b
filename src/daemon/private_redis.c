/*
 * See private_redis.h. Two servers on one directory would destroy its data, so the directory has a lock, which the
 * child holds as well: it is free when both asynqd and its Redis are gone, in whatever order they end.
 */
#include "daemon/private_redis.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "event/timer.h"
#include "process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LOCK_TRIES = 50, /* a predecessor's Redis may still be writing its data */
    LOCK_PAUSE_US = 100 * 1000,
    SHORTEST_PAUSE_MS = 500,
    LONGEST_PAUSE_MS = 10000,
    STEADY_AFTER_MS = 30000,
    KILL_AFTER_MS = 20000,
    PROBE_PERIOD_MS = 10,
    MAX_PROBES = 3000 /* 30 s */
};

struct private_redis {
    private_redis_options options;
    char *directory, *program;
    int lock_fd;
    child *child;
    loop_timer again, kill;
    int64_t started_at_ms, pause_ms;
    char last_line[512];
    bool is_stopping;

    /* The first start. */
    loop_timer probe;
    unsigned probes;
    bool is_reached;
    asynq_error failure;
};

/* Its last line is the reason if it ends at once. */
static void server_line(void *arg, const char *line, size_t length)
{
    private_redis *redis = arg;
    snprintf(redis->last_line, sizeof redis->last_line, "%.*s", (int)length, line);
    log_debug(redis->options.log, "redis-server: %s", redis->last_line);
}

static void server_output(void *arg, int stream, const char *data, size_t length)
{
    (void)stream;
    text_each_line(data, length, server_line, arg);
}

static void server_ended(void *arg, const child_end *end)
{
    private_redis *redis = arg;
    char how[64];
    child_free(redis->child);
    redis->child = NULL;
    loop_timer_cancel(&redis->kill);
    if (redis->is_stopping) {
        redis->options.stopped(redis->options.arg);
        return;
    }
    if (!redis->is_reached) {
        error_set(&redis->failure, ASYNQ_E_SYSTEM, "%s: %s%s%s", redis->program,
                  end->failure ? end->failure : child_describe_end(end, how), *redis->last_line ? ": " : "",
                  redis->last_line);
        loop_stop(redis->options.loop);
        return;
    }
    if (loop_steady_ms(redis->options.loop) - redis->started_at_ms > STEADY_AFTER_MS)
        redis->pause_ms = 0;
    log_event(redis->options.log, LOG_PRIVATE_REDIS_EXITED, "%s: %s; restarted in %.1f s",
              end->failure ? end->failure : child_describe_end(end, how), redis->last_line,
              (double)redis->pause_ms / MS_PER_SECOND);
    loop_timer_set(&redis->again, redis->pause_ms);
    redis->pause_ms = backoff_next_ms(redis->pause_ms, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
}

static void private_redis_start_server(void *arg)
{
    private_redis *redis = arg;
    asynq_error error;
    char port[16];
    snprintf(port, sizeof port, "%d", redis->options.port);
    const char *const argv[] = {redis->program, "--port",           port,       "--bind", "127.0.0.1", "--unixsocket",
                                "redis.sock",   "--unixsocketperm", "700",      "--dir",  ".",         "--appendonly",
                                "yes",          "--appendfsync",    "everysec", "--save", "",          "--daemonize",
                                "no",           "--loglevel",       "notice",   NULL};
    const char *variable = getenv("PATH");
    char search[4096];
    snprintf(search, sizeof search, "PATH=%s", variable ? variable : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    const char *const environment[] = {search, "LC_ALL=C", NULL};
    redis->started_at_ms = loop_steady_ms(redis->options.loop);
    redis->last_line[0] = '\0';
    redis->child = child_start(redis->options.loop,
                               &(child_options){.argv = argv,
                                                .environment = environment,
                                                .directory = redis->directory,
                                                .death_signal = SIGTERM,
                                                .inherited = redis->lock_fd,
                                                .on_output = server_output,
                                                .on_end = server_ended,
                                                .arg = redis},
                               &error);
    if (redis->child)
        return;
    if (!redis->is_reached) {
        redis->failure = error;
        return;
    }
    log_event(redis->options.log, LOG_PRIVATE_REDIS_FAILED, "%s", error.text);
    loop_timer_set(&redis->again, LONGEST_PAUSE_MS);
}

/* Whether it takes connections. */
static void probe(void *arg)
{
    private_redis *redis = arg;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/redis.sock", redis->directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    redis->is_reached = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address);
    if (fd >= 0)
        close(fd);
    if (!redis->is_reached && ++redis->probes == MAX_PROBES)
        error_set(&redis->failure, ASYNQ_E_SYSTEM, "%s: does not take connections", redis->program);
    if (redis->is_reached || redis->failure.code)
        loop_stop(redis->options.loop);
    else
        loop_timer_set(&redis->probe, PROBE_PERIOD_MS);
}

static void kill_server(void *arg)
{
    private_redis *redis = arg;
    log_event(redis->options.log, LOG_PRIVATE_REDIS_KILLED, "it did not exit in time");
    child_signal(redis->child, SIGKILL);
}

void private_redis_stop(private_redis *redis)
{
    redis->is_stopping = true;
    loop_timer_cancel(&redis->again);
    if (!redis->child) {
        redis->options.stopped(redis->options.arg);
        return;
    }
    child_signal(redis->child, SIGTERM);
    loop_timer_set(&redis->kill, KILL_AFTER_MS);
}

/* ---- the directory ---- */

/* With the directories above it; private, as Redis has no password there. */
static int private_redis_make_directory(const char *path, asynq_error *error)
{
    char part[4096];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(part, 0755); /* if it cannot be made, the next one says so */
        *slash = '/';
    }
    if (mkdir(part, 0700) && errno != EEXIST)
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", path, strerror(errno));
    return ASYNQ_OK;
}

static int lock_directory(private_redis *redis, asynq_error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/asynqd.lock", redis->directory);
    redis->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (redis->lock_fd < 0)
        return error_set(error, ASYNQ_E_SYSTEM, "%s: %s", path, strerror(errno));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (!flock(redis->lock_fd, LOCK_EX | LOCK_NB))
            return ASYNQ_OK;
        usleep(LOCK_PAUSE_US);
    }
    return error_set(error, ASYNQ_E_CONFLICT,
                     "another asynqd runs the private Redis in %s; give this one --redis unix://%s/redis.sock",
                     redis->directory, redis->directory);
}

static void remove_socket(const private_redis *redis)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/redis.sock", redis->directory);
    (void)unlink(path);
}

private_redis *private_redis_start(const private_redis_options *options, asynq_error *error)
{
    private_redis *redis = mem_calloc(1, sizeof *redis);
    if (!redis)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    redis->options = *options;
    redis->lock_fd = -1;
    redis->directory = mem_strdup(options->directory);
    redis->program = mem_strdup(options->program);
    loop_timer_init(options->loop, &redis->again, private_redis_start_server, redis);
    loop_timer_init(options->loop, &redis->kill, kill_server, redis);
    loop_timer_init(options->loop, &redis->probe, probe, redis);
    int status = redis->directory && redis->program ? private_redis_make_directory(redis->directory, error)
                                                    : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = lock_directory(redis, error);
    if (!status) {
        remove_socket(redis); /* of a predecessor that was killed: it must not be taken for the new one */
        private_redis_start_server(redis);
        loop_timer_set(&redis->probe, 0);
        if (redis->child)
            loop_run(options->loop);
        if (redis->is_reached)
            return redis;
        *error = redis->failure;
    }
    private_redis_free(redis);
    return NULL;
}

void private_redis_free(private_redis *redis)
{
    if (!redis)
        return;
    loop_timer_cancel(&redis->again);
    loop_timer_cancel(&redis->kill);
    loop_timer_cancel(&redis->probe);
    child_free(redis->child);
    if (redis->lock_fd >= 0)
        close(redis->lock_fd);
    mem_free(redis->directory);
    mem_free(redis->program);
    mem_free(redis);
}
