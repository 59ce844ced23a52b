/*
 * What lines in the log begin with: every line above debug level is one of these events, with what it concerns behind a
 * colon. The texts are for searches and alerts, and stay. docs/log-events.md is made from this table by
 * tools/log-events.
 */
#ifndef BASE_LOG_EVENTS_H
#define BASE_LOG_EVENTS_H

/* clang-format off */
/* X(id, level, text, meaning) */
#define LOG_EVENT_MAP(X) \
    X(ACCEPT_FAILED, WARN, "accept failed", \
      "The HTTP server cannot accept connections now, usually for want of descriptors.") \
    X(GROUP_RECOVERED, INFO, "aggregation recovered", \
      "An aggregation was not finished; its tasks are in the group again.") \
    X(DAEMON_READY, INFO, "asynqd ready", \
      "asynqd takes tasks.") \
    X(DAEMON_STOPPED, INFO, "asynqd stopped", \
      "The last line of a regular exit.") \
    X(CANCELLATION, WARN, "cancellation unavailable", \
      "Operators cannot cancel tasks of this server; the reason follows.") \
    X(AUTHORITIES_UNREADABLE, WARN, "certificate authorities unreadable", \
      "HTTPS requests fail until the file can be read.") \
    X(CERTIFICATE_KEPT, ERROR, "certificate not reloaded", \
      "The previous certificate stays effective.") \
    X(CLOCKS_DIFFER, WARN, "clocks differ", \
      "Of this machine and of Redis. Tasks may start early or late: check NTP.") \
    X(CONFIG_INVALID, ERROR, "configuration invalid", \
      "A mistake in the configuration, found during a reload. The line names the place.") \
    X(RELOADED, INFO, "configuration reloaded", \
      "The new configuration is effective.") \
    X(CONFIG_WARNING, WARN, "configuration warning", \
      "The configuration is valid, but something in it will probably not work. The line names the place.") \
    X(ID_REMOVED, WARN, "dangling id removed", \
      "A list had the id of a task that does not exist.") \
    X(ENDPOINTS_READY, INFO, "endpoints ready", \
      "The HTTP server for health, metrics and the API listens.") \
    X(ENDPOINTS_FAILED, WARN, "endpoints unavailable", \
      "The HTTP server cannot listen, for example because the port is in use; tasks are run all the same.") \
    X(ENTRIES_KEPT, ERROR, "entries not updated", \
      "The provider failed; the known entries stay effective.") \
    X(ENTRY_HELD, INFO, "entry acquired", \
      "This scheduler enqueues the entry from now on.") \
    X(ENTRY_ADDED, INFO, "entry added", \
      "The provider has a new entry.") \
    X(ENTRY_INVALID, ERROR, "entry invalid", \
      "The entry is not used; the reason follows.") \
    X(ENTRIES_NOT_LISTED, WARN, "entry list not written", \
      "User interfaces may not show the entries of this scheduler.") \
    X(ENTRY_REMOVED, INFO, "entry removed", \
      "The provider does not have it any more.") \
    X(FATAL, ERROR, "fatal error", \
      "asynqd exits at once.") \
    X(FETCHING_STOPPED, INFO, "fetching stopped", \
      "The signal TSTP was received: running tasks continue, no new ones are taken.") \
    X(FILES_LIMITED, WARN, "file limit low", \
      "The limit of open files is too low for the concurrency. Raise `ulimit -n` or `LimitNOFILE`.") \
    X(GROUP_FAILED, WARN, "group not aggregated", \
      "It is tried again; the reason follows.") \
    X(GROUP_TASK_SKIPPED, WARN, "group task left out", \
      "A task of a group cannot be read, and does not become part of the aggregated task.") \
    X(HEARTBEAT_FAILED, ERROR, "heartbeat failed", \
      "User interfaces may not show this server.") \
    X(HISTORY_DELAYED, WARN, "history delayed", \
      "PostgreSQL does not take records now; they wait in the spool.") \
    X(HISTORY_INCOMPLETE, WARN, "history incomplete", \
      "Ends of attempts of a killed asynqd cannot be looked up now.") \
    X(HISTORY_LOST, ERROR, "history lost", \
      "Records of attempts are lost: the spool or its disk is full, or damaged.") \
    X(HISTORY_UPKEEP, WARN, "history maintenance failed", \
      "Partitions or old rows could not be created or dropped; it is tried again.") \
    X(PARTITION_DROPPED, INFO, "history partition dropped", \
      "It was older than `postgres.retention`.") \
    X(PARTITION_CREATED, INFO, "history partitions created", \
      "For the next months.") \
    X(HISTORY_RECOVERED, INFO, "history recovered", \
      "Records that another asynqd had left in its spool are written.") \
    X(HISTORY_REFUSED, ERROR, "history row refused", \
      "PostgreSQL refused one row, which is dropped.") \
    X(HISTORY_EXPIRED, WARN, "history rows expired", \
      "Rows came later than `postgres.retention` and are deleted.") \
    X(HISTORY_MISDATED, WARN, "history rows misdated", \
      "Rows with impossible times, of a clock that was wrong, are in `executions_other`.") \
    X(HISTORY_UNREADABLE, ERROR, "history unreadable", \
      "The spool cannot be read now; its records wait.") \
    X(LEASE_LATE, WARN, "lease answered late", \
      "Redis answered after the lease had expired; the tasks are recovered.") \
    X(LEASE_FOUND, INFO, "lease found", \
      "The answer to a lease was lost with a connection; its tasks run now.") \
    X(LEASE_LOST, WARN, "lease lost", \
      "The lease of a running task expired or went to another server: the task may run twice. Slow Redis, or a " \
      "stalled process.") \
    X(LIBEVENT, WARN, "libevent", \
      "A message of the library libevent.") \
    X(LIMIT_FAILED, ERROR, "limit call failed", \
      "Tasks of the limit wait; the reason follows.") \
    X(LOOP_BLOCKED, WARN, "loop blocked", \
      "The main loop was busy without a break; endpoints and tasks had to wait. Often a machine without spare " \
      "CPU time.") \
    X(ROUTES_MISSING, WARN, "no routes", \
      "Without routes no task is run.") \
    X(OLD_CONFIGURATION, INFO, "old configuration in use", \
      "Running tasks end with the configuration with which they began.") \
    X(OUTCOME_DROPPED, WARN, "outcome dropped", \
      "The lease was lost before the outcome could be written; another attempt counts.") \
    X(OUTCOME_NOT_WRITTEN, ERROR, "outcome not written", \
      "It is tried again until the lease expires.") \
    X(LINES_DROPPED, WARN, "output lines dropped", \
      "A command or worker process writes more lines per second than are logged.") \
    X(POSTGRES_UP, INFO, "postgres connected", \
      "History is written.") \
    X(NOTIFICATIONS_LOST, WARN, "postgres notifications lost", \
      "LISTEN does not work, as behind a pooler in transaction mode; the table is polled.") \
    X(NOTIFICATIONS_BACK, INFO, "postgres notifications restored", \
      "Changes of scheduled jobs take effect at once again.") \
    X(POSTGRES_DOWN, WARN, "postgres unavailable", \
      "History waits in the spool; tasks are run. The reason follows.") \
    X(PRIVATE_REDIS_EXITED, ERROR, "private redis exited", \
      "It is restarted; the reason follows.") \
    X(PRIVATE_REDIS_KILLED, WARN, "private redis killed", \
      "It did not exit in time during a shutdown.") \
    X(PRIVATE_REDIS_FAILED, ERROR, "private redis not started", \
      "The reason follows.") \
    X(QUEUE_ADDED, INFO, "queue added", \
      "The server serves it from now on.") \
    X(QUEUE_CALL_FAILED, ERROR, "queue call failed", \
      "Redis refused a call for a queue; the reason follows. It is tried again.") \
    X(QUEUE_NAMES_IGNORED, WARN, "queue names ignored", \
      "Names in Redis that no queue can have.") \
    X(QUEUE_NOT_SERVED, ERROR, "queue not served", \
      "For want of memory.") \
    X(QUEUE_PRIORITY, INFO, "queue priority changed", \
      "A running server has another weight for the queue.") \
    X(QUEUE_REMOVED, INFO, "queue removed", \
      "The server does not serve it any more.") \
    X(QUEUE_SET_UNREADABLE, ERROR, "queue set unreadable", \
      "Patterns of queues need it.") \
    X(REDIS_CONNECTION, WARN, "redis connection", \
      "The connection to Redis was lost, or cannot be made. It is tried again; the reason follows.") \
    X(REDIS_NOT_KILLED, WARN, "redis connection not killed", \
      "Redis refuses CLIENT KILL: commands sent on a lost connection may still be executed. Grant " \
      "`+client|kill`.") \
    X(REDIS_NOTIFICATIONS, WARN, "redis notifications unavailable", \
      "Queues are polled instead. Grant the rights that the line names.") \
    X(RELOAD_FAILED, ERROR, "reload failed", \
      "The current configuration stays effective.") \
    X(RELOAD_PENDING, INFO, "reload pending", \
      "The signal HUP was received during a reload; another one follows.") \
    X(REPORT_DROPPED, WARN, "report dropped", \
      "`report_error` or `report_end` takes too long.") \
    X(RESOURCES_EXHAUSTED, WARN, "resources exhausted", \
      "asynqd lacks processes, files or memory. Fewer tasks run at the same time; no attempt is charged.") \
    X(RESTART_REQUIRED, WARN, "restart required", \
      "An option has changed that a reload cannot apply.") \
    X(SCALE_INTERVAL, INFO, "scale interval extended", \
      "With many queues samples are less frequent, so that they cover `scale.window` and `scale.cooldown`.") \
    X(SCALE_SAMPLE_FAILED, WARN, "scale sample failed", \
      "`/scale` works with older samples, and answers 503 when these are too old.") \
    X(SCALE_SAMPLES_IGNORED, WARN, "scale samples ignored", \
      "Samples in Redis that no asynqd wrote.") \
    X(JOB_INVALID, ERROR, "scheduled job invalid", \
      "A row of the table is not used; its column `invalid_reason` says why.") \
    X(JOBS_FAILED, WARN, "scheduled jobs not updated", \
      "The table of scheduled jobs cannot be read or written; the known ones stay effective.") \
    X(RUN_FAILED, WARN, "scheduled run failed", \
      "The task of an entry was not enqueued; the reason follows.") \
    X(RUNS_MISSED, WARN, "scheduled runs missed", \
      "No scheduler was there at these times, and the catch-up policy drops them.") \
    X(SCHEDULER_CALL, ERROR, "scheduler call failed", \
      "Redis refused a call of the scheduler.") \
    X(RUN_NOT_LISTED, WARN, "scheduler event not recorded", \
      "The run was enqueued; user interfaces do not show it.") \
    X(SCHEDULER_STARTED, INFO, "scheduler started", \
      "The scheduler of a program runs.") \
    X(SCHEDULER_STOPPED, INFO, "scheduler stopped", \
      "The scheduler of a program has ended.") \
    X(SENTINELS_DISAGREE, ERROR, "sentinels disagree", \
      "The majority is taken.") \
    X(SERVER_FAILED, ERROR, "server failed", \
      "The server of tasks cannot be started or changed; the reason follows.") \
    X(SERVER_GONE, WARN, "server gone", \
      "Another server was killed, cut off from Redis, or stands still; its tasks run elsewhere.") \
    X(SERVER_QUIET, INFO, "server quiet", \
      "No new tasks are taken.") \
    X(SERVER_SHUTDOWN, INFO, "server shutting down", \
      "Running tasks have the shutdown timeout.") \
    X(SERVER_START_FAILED, ERROR, "server start failed", \
      "A part of the server cannot be started.") \
    X(SERVER_STARTED, INFO, "server started", \
      "The server takes tasks.") \
    X(SERVER_STOPPED, INFO, "server stopped", \
      "The server has ended.") \
    X(SESSION_EXPIRED, WARN, "session expired", \
      "The server could not renew its session in time; its running tasks are cancelled, and run again elsewhere.") \
    X(SESSION_REFUSED, WARN, "session refused", \
      "Redis does not keep the session of the server; when it is killed, its tasks wait until their leases have expired.") \
    X(SHUTDOWN_HASTENED, INFO, "shutdown hastened", \
      "The signal came a second time: running tasks are requeued now.") \
    X(SHUTDOWN_INCOMPLETE, WARN, "shutdown incomplete", \
      "Redis did not answer in time; the tasks are recovered later.") \
    X(SHUTDOWN_STARTED, INFO, "shutdown started", \
      "The signal TERM or INT was received; running tasks have `shutdown_timeout`.") \
    X(START_FAILED, ERROR, "start failed", \
      "asynqd exits.") \
    X(TASK_ARCHIVED, WARN, "task archived", \
      "It failed, and no retry is left or retrying makes no sense.") \
    X(TASK_NOT_RUN, ERROR, "task not run", \
      "A leased task could not be started; it runs later.") \
    X(TASK_OUTPUT, INFO, "task output", \
      "A line that the command of a task wrote, with `output.log`.") \
    X(TASK_RECOVERED, INFO, "task recovered", \
      "The server of a task was killed or cut off. It is the next to run, or archived after `max_losses`.") \
    X(TASK_REQUEUED, WARN, "task requeued", \
      "It did not end within the shutdown timeout.") \
    X(LEASE_MISSING, WARN, "task without lease", \
      "An active task had no lease, and is recovered.") \
    X(CALL_FILES, WARN, "temporary files failed", \
      "Files with payloads cannot be written or removed.") \
    X(THREAD_LEFT, WARN, "thread abandoned", \
      "A file system or a name server does not answer; what waits for it is abandoned.") \
    X(THREADS_EXHAUSTED, ERROR, "threads exhausted", \
      "Fewer tasks run at the same time. Is a limit of processes reached (`ulimit -u`, pids.max)?") \
    X(THREADS_BACK, INFO, "threads restored", \
      "All worker threads could be started again.") \
    X(TIME_LIMIT_MISSING, WARN, "time limit missing", \
      "A producer set neither timeout nor deadline; the task gets 30 minutes, as in Asynq.") \
    X(QUEUES_OVER_LIMIT, ERROR, "too many queues", \
      "More queues match a pattern than a server can serve.") \
    X(WORKER_OUTPUT, INFO, "worker output", \
      "A line that a worker process wrote or logged.") \
    X(POOL_LIMITED, WARN, "worker pool limited", \
      "Its processes have room for more tasks than `concurrency` lets run; raise that.") \
    X(POOL_RESTARTED, INFO, "worker pool restarted", \
      "All processes of the pool are new.") \
    X(POOL_RESTARTING, INFO, "worker pool restarting", \
      "Its processes are replaced, one after the other.") \
    X(POOL_UNKNOWN, WARN, "worker pool unknown", \
      "`asynqctl pool restart` named a pool that this asynqd does not have.") \
    X(PROCESS_START_FAILED, ERROR, "worker process not started", \
      "The program is missing, or ends before it says hello. It is tried again.")
/* clang-format on */

typedef enum log_event_id {
#define LOG_EVENT_ID(id, level, text, meaning) LOG_##id,
    LOG_EVENT_MAP(LOG_EVENT_ID)
#undef LOG_EVENT_ID
        LOG_EVENT_COUNT
} log_event_id;

#endif
