/* The table of commands. */
#include "cli/commands.h"

#include "client/task_option.h"

#include <string.h>

const cli_flag cli_global_flags[] = {
    {"uri", 'u', CLI_TEXT, "URI", "$ASYNQ_REDIS_URI or redis://127.0.0.1:6379", "where Redis is", false},
    {"timeout", '\0', CLI_DURATION, "TIME", "10s", "longest wait for an answer of Redis", false},
    {"json", '\0', CLI_SWITCH, NULL, NULL, "print JSON for programs", false},
    {"yes", 'y', CLI_SWITCH, NULL, NULL, "do not ask", false},
    {"verbose", 'v', CLI_SWITCH, NULL, NULL, "tell of the connection to Redis", false},
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
    {"page", '\0', CLI_NUMBER, "N", "1", "which page", false},                                                         \
    {                                                                                                                  \
        "size", '\0', CLI_NUMBER, "N", "30", "tasks on a page", false                                                  \
    }
#define FLAGS_FILTER                                                                                                   \
    {"type", 't', CLI_TEXT, "PATTERN", NULL, "only tasks of a type, such as \"email:*\"", false},                      \
        {"id", 'i', CLI_TEXT, "PATTERN", NULL, "only tasks with such an id", false},                                   \
        {"error", 'e', CLI_TEXT, "TEXT", NULL, "only tasks whose last error contains this", false},                    \
        {"payload", 'p', CLI_TEXT, "TEXT", NULL, "only tasks whose payload contains this", false},                     \
        {"from", '\0', CLI_TIME, "TIME", NULL, "only tasks due (else: waiting) since this time", false},               \
    {                                                                                                                  \
        "until", '\0', CLI_TIME, "TIME", NULL, "only tasks due (else: waiting) before this time", false                \
    }

static const cli_flag flags_history[] = {{"days", 'x', CLI_NUMBER, "N", "10", "how many days", false}, {0}};
#define FLAG_ZONE                                                                                                      \
    {                                                                                                                  \
        "zone", 'z', CLI_TEXT, "ZONE", "UTC", "the time zone where none is named", false                               \
    }
static const cli_flag flags_zone[] = {FLAG_ZONE, {0}};
static const cli_flag flags_next[] = {{"count", 'n', CLI_NUMBER, "N", "5", "how many", false},
                                      FLAG_ZONE,
                                      {"from", '\0', CLI_TIME, "TIME", "now", "after this time", false},
                                      {0}};
static const cli_flag flags_rm[] = {{"force", 'f', CLI_SWITCH, NULL, NULL, "also with tasks in it", false}, {0}};
static const cli_flag flags_task_ls[] = {FLAG_QUEUE, FLAG_STATE, FLAG_GROUP, FLAG_PAGE, {0}};
static const cli_flag flags_find[] = {FLAG_QUEUE,
                                      FLAG_STATE,
                                      FLAG_GROUP,
                                      FLAGS_FILTER,
                                      {"limit", 'n', CLI_NUMBER, "N", NULL, "stop after so many", false},
                                      {0}};
static const cli_flag flags_all[] = {FLAG_QUEUE, FLAG_STATE, FLAG_GROUP, FLAGS_FILTER, {0}};
static const cli_flag flags_task[] = {
    FLAG_QUEUE, {"id", 'i', CLI_TEXT, "ID", NULL, "a task, beside those given as arguments", false}, {0}};
static const cli_flag flags_update[] = {
    FLAG_QUEUE, {"payload", 'l', CLI_TEXT, "TEXT", NULL, "the new payload", true}, {0}};
static const cli_flag flags_wait[] = {
    FLAG_QUEUE, {"for", '\0', CLI_DURATION, "TIME", "1m", "give up after this time", false}, {0}};
static cli_flag flags_enqueue[2 + TASK_OPTIONS + 1] = {
    {"type", 't', CLI_TEXT, "TYPE", NULL, "chooses the handler", true},
    {"payload", 'l', CLI_TEXT, "TEXT", NULL, "the payload; \"-\" reads standard input", true},
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
    {"check", '\0', CLI_SWITCH, NULL, NULL, "only read the input and tell what is wrong", false}, {0}};

static const cli_flag flags_fsck[] = {
    {"queue", 'q', CLI_TEXT, "QUEUE", NULL, "only this queue", false},
    {"repair", 'r', CLI_SWITCH, NULL, NULL, "mend what is found", false},
    {0},
};
static const cli_flag flags_top[] = {
    {"every", 'n', CLI_DURATION, "TIME", "1s", "how often to look; from 100ms on", false}, {0}};
static const cli_flag flags_one_queue[] = {{"queue", 'q', CLI_TEXT, "QUEUE", NULL, "only this queue", false}, {0}};

const cli_command cli_commands[] = {
    {NULL, "stats", NULL, "", 0, 0, "all queues at a glance", NULL, NULL, run_stats, "asynqctl stats"},
    {NULL, "metrics", NULL, "", 0, 0, "print all queues as metrics for Prometheus",
     "The names are those of asynq's x/metrics, so dashboards and alerts for that fit. For the textfile collector of "
     "Prometheus's node exporter, write to a file beside the one that it reads, and rename it.",
     NULL, run_metrics, "asynqctl metrics > asynq.prom.new && mv asynq.prom.new asynq.prom"},

    {NULL, "top", "dash", "", 0, 0, "watch queues, tasks and servers on a terminal, and steer them",
     "Queues with their rates, tasks of each state page by page, a task in detail, servers and what they run. The last "
     "line tells the keys: run, archive, delete, cancel, pause. Nothing is deleted without asking. When Redis is lost, "
     "the first line says so until it is back.",
     flags_top, run_top, "asynqctl top --every 2s"},

    {"queue", "ls", "list", "", 0, 0, "list queues and what they hold", NULL, NULL, run_queue_ls,
     "asynqctl queue ls --json"},
    {"queue", "inspect", "show", "QUEUE...", 1, -1, "tell all about queues", NULL, NULL, run_queue_inspect,
     "asynqctl queue inspect default low"},
    {"queue", "history", NULL, "QUEUE...", 1, -1, "attempts and failures by day", NULL, flags_history,
     run_queue_history, "asynqctl queue history -x 30 default"},
    {"queue", "pause", NULL, "QUEUE...", 1, -1, "stop taking tasks from queues",
     "Tasks that run go on. New tasks can be enqueued, and wait.", NULL, run_queue_pause, "asynqctl queue pause low"},
    {"queue", "unpause", "resume", "QUEUE...", 1, -1, "take tasks from paused queues again", NULL, NULL,
     run_queue_unpause, "asynqctl queue unpause low"},
    {"queue", "rm", "remove delete", "QUEUE...", 1, -1, "delete queues",
     "A queue with tasks other than completed ones is deleted only with --force, one with active tasks never.",
     flags_rm, run_queue_rm, "asynqctl queue rm --force --yes old"},

    {"queue", "nodes", NULL, "QUEUE...", 1, -1, "tell which nodes of a Redis Cluster hold queues",
     "All keys of a queue are in one slot.", NULL, run_queue_nodes, "asynqctl queue nodes default"},

    {"task", "ls", "list", "", 0, 0, "list tasks of one state, page by page", NULL, flags_task_ls, run_task_ls,
     "asynqctl task ls -q low -s retry --page 2"},
    {"task", "find", NULL, "", 0, 0, "search the tasks of one state",
     "Looks at each task of the state once, in small steps. With --json each task is a line.", flags_find,
     run_task_find, "asynqctl task find -q low -s retry -e 'disk full' --from -2h"},
    {"task", "inspect", "show", "[ID...]", 0, -1, "tell all about tasks", NULL, flags_task, run_task_inspect,
     "asynqctl task inspect -q low 123e4567"},
    {"task", "run", NULL, "[ID...]", 0, -1, "run tasks now", NULL, flags_task, run_task_run,
     "asynqctl task run -q low 123e4567"},
    {"task", "archive", NULL, "[ID...]", 0, -1, "set tasks aside",
     "An archive keeps its newest 9,999 tasks; older ones are deleted.", flags_task, run_task_archive,
     "asynqctl task archive -q low 123e4567"},
    {"task", "delete", "rm remove", "[ID...]", 0, -1, "delete tasks", NULL, flags_task, run_task_delete,
     "asynqctl task delete -q low 123e4567"},
    {"task", "runall", "retry", "", 0, 0, "run all tasks of one state, or those that meet a filter", NULL, flags_all,
     run_task_runall, "asynqctl task runall -q low -s retry -e 'disk full'"},
    {"task", "archiveall", NULL, "", 0, 0, "set all tasks of one state aside, or those that meet a filter",
     "An archive keeps its newest 9,999 tasks; older ones are deleted.", flags_all, run_task_archiveall,
     "asynqctl task archiveall -q low -s retry -t 'email:*'"},
    {"task", "deleteall", NULL, "", 0, 0, "delete all tasks of one state, or those that meet a filter", NULL, flags_all,
     run_task_deleteall, "asynqctl task deleteall -q low -s archived --until -30d"},
    {"task", "cancel", NULL, "ID...", 1, -1, "cancel running tasks",
     "Their servers are asked to; the tasks then fail with \"context canceled\".", NULL, run_task_cancel,
     "asynqctl task cancel 123e4567"},
    {"task", "enqueue", NULL, "", 0, 0, "create a task", NULL, flags_enqueue, run_task_enqueue,
     "asynqctl task enqueue -t email:send -l '{\"to\":1}' -q low --in 10m"},
    {"task", "update", NULL, "ID", 1, 1, "replace the payload of a scheduled task", NULL, flags_update, run_task_update,
     "asynqctl task update -q low -l '{\"to\":2}' 123e4567"},
    {"task", "wait", NULL, "ID", 1, 1, "wait for the end of a task and print its result", NULL, flags_wait,
     run_task_wait, "asynqctl task wait --for 5m 123e4567"},

    {"server", "ls", "list", "", 0, 0, "list servers and what they run", NULL, NULL, run_server_ls,
     "asynqctl server ls --json"},
    {"pool", "restart", NULL, "NAME", 1, 1, "have every asynqd replace the processes of a worker pool",
     "One after the other, while the work goes on. What it prints is how many servers heard it, whether or not they "
     "have such a "
     "pool; their logs say what they do. The signal HUP does the same where the program has changed, see "
     "asynqd.conf(5).",
     NULL, run_pool_restart, "asynqctl pool restart python"},

    {"cron", "ls", "list", "", 0, 0, "list entries of schedulers", NULL, NULL, run_cron_ls, "asynqctl cron ls"},
    {"cron", "history", NULL, "ENTRY...", 1, -1, "what entries have enqueued", NULL, flags_events, run_cron_history,
     "asynqctl cron history 5f9a0b44-9490-40ba-83ad-c64079997f0c"},
    {"cron", "next", NULL, "SPEC", 1, 1, "print when a cron specification is due",
     "SPEC is five fields, such as '*/15 9-17 * * mon-fri'; @hourly, @daily, @weekly, @monthly or @yearly; or "
     "'@every 1h30m'. It may begin with a zone: 'CRON_TZ=Europe/Berlin 0 3 * * *'. Redis is not asked.",
     flags_next, run_cron_next, "asynqctl cron next --zone Europe/Berlin '30 9 * * mon-fri'"},
    {"cron", "check", NULL, "FILE", 1, 1, "read a schedule file and print its entries, or what is wrong with it",
     "The form of such files is told in asynq-schedule(5). Redis is not asked.", flags_zone, run_cron_check,
     "asynqctl cron check schedule.yaml"},

    {"group", "ls", "list", "", 0, 0, "list groups of a queue", NULL, flags_queue, run_group_ls,
     "asynqctl group ls -q low"},
    {NULL, "export", NULL, "", 0, 0, "print tasks as lines of JSON, to be imported again",
     "All queues and states, unless --queue, --state or a filter say less. Tasks are only read.", flags_export,
     run_export, "asynqctl export -q low -s archived > archived.jsonl"},
    {NULL, "import", NULL, "[FILE]", 0, 1, "write exported tasks as they were",
     "Reads standard input, or a file. Tasks whose ids exist are left alone; active tasks become pending. Pending "
     "tasks go before those that wait. No locks of unique tasks are taken.",
     flags_import, run_import, "asynqctl import archived.jsonl"},
    {NULL, "fsck", "check", "", 0, 0, "find what is broken in Redis, and mend it",
     "Checks that each task stands in one place, the one its state names, and can be read; that active tasks have "
     "leases; and locks, groups, counters, and records of servers. Goes in small steps, with servers at work, and "
     "tells "
     "nothing that it has not seen twice. With --repair no task is deleted: what cannot be read is moved to a "
     "quarantine, where it stays for 90 days. With --json each finding is a line, and the last line is the summary. "
     "Exit status 0 means that all was well, 5 that there are faults, 7 that all of them were mended.",
     flags_fsck, run_fsck, "asynqctl fsck --repair"},
    {"quarantine", "ls", "list", "", 0, 0, "list what fsck has set aside", NULL, flags_one_queue, run_quarantine_ls,
     "asynqctl quarantine ls"},
    {"quarantine", "export", NULL, "", 0, 0, "print what fsck has set aside as lines of JSON",
     "\"message\" is the task's message as it stood in Redis, \"dump\" the whole key for Redis's RESTORE.",
     flags_one_queue, run_quarantine_export, "asynqctl quarantine export -q low > broken.jsonl"},
    {"quarantine", "rm", "delete", "NAME...", 1, -1, "delete what fsck has set aside, for good", NULL, flags_queue,
     run_quarantine_rm, "asynqctl quarantine rm -q low t:123e4567"},
    {NULL, "manual", NULL, "[NOUN]", 0, 1, "print a manual page",
     "The source of asynqctl(1), in mdoc; with a noun such as \"task\", that of asynqctl-task(1).", NULL, run_manual,
     "asynqctl manual task | man -l -"},
    {NULL, "completion", NULL, "SHELL", 1, 1, "print what completes commands in bash, zsh or fish",
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
        flags_enqueue[2 + i] =
            (cli_flag){row->flag, row->letter, kinds[row->kind], row->value, row->preset, row->help, false};
    }
}
