/* See meters.h. */
#include "daemon/meters.h"

/* From a millisecond to the 90 s of a long HTTP call, and beyond. */
static const double wait_buckets[] = {0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 0};
static const double run_buckets[] = {0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 30, 60, 90, 300, 1800, 0};

/* Nothing on the loop should take ten milliseconds. */
static const double turn_buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 0};

const metric_family meter_table[METER_COUNT] = {
    [METER_ATTEMPTS] = {"asynqd_attempts_total",
                        "Attempts at tasks that have ended, by what became of the task.",
                        METRIC_COUNTER,
                        {"queue", "route", "outcome"},
                        NULL},
    [METER_FAILURES] = {"asynqd_failures_total",
                        "Attempts that failed, by the class of the error.",
                        METRIC_COUNTER,
                        {"queue", "route", "error_class"},
                        NULL},
    [METER_WAIT] = {"asynqd_task_wait_seconds",
                    "How long tasks were pending before an attempt.",
                    METRIC_HISTOGRAM,
                    {"queue", "route"},
                    wait_buckets},
    [METER_RUN] =
        {"asynqd_task_duration_seconds", "Duration of attempts.", METRIC_HISTOGRAM, {"queue", "route"}, run_buckets},
    [METER_RUNNING] = {"asynqd_running_tasks", "Attempts under way.", METRIC_GAUGE, {NULL}, NULL},
    [METER_CONCURRENCY] =
        {"asynqd_concurrency", "Maximum number of attempts at the same time.", METRIC_GAUGE, {NULL}, NULL},
    [METER_REDIS_UP] = {"asynqd_redis_up", "1 while the server is connected to Redis.", METRIC_GAUGE, {NULL}, NULL},
    [METER_REDIS_COMMANDS] = {"asynqd_redis_commands_total",
                              "Commands that the server has sent to Redis for tasks.",
                              METRIC_COUNTER,
                              {NULL},
                              NULL},
    [METER_LEASES_LOST] =
        {"asynqd_leases_lost_total", "Tasks whose lease was lost while they ran.", METRIC_COUNTER, {NULL}, NULL},
    [METER_TASKS_RECOVERED] =
        {"asynqd_tasks_recovered_total", "Tasks of servers that were killed or cut off.", METRIC_COUNTER, {NULL}, NULL},
    [METER_WORKERS_SIZE] =
        {"asynqd_worker_pool_size", "Worker processes that a pool should have.", METRIC_GAUGE, {"pool"}, NULL},
    [METER_WORKERS] = {"asynqd_worker_processes", "Worker processes of a pool.", METRIC_GAUGE, {"pool", "state"}, NULL},
    [METER_WORKERS_WAITING] =
        {"asynqd_worker_waiting_tasks", "Tasks that wait for a process of a pool.", METRIC_GAUGE, {"pool"}, NULL},
    [METER_WORKERS_STARTED] =
        {"asynqd_worker_starts_total", "Processes of a pool that were started.", METRIC_COUNTER, {"pool"}, NULL},
    [METER_WORKERS_CRASHED] = {"asynqd_worker_crashes_total",
                               "Processes of a pool that ended without being told to.",
                               METRIC_COUNTER,
                               {"pool"},
                               NULL},
    [METER_HTTP_CALLS] = {"asynqd_http_requests",
                          "HTTP requests in flight, and those queued behind others to the same host.",
                          METRIC_GAUGE,
                          {"state"},
                          NULL},
    [METER_ENQUEUED] = {"asynqd_api_tasks_total",
                        "Tasks that came in by POST /v1/tasks, by what became of them.",
                        METRIC_COUNTER,
                        {"result"},
                        NULL},
    [METER_POSTGRES_UP] =
        {"asynqd_postgres_up", "1 while PostgreSQL is connected and has the tables.", METRIC_GAUGE, {NULL}, NULL},
    [METER_HISTORY_WRITTEN] = {"asynqd_history_written_total",
                               "Records of the history that PostgreSQL has stored; an attempt has two.",
                               METRIC_COUNTER,
                               {NULL},
                               NULL},
    [METER_HISTORY_LOST] =
        {"asynqd_history_lost_total",
         "Records of the history that are lost: the spool had no room, for example, or PostgreSQL refused them.",
         METRIC_COUNTER,
         {"reason"},
         NULL},
    [METER_SPOOL_BYTES] =
        {"asynqd_spool_bytes", "History that waits on disk for PostgreSQL.", METRIC_GAUGE, {NULL}, NULL},
    [METER_SPOOL_ROWS] =
        {"asynqd_spool_records", "Records of the history that wait on disk.", METRIC_GAUGE, {NULL}, NULL},
    [METER_JOBS] = {"asynqd_jobs",
                    "Enabled scheduled jobs of PostgreSQL, by whether they can be used.",
                    METRIC_GAUGE,
                    {"state"},
                    NULL},
    [METER_LOOP_TURN] = {"asynqd_loop_busy_seconds",
                         "How long the loop of asynqd was busy without a break; what else it serves had to wait.",
                         METRIC_HISTOGRAM,
                         {NULL},
                         turn_buckets},
    [METER_LOG_DROPPED] = {"asynqd_log_lines_dropped_total",
                           "Log lines that were dropped, as they were not read in time, or for want of memory.",
                           METRIC_COUNTER,
                           {NULL},
                           NULL},
    [METER_WORKERS_CPU] = {"asynqd_worker_cpu_seconds_total",
                           "CPU time of the processes of a pool, as of the last look at each.",
                           METRIC_COUNTER,
                           {"pool"},
                           NULL},
    [METER_WORKERS_RESIDENT] = {"asynqd_worker_resident_memory_bytes",
                                "Memory of the processes of a pool; what they share counts in each.",
                                METRIC_GAUGE,
                                {"pool"},
                                NULL},
    /* As Prometheus's client libraries have them. */
    [METER_PROCESS_CPU] =
        {"process_cpu_seconds_total", "CPU time of asynqd itself, user and system.", METRIC_COUNTER, {NULL}, NULL},
    [METER_PROCESS_RESIDENT] =
        {"process_resident_memory_bytes", "Memory of asynqd itself.", METRIC_GAUGE, {NULL}, NULL},
    [METER_PROCESS_VIRTUAL] = {"process_virtual_memory_bytes", "Its address space.", METRIC_GAUGE, {NULL}, NULL},
    [METER_PROCESS_FILES] = {"process_open_fds", "Its open descriptors.", METRIC_GAUGE, {NULL}, NULL},
    [METER_PROCESS_MAX_FILES] = {"process_max_fds", "How many there may be.", METRIC_GAUGE, {NULL}, NULL},
    [METER_PROCESS_STARTED] =
        {"process_start_time_seconds", "When it was started; Unix time.", METRIC_GAUGE, {NULL}, NULL},
    [METER_INFO] = {"asynqd_build_info", "Build information.", METRIC_GAUGE, {"version"}, NULL},
};
