/* Keys of a queue that are no tasks: types, ends of life, locks, groups. See fsck.h. */
#include "inspect/fsck.h"

#include "base/clock.h"
#include "base/error.h"
#include "broker/schedule.h"

/* key, kind and type as check-keys.lua wants them, longest life */
static const struct key_row {
    queue_key key;
    const char *kind, *type;
    int64_t life_s;
} rows[] = {
    {QUEUE_KEY_PENDING, "plain", "list", 0},
    {QUEUE_KEY_ACTIVE, "plain", "list", 0},
    {QUEUE_KEY_LEASE, "plain", "zset", 0},
    {QUEUE_KEY_SCHEDULED, "plain", "zset", 0},
    {QUEUE_KEY_RETRY, "plain", "zset", 0},
    {QUEUE_KEY_ARCHIVED, "plain", "zset", 0},
    {QUEUE_KEY_COMPLETED, "plain", "zset", 0},
    {QUEUE_KEY_GROUPS, "plain", "set", 0},
    {QUEUE_KEY_GROUP, "group", "zset", 0},
    {QUEUE_KEY_AGGREGATION_SETS, "plain", "zset", 0},
    {QUEUE_KEY_PAUSED, "plain", "string", 0},
    {QUEUE_KEY_PROCESSED, "counter", "string", 0}, /* daily ones: BROKER_COUNTERS_LIFE_S */
    {QUEUE_KEY_FAILED, "counter", "string", 0},
    {QUEUE_KEY_LOCK, "lock", "string", 24 * 3600}, /* only for one that has no end */
    {QUEUE_KEY_WATCHERS, "plain", "zset", BROKER_ROLE_LIFE_S},
    {QUEUE_KEY_PARKED, "plain", "zset", BROKER_ROLE_LIFE_S},
    {QUEUE_KEY_CLIENT, "plain", "hash", BROKER_CLIENT_MEMORY_S},
    {QUEUE_KEY_ENTRY, "plain", "hash", BROKER_ENTRY_LIFE_S},
    {QUEUE_KEY_QUARANTINE, "plain", "hash", BROKER_QUARANTINE_LIFE_S},
    {QUEUE_KEY_QUARANTINED, "plain", "", BROKER_QUARANTINE_LIFE_S},
};

static bool fsck_keys_describe(const queue_key_name *parsed, bytes name, key_suspect *suspect)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].key == parsed->key) {
            bool is_daily = strcmp(rows[i].kind, "counter") == 0 && parsed->rest.length;
            *suspect =
                (key_suspect){name, rows[i].kind, rows[i].type, is_daily ? BROKER_COUNTERS_LIFE_S : rows[i].life_s};
            return true;
        }
    return false;
}

/* Sends one chunk. The reply lives until the next command. */
static int fsck_keys_check(fsck *f, const fsck_queue *queue, const key_suspect *suspects, size_t count, bool repair,
                           const redis_value **reply)
{
    asynq_inspector *inspector = f->inspector;
    int64_t now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, repair ? INSPECT_CHANGE : INSPECT_READ, f->error);
    while (inspect_again(&call))
        call.sent = broker_check_keys(&inspector->broker, &queue->keys, suspects, count, now_ns, repair,
                                      inspect_replied, inspector);
    *reply = call.reply;
    return call.status;
}

static int fsck_keys_report(fsck *f, const fsck_queue *queue, const key_suspect *suspect, const check_result *result)
{
    buf detail;
    buf_init(&detail, 0);
    buf_append(&detail, result->where.data, result->where.length);
    int status = buf_failed(&detail) ? error_set_code(f->error, ASYNQ_E_NO_MEMORY)
                                     : fsck_report_result(f, queue, bytes_of(""), suspect->name, result,
                                                          detail.data ? detail.data : "");
    buf_clear(&detail);
    return status;
}

/* What seems wrong is looked at a second time, and repaired then. */
static int check_twice(fsck *f, const fsck_queue *queue, const key_suspect *suspects, size_t count)
{
    const redis_value *reply;
    key_suspect wrong[BROKER_CHECK_KEYS];
    size_t wrong_count = 0;
    int status = fsck_keys_check(f, queue, suspects, count, false, &reply);
    for (size_t i = 0; !status && i < count; i++)
        if (broker_checked_key(reply, i).fault.length)
            wrong[wrong_count++] = suspects[i];
    if (status || !wrong_count)
        return status;
    status = fsck_keys_check(f, queue, wrong, wrong_count, f->options.repair, &reply);
    for (size_t i = 0; i < wrong_count && !status && !f->stopped; i++) {
        check_result result = broker_checked_key(reply, i);
        if (result.fault.length)
            status = fsck_keys_report(f, queue, &wrong[i], &result);
    }
    return status;
}

int fsck_look_at_keys(fsck *f, fsck_queue *queue, const queue_key_name *parsed, const bytes *names, size_t count)
{
    int status = ASYNQ_OK;
    for (size_t at = 0; at < count && !status && !f->stopped;) {
        key_suspect suspects[BROKER_CHECK_KEYS];
        size_t chunk = 0;
        for (; at < count && chunk < BROKER_CHECK_KEYS && !status; at++) {
            queue->has_tasks |= parsed[at].key == QUEUE_KEY_GROUP;
            if (parsed[at].key == QUEUE_KEY_GROUP)
                status = fsck_look_at_group(f, queue, names[at]);
            chunk += fsck_keys_describe(&parsed[at], names[at], &suspects[chunk]);
        }
        if (!status && chunk)
            status = check_twice(f, queue, suspects, chunk);
    }
    return status;
}

int fsck_look_at_fixed_keys(fsck *f, fsck_queue *queue)
{
    key_suspect suspects[sizeof rows / sizeof *rows];
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes name = queue->keys.key[rows[i].key];
        if (name.data[name.length - 1] != ':')
            suspects[count++] = (key_suspect){name, rows[i].kind, rows[i].type, rows[i].life_s};
    }
    return check_twice(f, queue, suspects, count);
}

/* ---- names without sets ---- */

/* Full names of sets that two lists of the queue mention, to be looked at together. */
typedef struct listed_sets {
    fsck *f;
    fsck_queue *queue;
    key_suspect at[BROKER_CHECK_KEYS];
    size_t count;
    arena copies;
} listed_sets;

static int look_at_listed(listed_sets *sets)
{
    int status = sets->count ? check_twice(sets->f, sets->queue, sets->at, sets->count) : ASYNQ_OK;
    sets->count = 0;
    arena_reset(&sets->copies);
    return status;
}

static int add_listed(listed_sets *sets, bytes prefix, bytes name)
{
    char *key = arena_alloc(&sets->copies, prefix.length + name.length + 1);
    if (!key)
        return error_set_code(sets->f->error, ASYNQ_E_NO_MEMORY);
    memcpy(key, prefix.data, prefix.length);
    memcpy(key + prefix.length, name.data, name.length);
    key[prefix.length + name.length] = '\0';
    sets->at[sets->count++] = (key_suspect){{key, prefix.length + name.length}, "listed", "", 0};
    return sets->count == BROKER_CHECK_KEYS ? look_at_listed(sets) : ASYNQ_OK;
}

/* `scan` is SSCAN, whose names lack `prefix`, or ZSCAN, where each is followed by a score. */
static int look_at_list(listed_sets *sets, const char *scan, bytes list, bytes prefix, size_t step)
{
    fsck *f = sets->f;
    arena page;
    char cursor[24] = "0";
    int status = ASYNQ_OK;
    arena_init(&page, 0);
    do {
        const bytes words[] = {bytes_of(scan), list, bytes_of(cursor), bytes_of("COUNT"), bytes_of("100")};
        const redis_value *reply;
        arena_reset(&page);
        status = fsck_command(f, INSPECT_READ, words, 5, &reply);
        if (status)
            break;
        reply = redis_value_copy(reply, &page);
        const redis_value *next = reply ? redis_value_at(reply, 0) : NULL;
        const redis_value *names = reply ? redis_value_at(reply, 1) : NULL;
        if (!names || next->text.length >= sizeof cursor) {
            status = error_set_code(f->error, reply ? ASYNQ_E_MALFORMED : ASYNQ_E_NO_MEMORY);
            break;
        }
        memcpy(cursor, next->text.data, next->text.length + 1);
        for (size_t i = 0; i < names->count && !status && !f->stopped; i += step)
            status = add_listed(sets, prefix, names->elements[i].text);
    } while (!status && !f->stopped && strcmp(cursor, "0") != 0);
    arena_clear(&page);
    return fsck_pass_over_wrong_type(f, status);
}

int fsck_look_at_lists(fsck *f, fsck_queue *queue)
{
    const queue_keys *keys = &queue->keys;
    listed_sets sets = {.f = f, .queue = queue};
    arena_init(&sets.copies, 0);
    int status = look_at_list(&sets, "SSCAN", keys->key[QUEUE_KEY_GROUPS], keys->key[QUEUE_KEY_GROUP], 1);
    if (!status && !f->stopped)
        status = look_at_list(&sets, "ZSCAN", keys->key[QUEUE_KEY_AGGREGATION_SETS], bytes_of(""), 2);
    if (!status && !f->stopped)
        status = look_at_listed(&sets);
    arena_clear(&sets.copies);
    return status;
}
