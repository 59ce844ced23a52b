/* See process.h. */
#include "process/process.h"

#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USER_VARIABLES = 3 };

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const setting process_table[] = {
    {.name = "pass_env",
     .kind = SETTING_LIST,
     .offset = offsetof(process_options, inherit),
     .preset = "PATH,HOME,LANG,TZ",
     .value = "[NAME, ...]",
     .help = "Variables of asynqd's environment that the process inherits; no others are."},
    {.name = "env",
     .kind = SETTING_PAIRS,
     .offset = offsetof(process_options, variables),
     .hides_values = true,
     .example = "{LOG_LEVEL: info}",
     .help = "Additional environment variables."},
    {.name = "working_directory",
     .kind = SETTING_TEXT,
     .offset = offsetof(process_options, directory),
     .value = "PATH",
     .help = "Working directory. Default: that of asynqd."},
    {.name = "user",
     .kind = SETTING_TEXT,
     .offset = offsetof(process_options, user),
     .value = "NAME",
     .help = "User to run as. Default: that of asynqd, which must be root for another. HOME, USER and LOGNAME are set "
             "for it."},
    {.name = "limits",
     .kind = SETTING_PAIRS,
     .offset = offsetof(process_options, limits),
     .value = "{memory: SIZE, cpu: DURATION, files: NUMBER, processes: NUMBER, file_size: SIZE, core: SIZE}",
     .example = "{memory: 512MiB, cpu: 60s}",
     .help = "Limits of the kernel, see setrlimit(2): address space, CPU time, open files, processes of the user, "
             "maximum size of a written file, core dumps (default 0)."},
    {0},
};

/* ---- limits ---- */

typedef struct limit_row {
    const char *name;
    int resource;
    setting_kind kind;
    int64_t divisor;
} limit_row;

static const limit_row limit_rows[] = {
    {"memory", RLIMIT_AS, SETTING_SIZE, 1},       {"cpu", RLIMIT_CPU, SETTING_DURATION, 1000},
    {"files", RLIMIT_NOFILE, SETTING_NUMBER, 1},  {"processes", RLIMIT_NPROC, SETTING_NUMBER, 1},
    {"file_size", RLIMIT_FSIZE, SETTING_SIZE, 1}, {"core", RLIMIT_CORE, SETTING_SIZE, 1},
};

enum { LIMIT_ROWS = sizeof limit_rows / sizeof *limit_rows };

static const limit_row *find_limit(const char *name)
{
    for (size_t i = 0; i < LIMIT_ROWS; i++)
        if (strcmp(limit_rows[i].name, name) == 0)
            return &limit_rows[i];
    return NULL;
}

static int prepare_limits(settings *file, settings_node *node, process_options *options, asynq_error *error)
{
    size_t count = options->limits.count;
    options->found_limits = arena_alloc(settings_memory(file), (count + 1) * sizeof *options->found_limits);
    if (!options->found_limits)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    options->found_limits[0] = (child_limit){RLIMIT_CORE, 0};
    options->limit_count = 1;
    for (size_t i = 0; i < count; i++) {
        const setting_pair *pair = &options->limits.items[i];
        const limit_row *row = find_limit(pair->name);
        int64_t max;
        if (!row)
            return settings_complain(file, node, error,
                                     "limits: there is no limit \"%s\"; there are memory, cpu, files, processes, "
                                     "file_size, core",
                                     pair->name);
        bool is_read = row->kind == SETTING_SIZE       ? size_read(pair->value, &max)
                       : row->kind == SETTING_DURATION ? duration_read(pair->value, &max)
                                                       : text_read_number(pair->value, &max);
        if (!is_read)
            return settings_complain(file, node, error, "limits: %s: \"%s\" is not %s", pair->name, pair->value,
                                     row->kind == SETTING_SIZE       ? SIZE_FORM
                                     : row->kind == SETTING_DURATION ? DURATION_FORM
                                                                     : "a whole number from 0 on");
        options->found_limits[options->limit_count++] =
            (child_limit){row->resource, (max + row->divisor - 1) / row->divisor};
    }
    return ASYNQ_OK;
}

int process_prepare(settings *file, settings_node *node, process_options *options, asynq_error *error)
{
    asynq_error problem;
    for (size_t i = 0; i < options->variables.count; i++)
        if (!*options->variables.items[i].name || strchr(options->variables.items[i].name, '='))
            return settings_complain(file, node, error, "env: \"%s\" is no name of a variable",
                                     options->variables.items[i].name);
    if (options->directory && access(options->directory, F_OK))
        return settings_complain(file, node, error, "working_directory: there is no %s", options->directory);
    if (options->user && child_find_user(options->user, &options->found_user, &problem))
        return settings_complain(file, node, error, "user: %s", problem.text);
    if (options->user && geteuid() != 0 && options->found_user.uid != geteuid())
        return settings_complain(file, node, error, "user: only root can run a process as another user");
    return prepare_limits(file, node, options, error);
}

/* ---- environment ---- */

static const char *join(arena *memory, const char *name, const char *value)
{
    size_t length = strlen(name) + strlen(value) + 2;
    char *text = arena_alloc(memory, length);
    if (text)
        snprintf(text, length, "%s=%s", name, value);
    return text;
}

/* What login would set for another user; 0 to USER_VARIABLES of them. */
static size_t user_variables(const process_options *options, arena *memory, const char **list)
{
    if (!options->user)
        return 0;
    list[0] = join(memory, "HOME", options->found_user.home);
    list[1] = join(memory, "USER", options->user);
    list[2] = join(memory, "LOGNAME", options->user);
    return USER_VARIABLES;
}

/* Whether something behind it in the list gives the variable anew. */
static bool is_given_again(const char *const *list, size_t index)
{
    size_t length = strcspn(list[index], "=") + 1;
    for (size_t i = index + 1; list[i]; i++)
        if (strncmp(list[i], list[index], length) == 0)
            return true;
    return false;
}

const char *const *process_environment(const process_options *options, const char *const *own, arena *memory)
{
    size_t count = options->inherit.count + options->variables.count + USER_VARIABLES + 2, at = 0;
    for (size_t i = 0; own[i]; i++)
        count++;
    const char **list = arena_alloc(memory, count * sizeof *list);
    if (!list)
        return NULL;
    bool has_path = false;
    for (size_t i = 0; i < options->inherit.count; i++) {
        const char *name = options->inherit.items[i], *value = getenv(name);
        if (value)
            list[at++] = join(memory, name, value);
        has_path |= value && strcmp(name, "PATH") == 0;
    }
    if (!has_path)
        list[at++] = DEFAULT_PATH;
    at += user_variables(options, memory, list + at);
    for (size_t i = 0; i < options->variables.count; i++)
        list[at++] = join(memory, options->variables.items[i].name, options->variables.items[i].value);
    for (size_t i = 0; own[i]; i++)
        list[at++] = own[i];
    list[at] = NULL;
    for (size_t i = 0; i < at; i++)
        if (!list[i])
            return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < at; i++)
        if (!is_given_again(list, i))
            list[kept++] = list[i];
    list[kept] = NULL;
    return list;
}

child_options process_child_options(const process_options *options)
{
    return (child_options){
        .directory = options->directory,
        .may_hang = options->is_remote,
        .user = options->found_user,
        .limits = options->found_limits,
        .limit_count = options->limit_count,
    };
}
