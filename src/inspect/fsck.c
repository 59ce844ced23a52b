/* Goes over all keys and tells what is wrong with them. See fsck.h. */
#include "inspect/fsck.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/option_struct.h"

#include <stdlib.h>

enum { SCAN_KEYS = 400 }; /* in one command: some tenths of a millisecond */

static const char *const fault_names[] = {
    [ASYNQ_FAULT_NO_TASK] = "member-without-task",
    [ASYNQ_FAULT_LOST] = "task-in-no-set",
    [ASYNQ_FAULT_TWICE] = "task-twice",
    [ASYNQ_FAULT_STATE] = "wrong-state",
    [ASYNQ_FAULT_NO_LEASE] = "active-without-lease",
    [ASYNQ_FAULT_LEASE] = "lease-without-active",
    [ASYNQ_FAULT_UNREADABLE] = "unreadable-task",
    [ASYNQ_FAULT_TYPE] = "wrong-type",
    [ASYNQ_FAULT_LOCK] = "stale-lock",
    [ASYNQ_FAULT_GROUP] = "unlisted-group",
    [ASYNQ_FAULT_EMPTY_GROUP] = "empty-group",
    [ASYNQ_FAULT_AGGREGATION] = "stale-aggregation-set",
    [ASYNQ_FAULT_NO_TTL] = "missing-ttl",
    [ASYNQ_FAULT_QUEUE] = "unregistered-queue",
    [ASYNQ_FAULT_RECORD] = "stale-record",
};

enum { FAULTS_END = sizeof fault_names / sizeof *fault_names };

const char *asynq_fault_name(asynq_fault fault)
{
    return (int)fault > 0 && (int)fault < FAULTS_END ? fault_names[fault] : "unknown";
}

static asynq_fault fault_of_name(bytes name)
{
    for (int i = 1; i < FAULTS_END; i++)
        if (bytes_equal(bytes_of(fault_names[i]), name))
            return (asynq_fault)i;
    return 0;
}

/* ---- telling ---- */

uint64_t fsck_fingerprint(char kind, bytes text)
{
    uint64_t hash = (UINT64_C(14695981039346656037) ^ (unsigned char)kind) * UINT64_C(1099511628211); /* FNV-1a */
    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    return hash;
}

int fsck_report(fsck *f, const asynq_finding *finding)
{
    uint64_t fingerprint = fsck_fingerprint('t', bytes_of(finding->key));
    fsck_told *told;
    HASH_FIND(hh, f->told, &fingerprint, sizeof fingerprint, told);
    if (told)
        return ASYNQ_OK;
    told = arena_alloc(&f->names, sizeof *told);
    if (!told)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    *told = (fsck_told){.fingerprint = fingerprint};
    HASH_ADD(hh, f->told, fingerprint, sizeof fingerprint, told);
    if (!HASH_HAS(told))
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    f->result->findings++;
    f->result->mended += *finding->mended != '\0';
    if (f->found && !f->found(finding, f->arg))
        f->stopped = true;
    return ASYNQ_OK;
}

int fsck_report_result(fsck *f, const fsck_queue *queue, bytes id, bytes key, const check_result *result,
                       const char *detail)
{
    arena texts;
    if (!result->fault.length)
        return ASYNQ_OK;
    arena_init(&texts, 0);
    asynq_finding finding = {
        .fault = fault_of_name(result->fault),
        .queue = queue->name,
        .task_id = arena_dup(&texts, id.data, id.length),
        .key = arena_dup(&texts, key.data, key.length),
        .detail = detail,
        .mended = arena_dup(&texts, result->mended.data, result->mended.length),
    };
    int status = finding.task_id && finding.key && finding.mended ? fsck_report(f, &finding)
                                                                  : error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    arena_clear(&texts);
    return status;
}

int fsck_command(fsck *f, inspect_kind kind, const bytes *words, size_t count, const redis_value **reply)
{
    int status = inspect_command(f->inspector, kind, words, count, reply, f->error);
    if (status != ASYNQ_E_REDIS || count < 2)
        return status;
    asynq_error refusal = *f->error;
    return error_set(f->error, status, "%.*s %.*s: %.150s", BYTES_ARGS(words[0]), BYTES_ARGS(words[1]), refusal.text);
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

/* ---- queues ---- */

static fsck_queue *find_queue(const fsck *f, bytes name)
{
    fsck_queue *queue;
    HASH_FIND(hh, f->queues, name.data, name.length, queue);
    return queue;
}

static int add_queue(fsck *f, bytes name, bool is_registered, fsck_queue **added)
{
    fsck_queue *queue = arena_alloc(&f->names, sizeof *queue);
    char *copy = arena_dup(&f->names, name.data, name.length);
    if (!queue || !copy)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    *queue = (fsck_queue){.name = copy, .is_registered = is_registered};
    if (queue_keys_init(&queue->keys, &f->inspector->space, (bytes){copy, name.length}))
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    HASH_ADD_KEYPTR(hh, f->queues, copy, name.length, queue);
    if (!HASH_HAS(queue)) {
        queue_keys_clear(&queue->keys);
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    }
    *added = queue;
    return ASYNQ_OK;
}

/* The first look at a queue: at what it has once. */
static int look_at_queue(fsck *f, fsck_queue *queue)
{
    int status = fsck_look_at_fixed_keys(f, queue);
    if (!status && !f->stopped)
        status = fsck_look_at_containers(f, queue);
    return status || f->stopped ? status : fsck_look_at_lists(f, queue);
}

/* All names are known before the first look, for they tell to which queue a key belongs. */
static int add_registered_queues(fsck *f)
{
    const bytes words[] = {bytes_of("SMEMBERS"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES)};
    const redis_value *reply;
    arena copies;
    arena_init(&copies, 0);
    int status = fsck_command(f, INSPECT_READ, words, 2, &reply);
    if (!status && !(reply = redis_value_copy(reply, &copies)))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && !f->stopped && i < reply->count; i++) {
        fsck_queue *queue;
        bytes name = reply->elements[i].text;
        status = add_queue(f, name, true, &queue);
    }
    arena_clear(&copies);
    for (fsck_queue *queue = f->queues; queue && !status && !f->stopped; queue = queue->hh.next)
        if (!f->options.queue || bytes_equal(queue->keys.queue, bytes_of(f->options.queue)))
            status = look_at_queue(f, queue);
    return status;
}

/* Asks Redis for a number. */
static int ask_number(fsck *f, const bytes *words, size_t count, int64_t *number)
{
    const redis_value *reply;
    int status = fsck_command(f, INSPECT_READ, words, count, &reply);
    if (!status)
        *number = redis_value_integer(reply);
    return status;
}

/* The name is asked for between two looks at the queue: whoever removes or creates one changes both, in some order. */
static int check_registration(fsck *f, fsck_queue *queue)
{
    static const queue_key containers[] = {QUEUE_KEY_PENDING, QUEUE_KEY_ACTIVE,   QUEUE_KEY_SCHEDULED,
                                           QUEUE_KEY_RETRY,   QUEUE_KEY_ARCHIVED, QUEUE_KEY_COMPLETED,
                                           QUEUE_KEY_GROUPS};
    enum { CONTAINERS = sizeof containers / sizeof *containers };
    bytes exist[1 + CONTAINERS] = {bytes_of("EXISTS")};
    for (size_t i = 0; i < CONTAINERS; i++)
        exist[1 + i] = queue->keys.key[containers[i]];
    const bytes is_member[] = {bytes_of("SISMEMBER"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES),
                               queue->keys.queue};
    int64_t before = 0, registered = 0, after = 0;
    int status = ask_number(f, exist, 1 + CONTAINERS, &before);
    if (!status)
        status = ask_number(f, is_member, 3, &registered);
    if (!status)
        status = ask_number(f, exist, 1 + CONTAINERS, &after);
    if (status || !before || registered || !after)
        return status;
    if (f->options.repair) {
        const bytes add[] = {bytes_of("SADD"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES),
                             queue->keys.queue};
        const redis_value *reply;
        status = fsck_command(f, INSPECT_CHANGE, add, 3, &reply);
    }
    buf key;
    buf_init(&key, 0);
    buf_append(&key, queue->keys.prefix.data, queue->keys.prefix.length);
    if (!status && buf_failed(&key))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = fsck_report(f, &(asynq_finding){.fault = ASYNQ_FAULT_QUEUE,
                                                 .queue = queue->name,
                                                 .task_id = "",
                                                 .key = key.data,
                                                 .detail = "the queue has tasks, but the list of queues lacks it",
                                                 .mended = f->options.repair ? "registered" : ""});
    buf_clear(&key);
    return status;
}

static int check_registrations(fsck *f)
{
    int status = ASYNQ_OK;
    for (fsck_queue *queue = f->queues; queue && !status && !f->stopped; queue = queue->hh.next)
        if (!queue->is_registered && queue->has_tasks)
            status = check_registration(f, queue);
    return status;
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
static bool parse_name(const fsck *f, bytes name, queue_key_name *parsed)
{
    size_t choices = queue_key_choices(name);
    bool is_key = false;
    for (size_t choice = 0; choice < choices; choice++) {
        queue_key_name other;
        if (!queue_key_parse(&f->inspector->space, name, choice, &other))
            continue;
        const fsck_queue *known = is_key ? find_queue(f, other.queue) : NULL;
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
    if (!parse_name(f, name, &parsed)) {
        bool is_global = pass == PASS_TASKS && !f->options.queue;
        f->result->keys += is_global;
        return is_global ? fsck_look_at_global_key(f, name) : ASYNQ_OK;
    }
    if ((pass == PASS_TASKS) != (parsed.key == QUEUE_KEY_TASK))
        return ASYNQ_OK;
    fsck_queue *queue = find_queue(f, parsed.queue);
    int status = ASYNQ_OK;
    if (!queue) {
        status = add_queue(f, parsed.queue, false, &queue);
        if (!status)
            status = look_at_queue(f, queue);
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
static int scan_page(fsck *f, scan_pass pass, bytes pattern, buf *cursor)
{
    arena page;
    inspect_call call = inspect_begin(f->inspector, INSPECT_READ, f->error);
    while (inspect_again(&call))
        call.sent = broker_scan(&f->inspector->broker, (bytes){cursor->data, cursor->length}, pattern, SCAN_KEYS,
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

static int scan(fsck *f, scan_pass pass)
{
    buf pattern, cursor;
    buf_init(&pattern, 0);
    buf_init(&cursor, 0);
    append_pattern(f, pass, &pattern);
    buf_append_text(&cursor, "0");
    int status = buf_failed(&pattern) || buf_failed(&cursor) ? error_set_code(f->error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
    bool goes_on = !status;
    while (goes_on) {
        status = scan_page(f, pass, (bytes){pattern.data, pattern.length}, &cursor);
        f->scanned += SCAN_KEYS;
        goes_on = !status && fsck_go_on(f) && strcmp(cursor.data, "0") != 0;
    }
    buf_clear(&cursor);
    buf_clear(&pattern);
    return status;
}

/* ---- the whole ---- */

/* A queue that was asked for, and of which there is nothing. */
static int check_existence(fsck *f)
{
    const char *name = f->options.queue;
    if (!name || f->result->keys || find_queue(f, bytes_of(name)))
        return ASYNQ_OK;
    return error_set(f->error, ASYNQ_E_NOT_FOUND, "queue \"%.200s\" not found", name);
}

static void clear(fsck *f)
{
    fsck_queue *queue, *next_queue;
    HASH_ITER(hh, f->queues, queue, next_queue) {
        HASH_DEL(f->queues, queue);
        queue_keys_clear(&queue->keys);
        mem_free(queue->seen);
    }
    fsck_told *told, *next_told;
    HASH_ITER(hh, f->told, told, next_told)
        HASH_DEL(f->told, told);
    arena_clear(&f->names);
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
    int status =
        option_struct_import(&f.options, sizeof f.options, options, sizeof f.options, "asynq_fsck_options", f.error);
    if (!status)
        status = check_queue_name(&f);
    if (status)
        return status;
    arena_init(&f.names, 0);
    const bytes size[] = {bytes_of("DBSIZE")};
    status = ask_number(&f, size, 1, &f.total);
    if (!status)
        status = add_registered_queues(&f);
    f.total *= 2; /* scans */
    if (!status && !f.stopped)
        status = scan(&f, PASS_QUEUE_KEYS);
    if (!status && !f.stopped)
        status = scan(&f, PASS_TASKS);
    if (!status && !f.stopped)
        status = check_existence(&f);
    if (!status && !f.stopped)
        status = check_registrations(&f);
    if (!status && !f.stopped && !f.options.queue)
        status = fsck_look_at_records(&f);
    clear(&f);
    return status;
}
