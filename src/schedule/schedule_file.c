/* See schedule_file.h. */
#include "schedule/schedule_file.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/settings.h"
#include "client/task_option.h"
#include "schedule/provided.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* A file written in the same moment as it was read can change without a change of its time. */
enum { SETTLED_AFTER_S = 2 };

struct schedule_file {
    char *path;
    struct stat state; /* when it was read last; all zero: there was none */
    bool is_settled;
    int status; /* what came of it */
    asynq_error error;
};

/* ---- what is in it ---- */

typedef struct reading {
    asynq_periodic_list *list;
    const char *zone;
    settings_node *entries;
    arena memory;
} reading;

typedef struct file_entry {
    asynq_periodic periodic;
    asynq_task_options options;
    buf json;
    arena *memory;
} file_entry;

static int schedule_file_read_payload(settings *file, settings_node *node, void *target, asynq_error *error)
{
    file_entry *entry = target;
    asynq_task *task = &entry->periodic.task;
    task->payload = settings_text(node, &task->payload_length);
    if (task->payload)
        return ASYNQ_OK;
    int status = settings_append_json(file, node, &entry->json, error);
    task->payload = entry->json.data;
    task->payload_length = entry->json.length;
    return status;
}

static int schedule_file_read_headers(settings *file, settings_node *node, void *target, asynq_error *error)
{
    file_entry *entry = target;
    asynq_task_options *options = &entry->options;
    asynq_header *headers = NULL, header;
    size_t capacity = 0;
    void *iterator = NULL;
    for (;;) {
        int status = settings_next_text(file, node, &iterator, &header.key, &header.value, error);
        if (status || !header.key)
            return status;
        headers = arena_grow(entry->memory, headers, options->header_count, &capacity, sizeof *headers);
        if (!headers)
            return error_set_code(error, ASYNQ_E_NO_MEMORY);
        headers[options->header_count++] = header;
        options->headers = headers;
    }
}

static const char *const catch_up_names[] = {
    [ASYNQ_CATCH_UP_ONCE] = "once", [ASYNQ_CATCH_UP_ALL] = "all", [ASYNQ_CATCH_UP_SKIP] = "skip", NULL};

/* The other names are those of the example in Asynq's documentation. Options of the task stand behind these rows. */
static const setting entry_rows[] = {
    {.name = "spec", .alias = "cronspec", SETTING_TEXT, offsetof(file_entry, periodic.spec), .is_needed = true},
    {.name = "type", .alias = "task_type", SETTING_TEXT, offsetof(file_entry, periodic.task.type), .is_needed = true},
    {.name = "payload", .kind = SETTING_OTHER, .read = schedule_file_read_payload},
    {.name = "name", .offset = offsetof(file_entry, periodic.name)},
    {.name = "zone", .offset = offsetof(file_entry, periodic.zone)},
    {.name = "catch_up", NULL, SETTING_CHOICE, offsetof(file_entry, periodic.catch_up), .choices = catch_up_names},
    {.name = "catch_up_limit", NULL, SETTING_DURATION, offsetof(file_entry, periodic.catch_up_limit_ms), .zero = 1},
    {.name = "jitter", NULL, SETTING_DURATION, offsetof(file_entry, periodic.jitter_ms)},
    {.name = "headers", .kind = SETTING_OTHER, .read = schedule_file_read_headers},
};

enum { ENTRY_ROWS = sizeof entry_rows / sizeof *entry_rows };

static setting entry_table[ENTRY_ROWS + TASK_OPTIONS + 1]; /* ends with a name of NULL */
static pthread_once_t entry_table_once = PTHREAD_ONCE_INIT;

static void entry_table_make(void)
{
    setting *row = entry_table + ENTRY_ROWS;
    memcpy(entry_table, entry_rows, sizeof entry_rows);
    for (const task_option *option = task_options; option < task_options + TASK_OPTIONS; option++)
        if (option->kind != TASK_OPTION_MOMENT) {
            *row = task_option_setting(option);
            row++->offset += offsetof(file_entry, options);
        }
}

static int read_entry(settings *file, settings_node *node, void *arg, asynq_error *error)
{
    reading *own = arg;
    asynq_error problem;
    file_entry entry = {.memory = &own->memory, .periodic.zone = own->zone};
    pthread_once(&entry_table_once, entry_table_make);
    buf_init(&entry.json, 0);
    int status = settings_read_mapping(file, node, entry_table, &entry, error);
    if (!status) {
        entry.periodic.options = &entry.options;
        status = asynq_periodic_list_add(own->list, &entry.periodic, &problem);
        if (status == ASYNQ_E_NO_MEMORY) {
            error_set_code(error, status);
        } else if (status) {
            task_options_reword(&problem, false);
            settings_complain(file, node, error, "%s", problem.text);
        }
    }
    buf_clear(&entry.json);
    return status;
}

static int note_entries(settings *file, settings_node *node, void *target, asynq_error *error)
{
    (void)file, (void)error;
    ((reading *)target)->entries = node; /* read after the zone, which may stand behind them */
    return ASYNQ_OK;
}

static const setting file_table[] = {
    {.name = "zone", .offset = offsetof(reading, zone)},
    {.name = "entries", .alias = "configs", .kind = SETTING_OTHER, .read = note_entries, .is_needed = true},
    {0},
};

static int schedule_file_read_entries(settings *file, asynq_periodic_list *list, asynq_error *error)
{
    reading own = {.list = list};
    arena_init(&own.memory, 0);
    list->log = NULL; /* the error says it */
    int status = settings_root(file) ? settings_read_mapping(file, settings_root(file), file_table, &own, error)
                                     : settings_complain(file, NULL, error, "is empty");
    settings_enter(file, "entries");
    if (!status)
        status = settings_read_list(file, own.entries, read_entry, &own, error);
    arena_clear(&own.memory);
    return status;
}

int schedule_text_add(asynq_periodic_list *list, const char *place, const char *text, asynq_error *error)
{
    settings *file;
    reading own = {.list = list};
    arena_init(&own.memory, 0);
    list->log = NULL; /* the error says it */
    int status = settings_open_text(&file, place, text, error);
    if (!status)
        status = settings_root(file) ? read_entry(file, settings_root(file), &own, error)
                                     : settings_complain(file, NULL, error, "is empty");
    settings_free(file);
    arena_clear(&own.memory);
    return status;
}

/* ---- whether it has changed ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int schedule_file_provide(asynq_periodic_list *list, void *arg, asynq_error *error)
{
    schedule_file *own = arg;
    settings *file;
    struct stat state;
    if (stat(own->path, &state))
        memset(&state, 0, sizeof state);
    if (own->is_settled && is_same(&state, &own->state)) {
        if (own->status && error)
            error_set(error, own->error.code, "%s", own->error.text);
        return own->status ? own->status : ASYNQ_PROVIDER_UNCHANGED;
    }
    memset(&own->state, 0, sizeof own->state);
    own->status = settings_open(&file, own->path, &own->state, &own->error);
    own->is_settled = floor_div(clock_now_ns(), NS_PER_SECOND) - own->state.st_mtim.tv_sec >= SETTLED_AFTER_S;
    if (!own->status)
        own->status = schedule_file_read_entries(file, list, &own->error);
    settings_free(file);
    if (own->status && error)
        error_set(error, own->error.code, "%s", own->error.text);
    return own->status;
}

schedule_file *schedule_file_new(const char *path)
{
    schedule_file *file = mem_calloc(1, sizeof *file);
    if (file)
        file->path = mem_strdup(path);
    if (file && file->path)
        return file;
    mem_free(file);
    return NULL;
}

void schedule_file_free(schedule_file *file)
{
    if (file)
        mem_free(file->path);
    mem_free(file);
}
