/*
 * Records of servers and schedulers, and other keys that belong to no queue. Several commands write them, so what seems
 * wrong is looked at again after a second. See fsck.h.
 */
#include "inspect/fsck.h"

#include "base/clock.h"
#include "base/error.h"
#include "broker/session.h"
#include "wire/scheduler_entry.h"

#include <inttypes.h>
#include <time.h>

enum {
    SECOND_LOOK_MS = 1100,
    RECORD_GRACE_S = 10,  /* readers and servers clean up by themselves */
    HISTORY_GRACE_S = 60, /* a scheduler shows its entries with its first heartbeat, after 10 s */
    HISTORY_LIFE_S = 86400,
    SCALE_LIFE_S = 86400
};

typedef enum record_fault { RECORD_NO_TTL, RECORD_HISTORY, RECORD_STALE, RECORD_MISSING } record_fault;

struct fsck_record {
    record_fault fault;
    bytes key;   /* of the record */
    bytes list;  /* in which it is mentioned */
    bytes score; /* there */
    int64_t life_s;
    fsck_record *next;
};

static int fsck_records_add(fsck *f, fsck_record record)
{
    fsck_record *kept = arena_alloc(&f->names, sizeof *kept);
    record.key.data = arena_dup(&f->names, record.key.data, record.key.length);
    record.score.data = arena_dup(&f->names, record.score.data ? record.score.data : "", record.score.length);
    if (!kept || !record.key.data || !record.score.data)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    record.next = f->records;
    *kept = record;
    f->records = kept;
    return ASYNQ_OK;
}

static int64_t now_s(void)
{
    return floor_div(clock_now_ns(), NS_PER_SECOND);
}

/* ---- keys ---- */

static bool begins_with(bytes name, bytes start)
{
    return name.length >= start.length && memcmp(name.data, start.data, start.length) == 0;
}

static int has_no_ttl(fsck *f, bytes key, bool *yes)
{
    const redis_value *reply;
    const bytes words[] = {bytes_of("TTL"), key};
    int status = fsck_command(f, INSPECT_READ, words, 2, &reply);
    *yes = !status && reply->integer == -1;
    return status;
}

int fsck_look_at_global_key(fsck *f, bytes name)
{
    static const struct {
        global_key key;
        record_fault fault;
        int64_t life_s;
    } rows[] = {
        {GLOBAL_KEY_SERVERS, RECORD_NO_TTL, 10},
        {GLOBAL_KEY_WORKERS, RECORD_NO_TTL, 10},
        {GLOBAL_KEY_SCHEDULERS, RECORD_NO_TTL, 20},
        {GLOBAL_KEY_SCHEDULER_HISTORY, RECORD_HISTORY, HISTORY_LIFE_S},
        {GLOBAL_KEY_SESSIONS, RECORD_NO_TTL, BROKER_SESSIONS_LIFE_S},
        {GLOBAL_KEY_SCALE, RECORD_NO_TTL, SCALE_LIFE_S},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is_wrong;
        bytes start = global_key_name(&f->inspector->space, rows[i].key);
        bool is_list = rows[i].key == GLOBAL_KEY_SERVERS || rows[i].key == GLOBAL_KEY_WORKERS ||
                       rows[i].key == GLOBAL_KEY_SCHEDULERS;
        if (!begins_with(name, start) || (is_list && (name.length == start.length || name.data[start.length] != ':')))
            continue;
        int status = has_no_ttl(f, name, &is_wrong);
        return !status && is_wrong
                   ? fsck_records_add(f, (fsck_record){.fault = rows[i].fault, .key = name, .life_s = rows[i].life_s})
                   : status;
    }
    return ASYNQ_OK;
}

/* ---- lists ---- */

static int look_at_stale(fsck *f, bytes list)
{
    const redis_value *reply;
    arena copy;
    char until[24];
    snprintf(until, sizeof until, "%" PRId64, now_s() - RECORD_GRACE_S);
    const bytes words[] = {bytes_of("ZRANGEBYSCORE"), list, bytes_of("-inf"), bytes_of(until), bytes_of("WITHSCORES")};
    int status = fsck_command(f, INSPECT_READ, words, 5, &reply);
    if (status)
        return status;
    arena_init(&copy, 0);
    if (!(reply = redis_value_copy(reply, &copy)))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i + 1 < reply->count; i += 2)
        status = fsck_records_add(f, (fsck_record){.fault = RECORD_STALE,
                                                   .key = reply->elements[i].text,
                                                   .list = list,
                                                   .score = reply->elements[i + 1].text});
    arena_clear(&copy);
    return status;
}

static int exists(fsck *f, bytes key, bool *yes)
{
    const redis_value *reply;
    const bytes words[] = {bytes_of("EXISTS"), key};
    int status = fsck_command(f, INSPECT_READ, words, 2, &reply);
    *yes = !status && reply->integer == 1;
    return status;
}

/* A server that is listed as alive has a record; workers and entries may have none. */
static int look_at_missing(fsck *f)
{
    const redis_value *reply;
    arena copy;
    char from[24];
    bytes list = global_key_name(&f->inspector->space, GLOBAL_KEY_SERVERS);
    snprintf(from, sizeof from, "%" PRId64, now_s());
    const bytes words[] = {bytes_of("ZRANGEBYSCORE"), list, bytes_of(from), bytes_of("+inf"), bytes_of("WITHSCORES")};
    int status = fsck_command(f, INSPECT_READ, words, 5, &reply);
    if (status)
        return status;
    arena_init(&copy, 0);
    if (!(reply = redis_value_copy(reply, &copy)))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i + 1 < reply->count; i += 2) {
        bool is_there;
        status = exists(f, reply->elements[i].text, &is_there);
        if (!status && !is_there)
            status = fsck_records_add(f, (fsck_record){.fault = RECORD_MISSING,
                                                       .key = reply->elements[i].text,
                                                       .list = list,
                                                       .score = reply->elements[i + 1].text});
    }
    arena_clear(&copy);
    return status;
}

/* ---- entries that schedulers have ---- */

typedef struct live_entries {
    arena memory;
    uint64_t *ids; /* fingerprints */
    size_t count, capacity;
} live_entries;

static int fsck_records_add_entry(fsck *f, live_entries *entries, bytes encoded)
{
    scheduler_entry entry;
    arena scratch;
    record_arena_init(&scratch, encoded.length);
    int status = scheduler_entry_decode(&entry, encoded, &scratch, NULL);
    if (!status) {
        uint64_t *ids =
            arena_grow(&entries->memory, entries->ids, entries->count, &entries->capacity, sizeof *entries->ids);
        if (ids) {
            entries->ids = ids;
            ids[entries->count++] = fsck_fingerprint('e', entry.id);
        }
        status = ids ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    }
    arena_clear(&scratch);
    return status == ASYNQ_E_NO_MEMORY ? error_set_code(f->error, status) : ASYNQ_OK;
}

static int fsck_records_read_entries(fsck *f, live_entries *entries)
{
    const redis_value *lists, *reply;
    char from[24];
    snprintf(from, sizeof from, "%" PRId64, now_s());
    const bytes words[] = {bytes_of("ZRANGEBYSCORE"), global_key_name(&f->inspector->space, GLOBAL_KEY_SCHEDULERS),
                           bytes_of(from), bytes_of("+inf")};
    int status = fsck_command(f, INSPECT_READ, words, 4, &lists);
    if (!status && !(lists = redis_value_copy(lists, &entries->memory)))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i < lists->count; i++) {
        const bytes range[] = {bytes_of("LRANGE"), lists->elements[i].text, bytes_of("0"), bytes_of("-1")};
        status = fsck_command(f, INSPECT_READ, range, 4, &reply);
        for (size_t k = 0; !status && k < reply->count; k++)
            status = fsck_records_add_entry(f, entries, reply->elements[k].text);
    }
    return status;
}

/* ---- the second look ---- */

/* Its entry is in no scheduler's list, and has enqueued nothing lately. */
static int is_old_history(fsck *f, const live_entries *entries, bytes key, bool *yes)
{
    size_t start = global_key_name(&f->inspector->space, GLOBAL_KEY_SCHEDULER_HISTORY).length;
    uint64_t id = fsck_fingerprint('e', (bytes){key.data + start, key.length - start});
    const redis_value *reply;
    const bytes words[] = {bytes_of("ZRANGE"), key, bytes_of("-1"), bytes_of("-1"), bytes_of("WITHSCORES")};
    *yes = false;
    for (size_t i = 0; i < entries->count; i++)
        if (entries->ids[i] == id)
            return ASYNQ_OK;
    int status = fsck_command(f, INSPECT_READ, words, 5, &reply);
    *yes = !status && reply->count == 2 && redis_value_double(&reply->elements[1]) < (double)now_s() - HISTORY_GRACE_S;
    return status;
}

static int is_still_listed(fsck *f, const fsck_record *record, bool *yes)
{
    const redis_value *reply;
    const bytes words[] = {bytes_of("ZSCORE"), record->list, record->key};
    int status = fsck_command(f, INSPECT_READ, words, 3, &reply);
    *yes = !status && reply->type == REDIS_STRING && bytes_equal(reply->text, record->score);
    return status;
}

static int is_still_wrong(fsck *f, const live_entries *entries, const fsck_record *record, bool *yes)
{
    bool is_there = false;
    int status = ASYNQ_OK;
    switch (record->fault) {
    case RECORD_NO_TTL:
        return has_no_ttl(f, record->key, yes);
    case RECORD_HISTORY:
        status = has_no_ttl(f, record->key, yes);
        return !status && *yes ? is_old_history(f, entries, record->key, yes) : status;
    case RECORD_MISSING:
        status = exists(f, record->key, &is_there);
        if (is_there)
            *yes = false;
        return status || is_there ? status : is_still_listed(f, record, yes);
    case RECORD_STALE:
        return is_still_listed(f, record, yes);
    }
    return status;
}

static int repair(fsck *f, const fsck_record *record)
{
    char life[24];
    const redis_value *reply;
    snprintf(life, sizeof life, "%" PRId64, record->life_s);
    const bytes expire[] = {bytes_of("EXPIRE"), record->key, bytes_of(life)};
    const bytes remove[] = {bytes_of("ZREM"), record->list, record->key};
    bool is_key = record->fault == RECORD_NO_TTL || record->fault == RECORD_HISTORY;
    return fsck_command(f, INSPECT_CHANGE, is_key ? expire : remove, 3, &reply);
}

static int fsck_records_report(fsck *f, const fsck_record *record)
{
    static const struct {
        asynq_fault fault;
        const char *detail, *repaired;
    } texts[] = {
        [RECORD_NO_TTL] = {ASYNQ_FAULT_NO_TTL, "it has no end of life", "it ends soon"},
        [RECORD_HISTORY] = {ASYNQ_FAULT_RECORD, "no scheduler has this entry any more", "it ends in a day"},
        [RECORD_STALE] = {ASYNQ_FAULT_RECORD, "its server or scheduler has gone", "forgotten"},
        [RECORD_MISSING] = {ASYNQ_FAULT_RECORD, "a server is listed that has no record", "forgotten"},
    };
    return fsck_report(f, &(asynq_finding){.fault = texts[record->fault].fault,
                                           .queue = "",
                                           .task_id = "",
                                           .key = record->key.data,
                                           .detail = texts[record->fault].detail,
                                           .repaired = f->options.repair ? texts[record->fault].repaired : ""});
}

static void wait_for_second_look(void)
{
    struct timespec pause = {SECOND_LOOK_MS / 1000, SECOND_LOOK_MS % 1000 * NS_PER_MS};
    while (nanosleep(&pause, &pause)) {
    }
}

static int fsck_records_look_again(fsck *f, const live_entries *entries)
{
    int status = ASYNQ_OK;
    for (const fsck_record *record = f->records; record && !status && !f->stopped; record = record->next) {
        bool is_wrong = false;
        status = is_still_wrong(f, entries, record, &is_wrong);
        if (!status && is_wrong && f->options.repair)
            status = repair(f, record);
        if (!status && is_wrong)
            status = fsck_records_report(f, record);
    }
    return status;
}

int fsck_look_at_records(fsck *f)
{
    static const global_key lists[] = {GLOBAL_KEY_SERVERS, GLOBAL_KEY_WORKERS, GLOBAL_KEY_SCHEDULERS};
    live_entries entries = {0};
    int status = ASYNQ_OK;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && !status; i++)
        status = look_at_stale(f, global_key_name(&f->inspector->space, lists[i]));
    if (!status)
        status = look_at_missing(f);
    if (status || !f->records)
        return status;
    wait_for_second_look();
    arena_init(&entries.memory, 0);
    status = fsck_records_read_entries(f, &entries);
    if (!status)
        status = fsck_records_look_again(f, &entries);
    arena_clear(&entries.memory);
    return status;
}
