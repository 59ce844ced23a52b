/* What a configuration says about pools; see worker_pool.h. */
#include "base/error.h"
#include "base/text.h"
#include "handler/outside.h"
#include "handler/worker_pool.h"

#include <string.h>

#define POOL(field) offsetof(worker_options, field)
const setting worker_pool_table[] = {
    {.name = "argv",
     .kind = SETTING_LIST,
     .offset = POOL(argv),
     .is_needed = true,
     .value = "[WORD, ...]",
     .example = "[python3, worker.py]",
     .help = "The program and its arguments."},
    {.name = "watch",
     .kind = SETTING_LIST,
     .offset = POOL(watch),
     .value = "[PATH, ...]",
     .help =
         "Files and folders that the program is made of, beside those of its files that argv names. When one of them "
         "has changed, the signal HUP has the processes replaced, see RESTARTS. What is below a folder counts, up to "
         "10000 files, but not names that begin with a dot and no __pycache__."},
    {.name = "size",
     .kind = SETTING_NUMBER,
     .offset = POOL(size),
     .least = 1,
     .most = 1000,
     .preset = "1",
     .help = "How many processes there are."},
    {.name = "most_tasks",
     .kind = SETTING_NUMBER,
     .offset = POOL(most_tasks),
     .least = 1,
     .most = 10000,
     .preset = "1000",
     .help = "The most tasks at the same time in one process; it is as many as the program says that it can, which is "
             "one if it says nothing."},
    {.name = "recycle_after",
     .kind = SETTING_NUMBER,
     .offset = POOL(recycle_after),
     .preset = "0",
     .help = "A process that has ended so many tasks is replaced by a new one. 0: never."},
    {.name = "recycle_memory",
     .kind = SETTING_SIZE,
     .offset = POOL(recycle_memory),
     .preset = "0",
     .help = "A process that has so much memory is replaced when it has ended its tasks. 0: never."},
    {.name = "memory_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(most_memory),
     .preset = "0",
     .help = "A process that has so much memory is killed at once, looked at each second; its tasks have failed. 0: "
             "never."},
    {.name = "start_timeout",
     .kind = SETTING_DURATION,
     .offset = POOL(start_timeout_ms),
     .least = 1,
     .preset = "10s",
     .help = "A new process must say hello within this time. After a failure the next is started after a pause, which "
             "grows up to 30 s; tasks stay pending meanwhile."},
    {.name = "silence_limit",
     .kind = SETTING_DURATION,
     .offset = POOL(silence_ms),
     .preset = "0",
     .help =
         "A process that has tasks and sends no frame for so long is killed. Only for programs that send heartbeats. "
         "0: never."},
    {.name = "grace",
     .kind = SETTING_DURATION,
     .offset = POOL(grace_ms),
     .preset = "5s",
     .help =
         "How long a process may take to end a task that was cancelled or is out of time, and to end itself; then it "
         "is killed. Its other tasks run again, and have not failed."},
    {.name = "result_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(most_result),
     .preset = "64kB",
     .most = 64 << 20,
     .help = "Results are cut at this size."},
    {.name = "error_limit",
     .kind = SETTING_SIZE,
     .offset = POOL(most_error),
     .preset = "2kB",
     .most = 8000,
     .help = "The end of standard error is part of the error when a process crashes, up to so much."},
    {.name = "process",
     .kind = SETTING_GROUP,
     .offset = POOL(process),
     .group = process_table,
     .help = "What the processes may have."},
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
    if (!status && outside_check_words(&options->argv))
        status = settings_complain(file, node, error, "argv: \"%s\" %s", options->argv.items[0],
                                   outside_check_words(&options->argv));
    if (status)
        return status;
    settings_enter(file, "process");
    status = process_prepare(file, node, &options->process, error);
    settings_leave(file);
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
