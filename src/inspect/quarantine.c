/* What fsck has set aside. */
#include "inspect/inspect.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"

#include <asynq/fsck.h>
#include <stdlib.h>

/* One command. `copy` receives the reply. */
static int quarantine_ask(asynq_inspector *inspector, inspect_kind kind, const bytes *words, size_t count, arena *copy,
                          const redis_value **reply, asynq_error *error)
{
    int status = inspect_command(inspector, kind, words, count, reply, error);
    if (status)
        return status;
    *reply = redis_value_copy(*reply, copy);
    return *reply ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

static int append_key(buf *key, const queue_keys *keys, bytes name, asynq_error *error)
{
    buf_init(key, 0);
    buf_append(key, keys->key[QUEUE_KEY_QUARANTINED].data, keys->key[QUEUE_KEY_QUARANTINED].length);
    buf_append(key, name.data, name.length);
    return buf_failed(key) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

static int forget(asynq_inspector *inspector, const queue_keys *keys, bytes name, arena *copy, asynq_error *error)
{
    const redis_value *reply;
    const bytes words[] = {bytes_of("HDEL"), keys->key[QUEUE_KEY_QUARANTINE], name};
    return quarantine_ask(inspector, INSPECT_CHANGE, words, 3, copy, &reply, error);
}

/* `note` is the time in seconds, a space, and the reason. */
static void read_note(bytes note, asynq_quarantined *entry)
{
    char *reason = NULL;
    entry->at_ms = ms_of_seconds(strtoll(note.data, &reason, 10));
    entry->reason = *reason == ' ' ? reason + 1 : reason;
}

typedef struct quarantine_visit {
    asynq_inspector *inspector;
    queue_keys keys;
    asynq_quarantined_cb visit;
    void *arg;
    bool stopped;
} quarantine_visit;

/* An entry whose key has reached the end of its life is forgotten. */
static int visit_entry(quarantine_visit *v, bytes name, bytes note, asynq_error *error)
{
    arena copy;
    buf key;
    const redis_value *dump, *message;
    int status = append_key(&key, &v->keys, name, error);
    if (status)
        return status;
    arena_init(&copy, 0);
    const bytes get_dump[] = {bytes_of("DUMP"), {key.data, key.length}};
    const bytes get_type[] = {bytes_of("TYPE"), {key.data, key.length}};
    const bytes get_message[] = {bytes_of("HGET"), {key.data, key.length}, bytes_of("msg")};
    status = quarantine_ask(v->inspector, INSPECT_READ, get_dump, 2, &copy, &dump, error);
    if (!status && dump->type != REDIS_STRING) {
        status = forget(v->inspector, &v->keys, name, &copy, error);
    } else if (!status) {
        asynq_quarantined entry = {.name = name.data, .dump = dump->text.data, .dump_length = dump->text.length};
        read_note(note, &entry);
        entry.message = "";
        status = quarantine_ask(v->inspector, INSPECT_READ, get_type, 2, &copy, &message, error);
        if (!status && redis_value_is_text(message, "hash")) {
            status = quarantine_ask(v->inspector, INSPECT_READ, get_message, 3, &copy, &message, error);
            if (!status && message->type == REDIS_STRING) {
                entry.message = message->text.data;
                entry.message_length = message->text.length;
            }
        }
        if (!status)
            v->stopped = !v->visit(&entry, v->arg);
    }
    buf_clear(&key);
    arena_clear(&copy);
    return status;
}

static int visit_page(quarantine_visit *v, char *cursor, size_t cursor_size, asynq_error *error)
{
    arena page;
    const redis_value *reply;
    const bytes words[] = {bytes_of("HSCAN"), v->keys.key[QUEUE_KEY_QUARANTINE], bytes_of(cursor), bytes_of("COUNT"),
                           bytes_of("100")};
    arena_init(&page, 0);
    int status = quarantine_ask(v->inspector, INSPECT_READ, words, 5, &page, &reply, error);
    if (!status) {
        const redis_value *next = redis_value_at(reply, 0), *entries = redis_value_at(reply, 1);
        if (!entries || next->text.length >= cursor_size)
            status = error_set(error, ASYNQ_E_MALFORMED, "Redis gave a cursor that is no number");
        else
            memcpy(cursor, next->text.data, next->text.length + 1);
        for (size_t i = 0; !status && !v->stopped && i + 1 < entries->count; i += 2)
            status = visit_entry(v, entries->elements[i].text, entries->elements[i + 1].text, error);
    }
    arena_clear(&page);
    return status;
}

int asynq_inspector_quarantine(asynq_inspector *inspector, const char *queue, asynq_quarantined_cb visit, void *arg,
                               asynq_error *error)
{
    quarantine_visit v = {.inspector = inspector, .visit = visit, .arg = arg};
    char cursor[24] = "0";
    int status = inspect_keys(inspector, &v.keys, queue, error);
    if (status)
        return status;
    do {
        status = visit_page(&v, cursor, sizeof cursor, error);
    } while (!status && !v.stopped && strcmp(cursor, "0") != 0);
    queue_keys_clear(&v.keys);
    return status;
}

int asynq_inspector_quarantine_delete(asynq_inspector *inspector, const char *queue, const char *name,
                                      asynq_error *error)
{
    queue_keys keys;
    buf key;
    arena copy;
    const redis_value *reply;
    int status = inspect_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    arena_init(&copy, 0);
    status = append_key(&key, &keys, bytes_of(name), error);
    const bytes words[] = {bytes_of("DEL"), {key.data, key.length}};
    if (!status)
        status = quarantine_ask(inspector, INSPECT_CHANGE, words, 2, &copy, &reply, error);
    bool had_key = !status && redis_value_integer(reply) > 0;
    const bytes remove[] = {bytes_of("HDEL"), keys.key[QUEUE_KEY_QUARANTINE], bytes_of(name)};
    if (!status)
        status = quarantine_ask(inspector, INSPECT_CHANGE, remove, 3, &copy, &reply, error);
    if (!status && !had_key && redis_value_integer(reply) == 0)
        status =
            error_set(error, ASYNQ_E_NOT_FOUND, "\"%.150s\" is not in the quarantine of queue \"%.100s\"", name, queue);
    buf_clear(&key);
    arena_clear(&copy);
    queue_keys_clear(&keys);
    return status;
}
