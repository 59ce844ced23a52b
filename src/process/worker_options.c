/* What a configuration says about pools; see worker_options.h. */
#include "base/error.h"
#include "base/text.h"
#include "process/argv_code.h"
#include "process/program.h"
#include "process/remote_files.h"
#include "process/worker_program.h"

#include <string.h>

#define POOL(field) offsetof(worker_options, field)
const setting worker_pool_table[] = {
    {.name = "argv",
     .kind = SETTING_LIST,
     .offset = POOL(argv),
     .is_code = argv_code_is_for_shell,
     .is_needed = true,
     .value = "[WORD, ...]",
     .example = "[python3, worker.py]",
     .help = "Program and arguments."},
    {.name = "watch",
     .kind = SETTING_LIST,
     .offset = POOL(watch),
     .value = "[PATH, ...]",
     .help = "Files and directories that belong to the program, in addition to the files that `argv` names. When one "
             "of them has changed, the signal HUP replaces the processes, see RESTARTS. Directories count with what is "
             "below them, up to 10000 files, without names that begin with a dot and __pycache__."},
    {.name = "size",
     .kind = SETTING_NUMBER,
     .offset = POOL(size),
     .min = 1,
     .max = 1000,
     .preset = "1",
     .help = "Number of processes."},
    {.name = "max_concurrent_tasks",
     .kind = SETTING_NUMBER,
     .offset = POOL(max_tasks),
     .min = 1,
     .max = 10000,
     .preset = "1000",
     .help = "Maximum number of concurrent tasks in one process. The capacity that the program announces (default 1) "
             "applies if it is lower."},
    {.name = "max_tasks_per_process",
     .kind = SETTING_NUMBER,
     .offset = POOL(max_tasks_per_process),
     .preset = "0",
     .help = "Number of tasks after which a process is replaced. 0: never."},
    {.name = "soft_memory_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(soft_memory_limit),
     .preset = "0",
     .help = "Memory at which a process is replaced once its tasks have ended. 0: never."},
    {.name = "memory_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(max_memory),
     .preset = "0",
     .help = "Memory at which a process is killed, checked each second; its tasks have failed. 0: never."},
    {.name = "start_timeout",
     .kind = SETTING_DURATION,
     .offset = POOL(start_timeout_ms),
     .min = 1,
     .preset = "10s",
     .help = "Timeout for a new process to say hello. After a failure the next is started after a delay, which grows "
             "up to 30 s; tasks stay pending meanwhile."},
    {.name = "heartbeat_timeout",
     .kind = SETTING_DURATION,
     .offset = POOL(silence_ms),
     .preset = "0",
     .help = "Maximum time between frames of a process that has tasks; then it is killed. Only for programs that send "
             "heartbeats. 0: no limit."},
    {.name = "kill_timeout",
     .kind = SETTING_DURATION,
     .offset = POOL(grace_ms),
     .preset = "5s",
     .help = "Maximum time for a process to end a task that was cancelled or timed out, and to exit; then it is "
             "killed. Its other tasks are requeued."},
    {.name = "result_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(max_result),
     .preset = "64kB",
     .max = 64 << 20,
     .help = "Maximum size of a result; longer ones are cut."},
    {.name = "error_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(max_error),
     .preset = "2kB",
     .max = 8000,
     .help = "Maximum size of the end of standard error that becomes part of the error when a process crashes."},
    {.name = "process",
     .kind = SETTING_GROUP,
     .offset = POOL(process),
     .group = process_table,
     .help = "Environment and limits of the processes."},
    {0},
};

static int read_pool(settings *file, settings_node *node, const char *name, worker_list *list, asynq_error *error)
{
    list->items = arena_grow(settings_memory(file), list->items, list->count, &list->capacity, sizeof *list->items);
    if (!list->items)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    worker_options *options = &list->items[list->count++];
    *options = (worker_options){.name = name, .origin = settings_place(file, node)};
    setting_preset(worker_pool_table, options, settings_memory(file));
    int status = settings_read_mapping(file, node, worker_pool_table, options, error);
    if (!status && !options->argv.count)
        status = settings_complain(file, node, error, "argv is empty");
    if (!status && program_check_words(&options->argv))
        status = settings_complain(file, node, error, "argv: \"%s\" %s", options->argv.items[0],
                                   program_check_words(&options->argv));
    if (status)
        return status;
    settings_enter(file, "process");
    status = process_prepare(file, node, &options->process, error);
    settings_leave(file);
    options->process.is_remote = !status && remote_files_are_needed(&options->process, options->argv.items[0]);
    return status ? status : worker_program_prepare(file, node, options, error);
}

bool worker_list_is_same(const worker_list *a, const worker_list *b)
{
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++)
        is_same = strcmp(a->items[i].name, b->items[i].name) == 0 &&
                  setting_table_is_same(worker_pool_table, &a->items[i], &b->items[i]);
    return is_same;
}

int worker_list_read(settings *file, settings_node *node, worker_list *list, asynq_error *error)
{
    void *iterator = NULL;
    const char *name;
    settings_node *value;
    int worst = ASYNQ_OK;
    *list = (worker_list){0};
    settings_enter(file, "workers");
    for (;;) {
        int status = settings_next_pair(file, node, &iterator, &name, &value, error);
        if (status || !name) {
            worst = status ? status : worst;
            break;
        }
        settings_enter(file, name);
        status = text_is_blank(name, strlen(name)) ? settings_complain(file, value, error, "the name is blank")
                                                   : read_pool(file, value, name, list, error);
        settings_leave(file);
        worst = status ? status : worst;
    }
    settings_leave(file);
    return worst;
}
