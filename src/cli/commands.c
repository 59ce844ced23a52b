/* The table of commands. */
#include "cli/commands.h"

#include "client/task_option.h"

#include <string.h>

const cli_flag cli_global_flags[] = {
    {"uri", 'u', CLI_TEXT, "URI", "$ASYNQ_REDIS_URI or redis://127.0.0.1:6379", "URI of Redis", false},
    {"prefix", '\0', CLI_TEXT, "PREFIX", "$ASYNQ_PREFIX or asynq", "prefix of all keys in Redis", false},
    {"timeout", '\0', CLI_DURATION, "TIME", "10s", "timeout for an answer of Redis", false},
    {"json", '\0', CLI_SWITCH, NULL, NULL, "print JSON", false},
    {"yes", 'y', CLI_SWITCH, NULL, NULL, "skip confirmation", false},
    {"verbose", 'v', CLI_SWITCH, NULL, NULL, "log connection events", false},
    {"version", '\0', CLI_SWITCH, NULL, NULL, "print the version", false},
    {"help", 'h', CLI_SWITCH, NULL, NULL, "print this help", false},
    {0},
};

#define FLAG_QUEUE                                                                                                     \
    {                                                                                                                  \
        "queue", 'q', CLI_TEXT, "QUEUE", "\"default\"", "the queue", false                                             \
    }
#define FLAG_STATE                                                                                                     \
    {                                                                                                                  \
        "state", 's', CLI_STATE, "STATE", NULL, "active, pending, scheduled, retry, archived, completed, aggregating", \
            true                                                                                                       \
    }
#define FLAG_GROUP                                                                                                     \
    {                                                                                                                  \
        "group", 'g', CLI_TEXT, "GROUP", NULL, "the group, for aggregating tasks", false                               \
    }
#define FLAG_PAGE                                                                                                      \
    {"page", '\0', CLI_NUMBER, "N", "1", "page number, from 1", false},                                                \
    {                                                                                                                  \
        "size", '\0', CLI_NUMBER, "N", "30", "tasks per page", false                                                   \
    }
#define FLAGS_FILTER                                                                                                     \
    {"type", 't', CLI_TEXT, "PATTERN", NULL, "only tasks whose type matches, such as \"email:*\"", false},               \
        {"id", 'i', CLI_TEXT, "PATTERN", NULL, "only tasks whose id matches", false},                                    \
        {"error", 'e', CLI_TEXT, "TEXT", NULL, "only tasks whose last error contains this", false},                      \
        {"payload", 'p', CLI_TEXT, "TEXT", NULL, "only tasks whose payload contains this", false},                       \
        {"from", '\0', CLI_TIME, "TIME", NULL, "only tasks due, or in their state since, at or after this time", false}, \
    {                                                                                                                    \
        "until", '\0', CLI_TIME, "TIME", NULL, "only tasks due, or in their state since, before this time", false        \
    }

static const cli_flag flags_history[] = {{"days", 'x', CLI_NUMBER, "N", "10", "number of days, today included", false},
                                         {0}};
#define FLAG_ZONE                                                                                                      \
    {                                                                                                                  \
        "zone", 'z', CLI_TEXT, "ZONE", "UTC", "time zone of specs that name none", false                               \
    }
static const cli_flag flags_zone[] = {FLAG_ZONE, {0}};
static const cli_flag flags_next[] = {{"count", 'n', CLI_NUMBER, "N", "5", "number of times to print", false},
                                      FLAG_ZONE,
                                      {"from", '\0', CLI_TIME, "TIME", "now", "start after this time", false},
                                      {0}};
static const cli_flag flags_rm[] = {{"force", 'f', CLI_SWITCH, NULL, NULL, "delete the tasks too", false}, {0}};
static const cli_flag flags_task_ls[] = {FLAG_QUEUE, FLAG_STATE, FLAG_GROUP, FLAG_PAGE, {0}};
static const cli_flag flags_find[] = {FLAG_QUEUE,
                                      FLAG_STATE,
                                      FLAG_GROUP,
                                      FLAGS_FILTER,
                                      {"limit", 'n', CLI_NUMBER, "N", NULL, "maximum number of tasks", false},
                                      {0}};
static const cli_flag flags_all[] = {FLAG_QUEUE, FLAG_STATE, FLAG_GROUP, FLAGS_FILTER, {0}};
static const cli_flag flags_task[] = {
    FLAG_QUEUE, {"id", 'i', CLI_TEXT, "ID", NULL, "id of a task, in addition to the arguments", false}, {0}};
static const cli_flag flags_update[] = {
    FLAG_QUEUE, {"payload", 'l', CLI_TEXT, "TEXT", NULL, "the new payload", true}, {0}};
static const cli_flag flags_wait[] = {
    FLAG_QUEUE, {"for", '\0', CLI_DURATION, "TIME", "1m", "maximum time to wait", false}, {0}};
enum { ENQUEUE_FLAGS = 5 };
static cli_flag flags_enqueue[ENQUEUE_FLAGS + TASK_OPTIONS + 1] = {
    {"type", 't', CLI_TEXT, "TYPE", NULL, "type of the task, which selects the handler", true},
    {"payload", 'l', CLI_TEXT, "TEXT", NULL, "the payload; \"-\" reads standard input", true},
    {"replicas", '\0', CLI_NUMBER, "N", NULL, "wait until this number of replicas of Redis has the task", false},
    {"fsync", '\0', CLI_SWITCH, NULL, NULL, "wait until the task is on disk, in Redis and these replicas", false},
    {"replicas-timeout", '\0', CLI_DURATION, "TIME", "1s", "maximum time to wait for replicas and disks", false},
}; /* and the options of the task: cli_commands_prepare() */
static const cli_flag flags_events[] = {FLAG_PAGE, {0}};
static const cli_flag flags_queue[] = {FLAG_QUEUE, {0}};

static const cli_flag flags_export[] = {
    {"queue", 'q', CLI_TEXT, "QUEUE", NULL, "only this queue", false},
    {"state", 's', CLI_STATE, "STATE", NULL, "only tasks of this state", false},
    FLAG_GROUP,
    FLAGS_FILTER,
    {0},
};
static const cli_flag flags_import[] = {
    {"check", '\0', CLI_SWITCH, NULL, NULL, "validate the input, and import nothing", false}, {0}};

static const cli_flag flags_fsck[] = {
    {"queue", 'q', CLI_TEXT, "QUEUE", NULL, "only this queue", false},
    {"repair", 'r', CLI_SWITCH, NULL, NULL, "repair what is found", false},
    {0},
};
static const cli_flag flags_top[] = {
    {"every", 'n', CLI_DURATION, "TIME", "1s", "refresh interval; minimum 100ms", false}, {0}};
static const cli_flag flags_one_queue[] = {{"queue", 'q', CLI_TEXT, "QUEUE", NULL, "only this queue", false}, {0}};

const cli_command cli_commands[] = {
    {NULL, "stats", NULL, "", 0, 0, "show totals of all queues", NULL, NULL, run_stats, "asynqctl stats"},
    {NULL, "metrics", NULL, "", 0, 0, "print all queues as metrics for Prometheus",
     "The names are those of asynq's x/metrics, so dashboards and alerts for that fit. For the textfile collector of "
     "Prometheus's node exporter, write to a file beside the one that it reads, and rename it.",
     NULL, run_metrics, "asynqctl metrics > asynq.prom.new && mv asynq.prom.new asynq.prom"},

    {NULL, "top", "dash", "", 0, 0, "dashboard of queues, tasks and servers",
     "Shows queues with their rates, tasks of each state page by page, a task in detail, servers and what they run. "
     "The last line lists the keys: run, archive, delete, cancel, pause. Deleting asks for confirmation. While Redis "
     "is unreachable, the first line says so.",
     flags_top, run_top, "asynqctl top --every 2s"},

    {"queue", "ls", "list", "", 0, 0, "list queues and what they hold", NULL, NULL, run_queue_ls,
     "asynqctl queue ls --json"},
    {"queue", "inspect", "show", "QUEUE...", 1, -1, "show queues in detail", NULL, NULL, run_queue_inspect,
     "asynqctl queue inspect default low"},
    {"queue", "history", NULL, "QUEUE...", 1, -1, "show attempts and failures by day", NULL, flags_history,
     run_queue_history, "asynqctl queue history -x 30 default"},
    {"queue", "pause", NULL, "QUEUE...", 1, -1, "stop taking tasks from queues",
     "Running tasks continue. New tasks can be enqueued, and stay pending.", NULL, run_queue_pause,
     "asynqctl queue pause low"},
    {"queue", "unpause", "resume", "QUEUE...", 1, -1, "take tasks from paused queues again", NULL, NULL,
     run_queue_unpause, "asynqctl queue unpause low"},
    {"queue", "rm", "remove delete", "QUEUE...", 1, -1, "delete queues",
     "A queue with tasks other than completed ones is deleted only with --force, one with active tasks never.",
     flags_rm, run_queue_rm, "asynqctl queue rm --force --yes old"},

    {"queue", "nodes", NULL, "QUEUE...", 1, -1, "show which nodes of a Redis Cluster hold queues",
     "All keys of a queue are in one slot.", NULL, run_queue_nodes, "asynqctl queue nodes default"},

    {"task", "ls", "list", "", 0, 0, "list tasks of one state, page by page", NULL, flags_task_ls, run_task_ls,
     "asynqctl task ls -q low -s retry --page 2"},
    {"task", "find", NULL, "", 0, 0, "search the tasks of one state",
     "Scans the tasks of the state once, in small steps. With --json each task is a line.", flags_find, run_task_find,
     "asynqctl task find -q low -s retry -e 'disk full' --from -2h"},
    {"task", "inspect", "show", "[ID...]", 0, -1, "show tasks in detail", NULL, flags_task, run_task_inspect,
     "asynqctl task inspect -q low 123e4567"},
    {"task", "run", NULL, "[ID...]", 0, -1, "run tasks now", NULL, flags_task, run_task_run,
     "asynqctl task run -q low 123e4567"},
    {"task", "archive", NULL, "[ID...]", 0, -1, "archive tasks",
     "An archive keeps its newest 9,999 tasks; older ones are deleted.", flags_task, run_task_archive,
     "asynqctl task archive -q low 123e4567"},
    {"task", "delete", "rm remove", "[ID...]", 0, -1, "delete tasks", NULL, flags_task, run_task_delete,
     "asynqctl task delete -q low 123e4567"},
    {"task", "runall", "retry", "", 0, 0, "run all tasks of one state now, or those that match a filter", NULL,
     flags_all, run_task_runall, "asynqctl task runall -q low -s retry -e 'disk full'"},
    {"task", "archiveall", NULL, "", 0, 0, "archive all tasks of one state, or those that match a filter",
     "An archive keeps its newest 9,999 tasks; older ones are deleted.", flags_all, run_task_archiveall,
     "asynqctl task archiveall -q low -s retry -t 'email:*'"},
    {"task", "deleteall", NULL, "", 0, 0, "delete all tasks of one state, or those that match a filter", NULL,
     flags_all, run_task_deleteall, "asynqctl task deleteall -q low -s archived --until -30d"},
    {"task", "cancel", NULL, "ID...", 1, -1, "cancel running tasks",
     "Sends the request to their servers; the attempts then fail with \"context canceled\".", NULL, run_task_cancel,
     "asynqctl task cancel 123e4567"},
    {"task", "enqueue", NULL, "", 0, 0, "enqueue a task", NULL, flags_enqueue, run_task_enqueue,
     "asynqctl task enqueue -t email:send -l '{\"to\":1}' -q low --in 10m"},
    {"task", "update", NULL, "ID", 1, 1, "replace the payload of a scheduled task", NULL, flags_update, run_task_update,
     "asynqctl task update -q low -l '{\"to\":2}' 123e4567"},
    {"task", "wait", NULL, "ID", 1, 1, "wait for the end of a task and print its result", NULL, flags_wait,
     run_task_wait, "asynqctl task wait --for 5m 123e4567"},

    {"server", "ls", "list", "", 0, 0, "list servers and what they run", NULL, NULL, run_server_ls,
     "asynqctl server ls --json"},
    {"pool", "restart", NULL, "NAME", 1, 1, "restart the processes of a worker pool in every asynqd",
     "Processes are replaced one after the other, while tasks run. Prints the number of servers that received the "
     "request, whether or not they have such a pool; their logs report the restart. Processes started before the "
     "request are replaced, also those of a restart in progress. The signal HUP does the same where the program has "
     "changed, see asynqd.conf(5).",
     NULL, run_pool_restart, "asynqctl pool restart python"},

    {"cron", "ls", "list", "", 0, 0, "list entries of schedulers", NULL, NULL, run_cron_ls, "asynqctl cron ls"},
    {"cron", "history", NULL, "ENTRY...", 1, -1, "show what entries have enqueued", NULL, flags_events,
     run_cron_history, "asynqctl cron history 5f9a0b44-9490-40ba-83ad-c64079997f0c"},
    {"cron", "next", NULL, "SPEC", 1, 1, "print when a cron specification is due",
     "SPEC is five fields, such as '*/15 9-17 * * mon-fri'; @hourly, @daily, @weekly, @monthly or @yearly; '@every "
     "1h30m'; or '@at 2026-01-02T15:04:05Z'. It may begin with a zone: 'CRON_TZ=Europe/Berlin 0 3 * * *'. Does not "
     "connect to Redis.",
     flags_next, run_cron_next, "asynqctl cron next --zone Europe/Berlin '30 9 * * mon-fri'"},
    {"cron", "check", NULL, "FILE", 1, 1, "validate a schedule file and print its entries",
     "The format is described in asynq-schedule(5). Does not connect to Redis.", flags_zone, run_cron_check,
     "asynqctl cron check schedule.yaml"},

    {"group", "ls", "list", "", 0, 0, "list groups of a queue", NULL, flags_queue, run_group_ls,
     "asynqctl group ls -q low"},
    {NULL, "export", NULL, "", 0, 0, "print tasks as lines of JSON, for import",
     "Exports all queues and states, unless --queue, --state or a filter restrict it. Tasks are not changed.",
     flags_export, run_export, "asynqctl export -q low -s archived > archived.jsonl"},
    {NULL, "import", NULL, "[FILE]", 0, 1, "import exported tasks",
     "Reads standard input, or a file. Tasks whose ids exist are skipped; active tasks become pending. Pending tasks "
     "are placed before those that wait. Locks of unique tasks are not taken.",
     flags_import, run_import, "asynqctl import archived.jsonl"},
    {NULL, "fsck", "check", "", 0, 0, "find inconsistencies in Redis, and repair them",
     "Checks that each task is in one place, the one that its state names, and can be read; that active tasks have "
     "leases; and locks, groups, counters, and records of servers. Runs in small steps while servers work, and reports "
     "a fault only if it was seen twice. With --repair no task is deleted: what cannot be read is moved to a "
     "quarantine, where it stays for 90 days. With --json each finding is a line, and the last line is the summary. "
     "Exit status 0 means no faults, 5 that faults are left, 7 that all faults were repaired.",
     flags_fsck, run_fsck, "asynqctl fsck --repair"},
    {"quarantine", "ls", "list", "", 0, 0, "list the quarantine of fsck", NULL, flags_one_queue, run_quarantine_ls,
     "asynqctl quarantine ls"},
    {"quarantine", "export", NULL, "", 0, 0, "print the quarantine of fsck as lines of JSON",
     "\"message\" is the task's message as it was in Redis, \"dump\" the whole key for Redis's RESTORE.",
     flags_one_queue, run_quarantine_export, "asynqctl quarantine export -q low > broken.jsonl"},
    {"quarantine", "rm", "delete", "NAME...", 1, -1, "delete from the quarantine of fsck, permanently", NULL,
     flags_queue, run_quarantine_rm, "asynqctl quarantine rm -q low t:123e4567"},
    {NULL, "manual", NULL, "[NOUN]", 0, 1, "print a manual page",
     "The source of asynqctl(1), in mdoc; with a noun such as \"task\", that of asynqctl-task(1).", NULL, run_manual,
     "asynqctl manual task | man -l -"},
    {NULL, "completion", NULL, "SHELL", 1, 1, "print a completion script for bash, zsh or fish",
     "For bash: source <(asynqctl completion bash)", NULL, run_completion, "asynqctl completion bash"},
    {0},
};

const char *cli_command_name(const cli_command *command)
{
    static char name[64];
    snprintf(name, sizeof name, "%s%s%s", command->noun ? command->noun : "", command->noun ? " " : "", command->verb);
    return name;
}

const cli_command *cli_next_of(const char *noun, const cli_command *after)
{
    for (const cli_command *command = after ? after + 1 : cli_commands; command->verb; command++)
        if (command->noun && strcmp(command->noun, noun) == 0)
            return command;
    return NULL;
}

const cli_command *cli_next_noun(const cli_command *after)
{
    for (const cli_command *command = after ? after + 1 : cli_commands; command->verb; command++)
        if (command->noun && cli_next_of(command->noun, NULL) == command)
            return command;
    return NULL;
}

void cli_commands_prepare(void)
{
    static const cli_kind kinds[] = {
        [TASK_OPTION_TEXT] = CLI_TEXT,
        [TASK_OPTION_COUNT] = CLI_NUMBER,
        [TASK_OPTION_DURATION] = CLI_DURATION,
        [TASK_OPTION_MOMENT] = CLI_TIME,
    };
    for (size_t i = 0; i < TASK_OPTIONS; i++) {
        const task_option *row = &task_options[i];
        flags_enqueue[ENQUEUE_FLAGS + i] =
            (cli_flag){row->flag, row->letter, kinds[row->kind], row->value, row->preset, row->help, false};
    }
}
