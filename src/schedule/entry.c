/* See entry.h. */
#include "schedule/entry.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/structs.h"
#include "client/task_option.h"
#include "schedule/option_text.h"
#include "wire/scheduler_entry.h"
#include "wire/task_id.h"

#include <inttypes.h>
#include <time.h>
#include <uuid/uuid.h>

#define DEFAULT_LIMIT_MS ASYNQ_HOURS(1)

/* ---- copying ---- */

static const char *entry_copy_text(arena *into, const char *text, bool *failed)
{
    char *copy = text ? arena_dup(into, text, strlen(text)) : NULL;
    *failed |= text && !copy;
    return copy;
}

/* Replaces what `periodic` points to by copies. */
static int copy_periodic(schedule_entry *entry, const asynq_task_options *shown, const asynq_sizes *sizes,
                         asynq_error *error)
{
    asynq_periodic *own = &entry->periodic;
    arena *into = &entry->memory;
    bool failed = false;
    own->spec = entry_copy_text(into, own->spec, &failed);
    own->name = entry_copy_text(into, own->name, &failed);
    own->zone = entry_copy_text(into, own->zone, &failed);
    own->task.type = entry_copy_text(into, own->task.type, &failed);
    if (own->task.payload) {
        own->task.payload = arena_dup(into, own->task.payload, own->task.payload_length);
        failed |= !own->task.payload;
    }
    failed |= !task_options_copy(&own->task.options, into);
    asynq_task_options *options = shown ? arena_alloc(into, sizeof *options) : NULL;
    if (options) {
        *options = *shown;
        failed |= !task_options_copy(options, into);
    }
    failed |= shown && !options;
    own->options = options;
    bytes *texts;
    entry->option_count = option_texts(options, into, &texts);
    entry->option_texts = texts;
    entry->shown = structs_kept(sizes, STRUCT_PERIODIC, own, into);
    return failed || !texts || !entry->shown ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

/* ---- identity ---- */

static void entry_append_part(buf *out, bytes part)
{
    buf_append_format(out, "%zu:", part.length);
    buf_append(out, part.data, part.length);
}

/* Makes a UUID of the parts, which are given up. The namespace is a random one, made for this purpose. */
static int make_id(buf *parts, char id[ASYNQ_ENTRY_ID_SIZE], asynq_error *error)
{
    static const uuid_t namespace = {0x5b, 0x1c, 0x8e, 0x3d, 0x0f, 0x72, 0x4a, 0x96,
                                     0xb4, 0x6a, 0x92, 0xd1, 0x37, 0xe8, 0x0c, 0x5f};
    if (buf_failed(parts))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    uuid_t made;
    uuid_generate_sha1(made, namespace, parts->data, parts->length);
    uuid_unparse_lower(made, id);
    buf_clear(parts);
    return ASYNQ_OK;
}

static void append_definition(const schedule_entry *entry, buf *out)
{
    const asynq_periodic *own = &entry->periodic;
    entry_append_part(out, bytes_of(own->spec));
    entry_append_part(out, bytes_of(asynq_cron_zone(entry->cron)));
    entry_append_part(out, bytes_of(own->task.type));
    entry_append_part(out, (bytes){own->task.payload, own->task.payload_length});
    for (size_t i = 0; i < entry->option_count; i++)
        entry_append_part(out, entry->option_texts[i]);
}

/* The same id in every scheduler that has the entry. */
static int make_common_id(schedule_entry *entry, asynq_error *error)
{
    const asynq_periodic *own = &entry->periodic;
    buf identity;
    buf_init(&identity, 0);
    entry_append_part(&identity, bytes_of(entry->queue_name));
    if (own->name)
        entry_append_part(&identity, bytes_of(own->name));
    else
        append_definition(entry, &identity);
    return make_id(&identity, entry->id, error);
}

static int make_content(schedule_entry *entry, asynq_error *error)
{
    const asynq_periodic *own = &entry->periodic;
    bytes *texts;
    size_t count = option_texts(&own->task.options, &entry->memory, &texts);
    if (!texts)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    buf content;
    buf_init(&content, 0);
    append_definition(entry, &content);
    entry_append_part(&content, bytes_of(own->name ? own->name : ""));
    buf_append_format(&content, "%d %" PRId64 " %" PRId64 " %d ", (int)own->catch_up, own->catch_up_limit_ms,
                      own->jitter_ms, own->task.payload != NULL);
    for (size_t i = 0; i < count; i++)
        entry_append_part(&content, texts[i]);
    return make_id(&content, entry->content, error);
}

/* ---- making ---- */

static int check_periodic(const asynq_periodic *given, asynq_error *error)
{
    if (given->name && (!*given->name || strlen(given->name) > ASYNQ_NAME_MAX))
        return error_set(error, ASYNQ_E_INVALID, "the name of a periodic entry is empty or longer than %d bytes",
                         ASYNQ_NAME_MAX);
    if ((unsigned)given->catch_up > ASYNQ_CATCH_UP_SKIP)
        return error_set(error, ASYNQ_E_INVALID, "catch_up is %d, which is none of the policies", (int)given->catch_up);
    if (given->jitter_ms < 0 || (given->catch_up_limit_ms < 0 && given->catch_up_limit_ms != ASYNQ_NONE))
        return error_set(error, ASYNQ_E_INVALID, "jitter_ms or catch_up_limit_ms is negative");
    return ASYNQ_OK;
}

static int read_cron(schedule_entry *entry, const char *zone, asynq_error *error)
{
    asynq_periodic *own = &entry->periodic;
    entry->cron = asynq_cron_new(own->spec, own->zone ? own->zone : zone, error);
    entry->rule = (tick_rule){
        .cron = entry->cron,
        .catch_up = own->catch_up,
        .limit_ms = own->catch_up_limit_ms ? own->catch_up_limit_ms : DEFAULT_LIMIT_MS,
    };
    if (entry->cron)
        entry->last_s = tick_before_first(entry->cron);
    return entry->cron ? ASYNQ_OK : error ? error->code : ASYNQ_E_INVALID;
}

/* Finds out whether the task can be enqueued, and into which queue. */
static int try_task(schedule_entry *entry, asynq_error *error)
{
    task_plan plan;
    int status =
        task_plan_make(&plan, entry->space, &entry->periodic.task, entry->periodic.options, clock_now_ns(), error);
    if (status)
        return status;
    entry->queue_name = arena_dup(&entry->memory, plan.queue.data, plan.queue.length);
    task_plan_clear(&plan);
    return entry->queue_name ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* The program fills its own struct. */
static int ask_defaults(asynq_task_options *defaults, const char *type, const entry_context *context,
                        asynq_error *error)
{
    structs_call call;
    *defaults = (asynq_task_options){0};
    structs_begin(&call, context->sizes);
    asynq_task_options *given = (asynq_task_options *)(uintptr_t)structs_shown(&call, STRUCT_TASK_OPTIONS, defaults);
    if (given)
        context->defaults(type, given, context->defaults_arg);
    const asynq_task_options *own = structs_argument(&call, STRUCT_TASK_OPTIONS, given, 1);
    int status = structs_status(&call, error);
    if (!status)
        *defaults = *own;
    return structs_end(&call, status, error);
}

/* What the entry says counts more. */
static int entry_add_defaults(asynq_periodic *own, const entry_context *context, asynq_error *error)
{
    asynq_task_options defaults;
    const asynq_task_options *said = &own->task.options;
    if (!context->defaults || !own->task.type)
        return ASYNQ_OK;
    int status = ask_defaults(&defaults, own->task.type, context, error);
    if (status)
        return status;
    asynq_task_options merged = task_options_merge(&defaults, said);
    merged.headers = said->headers;
    merged.header_count = said->header_count;
    own->task.options = merged;
    return ASYNQ_OK;
}

static int fill(schedule_entry *entry, const asynq_periodic *given, const entry_context *context, asynq_error *error)
{
    static const asynq_periodic none;
    asynq_error own_error;
    error = error ? error : &own_error;
    given = given ? given : &none;
    entry->periodic = *given;
    int status = check_periodic(&entry->periodic, error);
    if (!status)
        status = entry_add_defaults(&entry->periodic, context, error);
    if (!status)
        status = copy_periodic(entry, given->options, context->sizes, error);
    if (!status)
        status = read_cron(entry, context->zone, error);
    if (!status)
        status = try_task(entry, error);
    if (!status)
        status = make_content(entry, error);
    if (!status && context->is_independent)
        task_id_make_random(entry->id);
    else if (!status)
        status = make_common_id(entry, error);
    return status;
}

int schedule_entry_new(schedule_entry **made, const asynq_periodic *given, const entry_context *context,
                       asynq_error *error)
{
    schedule_entry *entry = mem_calloc(1, sizeof *entry);
    *made = NULL;
    if (!entry)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    arena_init(&entry->memory, 0);
    entry->space = context->space;
    int status = fill(entry, given, context, error);
    if (status)
        schedule_entry_free(entry);
    else
        *made = entry;
    return status;
}

void schedule_entry_free(schedule_entry *entry)
{
    task_plan_clear(&entry->plan);
    asynq_cron_free(entry->cron);
    arena_clear(&entry->memory);
    mem_free(entry);
}

/* ---- use ---- */

bool schedule_entry_name_record(schedule_entry *entry, const queue_keys *keys)
{
    bytes prefix = keys->key[QUEUE_KEY_ENTRY];
    size_t length = prefix.length + strlen(entry->id);
    char *name = arena_alloc(&entry->memory, length + 1);
    if (!name)
        return false;
    memcpy(name, prefix.data, prefix.length);
    memcpy(name + prefix.length, entry->id, sizeof entry->id);
    entry->record = (bytes){name, length};
    return true;
}

int64_t schedule_entry_delay_ms(const schedule_entry *entry)
{
    uuid_t id;
    uint64_t spread;
    if (!entry->periodic.jitter_ms || uuid_parse(entry->id, id))
        return 0;
    memcpy(&spread, id, sizeof spread);
    return (int64_t)(spread % (uint64_t)(entry->periodic.jitter_ms + 1));
}

int schedule_entry_plan(schedule_entry *entry, int64_t tick_s, bool names_tick, int64_t now_ns, asynq_error *error)
{
    char tick[32];
    struct tm at;
    time_t seconds = (time_t)tick_s;
    asynq_task_options options = entry->periodic.options ? *entry->periodic.options : (asynq_task_options){0};
    asynq_header *headers = mem_alloc((options.header_count + 1) * sizeof *headers);
    if (!headers)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    strftime(tick, sizeof tick, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &at));
    for (size_t i = 0; i < options.header_count; i++)
        headers[i] = options.headers[i];
    if (names_tick)
        headers[options.header_count++] = (asynq_header){ASYNQ_TICK_HEADER, tick};
    options.headers = headers;
    task_plan_clear(&entry->plan);
    int status = task_plan_make(&entry->plan, entry->space, &entry->periodic.task, &options, now_ns, error);
    mem_free(headers);
    return status;
}

static record_time entry_time_of(int64_t tick_s, int64_t none)
{
    return tick_s == none ? RECORD_TIME_NEVER : (record_time){tick_s, 0};
}

int schedule_entry_encode(const schedule_entry *entry, buf *out, asynq_error *error)
{
    const asynq_periodic *own = &entry->periodic;
    scheduler_entry record = {
        .id = bytes_of(entry->id),
        .spec = bytes_of(own->spec),
        .task_type = bytes_of(own->task.type),
        .task_payload = {own->task.payload, own->task.payload_length},
        .options = entry->option_texts,
        .option_count = entry->option_count,
        .next_enqueue_time = entry_time_of(entry->next_s, TICK_NEVER),
        .prev_enqueue_time = entry_time_of(entry->previous_s, 0),
    };
    return scheduler_entry_encode(&record, out, error);
}
