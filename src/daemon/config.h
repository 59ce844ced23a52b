/* What asynqd is told to do: one table (config_table), filled from file, environment and flags. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "base/log.h"
#include "base/option_set.h"
#include "daemon/scale.h"
#include "event/errands.h"
#include "handler/route.h"
#include "process/worker_options.h"

typedef struct config {
    /* Redis */
    const char *redis, *redis_host, *redis_username, *redis_password, *prefix;
    const char *redis_cluster, *redis_sentinels, *redis_sentinel_master;
    const char *redis_sentinel_username, *redis_sentinel_password;
    int64_t redis_port, redis_db;
    struct {
        int64_t port; /* 0: none */
        const char *program;
    } private_redis;

    /* Work */
    setting_pairs queues;
    bool is_strict;
    int64_t concurrency, shutdown_timeout_ms;
    int lost_tasks; /* an asynq_lost_policy */
    int64_t max_losses, session_timeout_ms, session_renewal_ms;
    route_list routes;
    worker_list workers;

    struct {
        const char *file, *zone;
    } schedule;

    struct {
        int level, format, output;
        bool attempts;
    } log;

    struct {
        const char *listen, *token, *cert_file, *key_file;
        int64_t max_body, readiness_max_heartbeat_age_ms, request_within_ms, max_connections, max_queues;
        setting_list queues, types;
        int64_t replicas, replicas_timeout_ms;
        bool fsync;
    } endpoints;

    struct {
        const char *uri, *password, *schema;
        bool history, jobs;
        int64_t retention_ms, jobs_retention_ms, spool_max;
    } postgres;

    scale_options scale;

    const char *state_directory;

    /* Made by config_load(). */
    _Atomic int refs;
    errands *errands; /* whose thread frees it, as that takes milliseconds where it is large; NULL: who gives it up */
    errand gone;
    option_set *source;
    const char *redis_base; /* the URI before what takes the place of its parts */
    char *redis_uri;
    const char *private_directory; /* NULL: Redis is elsewhere */
    asynq_queue *queue_list;       /* ends with an empty row */
    const char *spool;             /* folder for history that is not in PostgreSQL yet */
} config;

#define CONFIG_SYSTEM_STATE "/var/lib/asynqd"

extern const setting config_table[];

enum { LOG_OUTPUT_AUTO, LOG_OUTPUT_STDERR, LOG_OUTPUT_JOURNAL };
enum { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Where values come from; `file` NULL: none. */
typedef struct config_sources {
    const char *file;
    char **environment;
    int flag_count;
    char **flags;
} config_sources;

/*
 * Reads and checks everything. The configuration is made in any case (NULL: out of memory); `*is_valid` says whether it
 * can be used, option_set_complaints(source) what is wrong with it.
 */
config *config_load(const config_sources *sources, bool *is_valid);
/* One more reference; each ends with config_free(). Thread: any. */
config *config_hold(config *c);
/* Accepts NULL. */
void config_free(config *c);

/*
 * Gives a configuration that was read again those values of the first one that a restart is needed for, and calls
 * `told` for each that is another one.
 */
void config_keep(config *fresh, const config *first, void (*told)(void *arg, const char *path), void *arg);

/* "3 routes, 1 queues, concurrency 50". */
void config_describe(const config *c, char *text, size_t size);
/* Warns of what is missing now and may come before it is needed; one route is no reason to run none. */
void config_tell_doubts(const config *c, log_sink *log);

/* The log level, as the library has it. */
asynq_log_level config_log_level(const config *c);

/* A text that lives as long as the configuration. NULL: out of memory. */
char *config_dup(config *c, const char *format, ...) ASYNQ_PRINTF(2, 3);

/* ---- config_redis.c ---- */

/* Makes `redis_uri`, or `private_directory`. */
void config_check_redis(config *c);

/* ---- config_check.c ---- */

/* Notes what is wrong, and makes what config_load() makes. Reads files that the configuration names. */
void config_check(config *c);

/* ---- config_text.c: as text ---- */

/* Every value with its origin, as a file that asynqd reads. */
void config_print(const config *c, FILE *out);
/* A file with every option, its help and its default. */
void config_print_sample(FILE *out);
/* asynqd.conf(5), and the part of asynqd(8) that lists flags. */
void config_print_manual(FILE *out);
void config_print_flags(FILE *out);

#endif
