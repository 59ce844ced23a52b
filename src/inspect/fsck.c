/* Goes over all keys and tells what is wrong with them. See fsck.h. */
#include "inspect/fsck.h"

#include "base/error.h"

#include <stdlib.h>

enum { SCAN_KEYS = 400 }; /* in one command: some tenths of a millisecond */

int fsck_command(fsck *f, inspect_kind kind, const bytes *words, size_t count, const redis_value **reply)
{
    int status = inspect_command(f->inspector, kind, words, count, reply, f->error);
    if (status != ASYNQ_E_REDIS || count < 2)
        return status;
    asynq_error refusal = *f->error;
    return error_set(f->error, status, "%.*s %.*s: %.150s", BYTES_ARGS(words[0]), BYTES_ARGS(words[1]), refusal.text);
}

int fsck_ask_number(fsck *f, const bytes *words, size_t count, int64_t *number)
{
    const redis_value *reply;
    int status = fsck_command(f, INSPECT_READ, words, count, &reply);
    if (!status)
        *number = redis_value_integer(reply);
    return status;
}

int fsck_pass_over_wrong_type(fsck *f, int status)
{
    if (status != ASYNQ_E_REDIS || !strstr(f->error->text, "WRONGTYPE"))
        return status;
    error_clear(f->error);
    return ASYNQ_OK;
}

bool fsck_go_on(fsck *f)
{
    int64_t done = f->scanned < f->total ? f->scanned : f->total;
    if (f->options.progress && !f->options.progress(done, f->total, f->options.progress_arg))
        f->stopped = true;
    return !f->stopped;
}

/* ---- the scan ---- */

/* A key that the scan has met. */
typedef struct met_key {
    bytes name;
    queue_key_name parsed;
    fsck_queue *queue;
} met_key;

/*
 * Which queue a name belongs to: of those that are registered the one with the longest name, else the one with the
 * shortest. False: to none, or to one that is not asked for.
 */
static bool fsck_parse_name(const fsck *f, bytes name, queue_key_name *parsed)
{
    size_t choices = queue_key_choices(name);
    bool is_key = false;
    for (size_t choice = 0; choice < choices; choice++) {
        queue_key_name other;
        if (!queue_key_parse(&f->inspector->space, name, choice, &other) ||
            !broker_can_keep(&f->inspector->broker, other.queue))
            continue;
        const fsck_queue *known = is_key ? fsck_find_queue(f, other.queue) : NULL;
        if (!is_key || (known && known->is_registered))
            *parsed = other;
        is_key = true;
    }
    return is_key && (!f->options.queue || bytes_equal(parsed->queue, bytes_of(f->options.queue)));
}

static int compare_met(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const met_key *)a)->queue, right = (uintptr_t)((const met_key *)b)->queue;
    return left < right ? -1 : left > right;
}

static int look_at_run(fsck *f, const met_key *met, size_t count)
{
    bytes names[BROKER_LOOK_TASKS];
    queue_key_name parsed[BROKER_LOOK_TASKS];
    bool are_tasks = met->parsed.key == QUEUE_KEY_TASK;
    for (size_t i = 0; i < count; i++) {
        names[i] = are_tasks ? met[i].parsed.rest : met[i].name;
        parsed[i] = met[i].parsed;
    }
    met->queue->has_tasks |= are_tasks;
    return are_tasks ? fsck_look_at_tasks(f, met->queue, names, count)
                     : fsck_look_at_keys(f, met->queue, parsed, names, count);
}

/* Keys of one queue go together. */
static int look_at_met(fsck *f, met_key *met, size_t count)
{
    int status = ASYNQ_OK;
    qsort(met, count, sizeof *met, compare_met);
    for (size_t at = 0; at < count && !status && !f->stopped;) {
        size_t end = at + 1;
        while (end < count && end - at < BROKER_LOOK_TASKS && met[end].queue == met[at].queue)
            end++;
        status = look_at_run(f, &met[at], end - at);
        at = end;
    }
    return status;
}

/* Over which keys a scan goes: a queue's other keys come first, so that its groups are known when its tasks come. */
typedef enum scan_pass { PASS_QUEUE_KEYS, PASS_TASKS } scan_pass;

static int take_name(fsck *f, scan_pass pass, bytes name, met_key *met, size_t *count)
{
    queue_key_name parsed;
    if (!fsck_parse_name(f, name, &parsed)) {
        bool is_global = pass == PASS_TASKS && !f->options.queue;
        f->result->keys += is_global;
        return is_global ? fsck_look_at_global_key(f, name) : ASYNQ_OK;
    }
    if ((pass == PASS_TASKS) != (parsed.key == QUEUE_KEY_TASK))
        return ASYNQ_OK;
    fsck_queue *queue = fsck_find_queue(f, parsed.queue);
    int status = ASYNQ_OK;
    if (!queue) {
        status = fsck_add_queue(f, parsed.queue, false, &queue);
        if (!status)
            status = fsck_look_at_queue(f, queue);
    }
    if (!status)
        met[(*count)++] = (met_key){name, parsed, queue};
    return status;
}

static int look_at_page(fsck *f, scan_pass pass, const redis_value *names, arena *page)
{
    met_key *met = arena_alloc(page, (names->count + 1) * sizeof *met);
    size_t count = 0;
    int status = met ? ASYNQ_OK : error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < names->count && !status && !f->stopped; i++)
        status = take_name(f, pass, names->elements[i].text, met, &count);
    if (status)
        return status;
    f->result->keys += (int64_t)count;
    f->result->tasks += pass == PASS_TASKS ? (int64_t)count : 0;
    return look_at_met(f, met, count);
}

static void append_literally(buf *pattern, const char *text)
{
    for (const char *at = text; *at; at++)
        buf_append_format(pattern, strchr("*?[]\\^-", *at) ? "\\%c" : "%c", *at);
}

/* A pattern of Redis's. Of other keys than tasks none begins with a "t". */
static void append_pattern(const fsck *f, scan_pass pass, buf *pattern)
{
    append_literally(pattern, f->inspector->space.prefix.data);
    buf_append_text(pattern, ":");
    if (f->options.queue) {
        buf_append_text(pattern, "{");
        append_literally(pattern, f->options.queue);
        buf_append_text(pattern, pass == PASS_TASKS ? "}:t*" : "}:[^t]*");
    } else {
        buf_append_text(pattern, pass == PASS_TASKS ? "*" : "{*}:[^t]*");
    }
}

/* One command of the scan; then `cursor` is where to go on. */
static int scan_page(fsck *f, scan_pass pass, size_t node, bytes pattern, buf *cursor)
{
    arena page;
    inspect_call call = inspect_begin(f->inspector, INSPECT_READ, f->error);
    while (inspect_again(&call))
        call.sent = broker_scan(&f->inspector->broker, node, (bytes){cursor->data, cursor->length}, pattern, SCAN_KEYS,
                                inspect_replied, f->inspector);
    if (call.status)
        return call.status;
    arena_init(&page, 0);
    const redis_value *reply = redis_value_copy(call.reply, &page);
    const redis_value *next = reply ? redis_value_at(reply, 0) : NULL, *names = reply ? redis_value_at(reply, 1) : NULL;
    buf_clear(cursor);
    if (names)
        buf_append(cursor, next->text.data, next->text.length);
    int status = ASYNQ_OK;
    if (!reply || buf_failed(cursor))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    else if (!cursor->length)
        status = error_set(f->error, ASYNQ_E_MALFORMED, "Redis gave no cursor");
    else
        status = look_at_page(f, pass, names, &page);
    arena_clear(&page);
    return status;
}

static int scan_node(fsck *f, scan_pass pass, size_t node, bytes pattern)
{
    const redis_nodes *nodes = f->inspector->broker.nodes;
    uint64_t version = redis_nodes_version(nodes);
    buf cursor;
    buf_init(&cursor, 0);
    buf_append_text(&cursor, "0");
    int status = buf_failed(&cursor) ? error_set_code(f->error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
    bool goes_on = !status;
    while (goes_on) {
        status = scan_page(f, pass, node, pattern, &cursor);
        if (!status && version != redis_nodes_version(nodes))
            status = error_set(f->error, ASYNQ_E_UNAVAILABLE,
                               "slots of the cluster have moved while its keys were looked at; begin again");
        f->scanned += SCAN_KEYS;
        goes_on = !status && fsck_go_on(f) && strcmp(cursor.data, "0") != 0;
    }
    buf_clear(&cursor);
    return status;
}

/* All nodes that can have such keys. */
static int scan(fsck *f, scan_pass pass)
{
    const redis_nodes *nodes = f->inspector->broker.nodes;
    const fsck_queue *only = f->options.queue ? fsck_find_queue(f, bytes_of(f->options.queue)) : NULL;
    buf pattern;
    buf_init(&pattern, 0);
    append_pattern(f, pass, &pattern);
    int status = buf_failed(&pattern) ? error_set_code(f->error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
    for (size_t i = 0; !status && !f->stopped && i < redis_nodes_count(nodes); i++)
        if (!only || redis_nodes_at(nodes, only->keys.slot) == redis_nodes_get(nodes, i))
            status = scan_node(f, pass, i, (bytes){pattern.data, pattern.length});
    buf_clear(&pattern);
    return status;
}

/* ---- the whole ---- */

/* A queue that was asked for, and of which there is nothing. */
static int check_existence(fsck *f)
{
    const char *name = f->options.queue;
    if (!name || f->result->keys || fsck_find_queue(f, bytes_of(name)))
        return ASYNQ_OK;
    return error_set(f->error, ASYNQ_E_QUEUE_NOT_FOUND, "queue \"%.200s\" not found", name);
}

static int check_queue_name(fsck *f)
{
    queue_keys keys;
    int status = f->options.queue ? inspect_keys(f->inspector, &keys, f->options.queue, f->error) : ASYNQ_OK;
    if (!status && f->options.queue)
        queue_keys_clear(&keys);
    return status;
}

int asynq_inspector_fsck(asynq_inspector *inspector, const asynq_fsck_options *options, asynq_finding_cb found,
                         void *arg, asynq_fsck_result *result, asynq_error *error)
{
    asynq_fsck_result ignored;
    asynq_error ignored_error;
    fsck f = {.inspector = inspector, .found = found, .arg = arg};
    f.result = result ? result : &ignored;
    f.error = error ? error : &ignored_error;
    *f.result = (asynq_fsck_result){0};
    if (options)
        f.options = *options;
    int status = check_queue_name(&f);
    if (status)
        return status;
    arena_init(&f.names, 0);
    const bytes size[] = {bytes_of("DBSIZE")};
    status = fsck_ask_number(&f, size, 1, &f.total);
    if (!status)
        status = fsck_look_at_registered_queues(&f);
    f.total *= 2 * (int64_t)redis_nodes_count(inspector->broker.nodes); /* scans, of nodes that have about the same */
    if (!status && !f.stopped)
        status = scan(&f, PASS_QUEUE_KEYS);
    if (!status && !f.stopped)
        status = scan(&f, PASS_TASKS);
    if (!status && !f.stopped)
        status = check_existence(&f);
    if (!status && !f.stopped)
        status = fsck_check_registrations(&f);
    if (!status && !f.stopped && !f.options.queue)
        status = fsck_look_at_records(&f);
    fsck_clear_queues(&f);
    fsck_clear_findings(&f);
    arena_clear(&f.names);
    return status;
}
