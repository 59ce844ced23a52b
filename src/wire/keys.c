/* See keys.h. */
#include "wire/keys.h"

#include "base/clock.h"
#include "base/error.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* A name may be as long as Redis allows, and each choice is a walk along it; no queue is called like that. */
enum { KEY_CHOICES_MAX = 64 };

static const char *const queue_key_suffix[] = {
#define QUEUE_KEY_SUFFIX(name, suffix) suffix,
    QUEUE_KEY_MAP(QUEUE_KEY_SUFFIX)
#undef QUEUE_KEY_SUFFIX
};

static const char *const global_key_text[] = {
#define GLOBAL_KEY_TEXT(name, text) text,
    GLOBAL_KEY_MAP(GLOBAL_KEY_TEXT)
#undef GLOBAL_KEY_TEXT
};

/* ---- key space ---- */

enum { PREFIX_MAX_LENGTH = 128 };

static const char *prefix_fault(const char *prefix)
{
    if (!*prefix)
        return "is empty";
    if (strlen(prefix) > PREFIX_MAX_LENGTH)
        return "has more than 128 bytes";
    if (strpbrk(prefix, "*?[]^\\"))
        return "has one of *?[]^\\, which patterns of keys and channels would take for something else";
    if (strpbrk(prefix, "{}"))
        return "has a brace, which a Redis Cluster would take for that of a queue's name";
    for (const char *at = prefix; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 127)
            return "has a blank or a control character, which no ACL rule can have";
    return NULL;
}

int key_space_init(key_space *space, const char *prefix, asynq_error *error)
{
    prefix = prefix ? prefix : KEY_PREFIX_DEFAULT;
    const char *fault = prefix_fault(prefix);
    size_t length = strlen(prefix);
    if (fault)
        return error_set(error, ASYNQ_E_INVALID, "the key prefix %s", fault);
    buf names;
    buf_init(&names, 0);
    buf_append(&names, prefix, length + 1);
    for (int i = 0; i < GLOBAL_KEY_COUNT; i++) {
        buf_append_format(&names, "%s:%s", prefix, global_key_text[i]);
        buf_append(&names, "", 1);
    }
    if (buf_failed(&names))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);

    space->storage = buf_take(&names);
    space->prefix = (bytes){space->storage, length};
    const char *at = space->storage + length + 1;
    for (int i = 0; i < GLOBAL_KEY_COUNT; i++) {
        space->global[i] = bytes_of(at);
        at += space->global[i].length + 1;
    }
    return ASYNQ_OK;
}

void key_space_clear(key_space *space)
{
    buf owner = {.data = space->storage};
    buf_clear(&owner);
    *space = (key_space){0};
}

bytes global_key_name(const key_space *space, global_key key)
{
    return space->global[key];
}

/* ---- keys of a queue ---- */

/* What all names of a queue begin with, up to where its own begins. */
static void append_queue_start(buf *out, const key_space *space)
{
    buf_append(out, space->prefix.data, space->prefix.length);
    buf_append_text(out, ":{");
}

static size_t queue_start_length(const key_space *space)
{
    return space->prefix.length + strlen(":{");
}

static void append_queue_prefix(buf *out, const key_space *space, bytes queue)
{
    append_queue_start(out, space);
    buf_append(out, queue.data, queue.length);
    buf_append_text(out, "}:");
}

static size_t all_names_length(const key_space *space, bytes queue)
{
    size_t prefix = queue_start_length(space) + queue.length + strlen("}:"), all = prefix + 1;
    for (int i = 0; i < QUEUE_KEY_COUNT; i++)
        all += prefix + strlen(queue_key_suffix[i]);
    return all;
}

int queue_keys_init(queue_keys *keys, const key_space *space, bytes queue)
{
    buf names;
    buf_init(&names, 0);
    (void)buf_reserve(&names, all_names_length(space, queue)); /* there may be a thousand queues */
    append_queue_prefix(&names, space, queue);
    size_t prefix_length = names.length;
    for (int i = 0; i < QUEUE_KEY_COUNT; i++) {
        append_queue_prefix(&names, space, queue);
        buf_append_text(&names, queue_key_suffix[i]);
    }
    if (buf_failed(&names))
        return ASYNQ_E_NO_MEMORY;

    keys->storage = buf_take(&names);
    keys->prefix = (bytes){keys->storage, prefix_length};
    keys->queue = (bytes){keys->storage + queue_start_length(space), queue.length};
    const char *at = keys->storage + prefix_length;
    for (int i = 0; i < QUEUE_KEY_COUNT; i++) {
        keys->key[i] = (bytes){at, prefix_length + strlen(queue_key_suffix[i])};
        at += keys->key[i].length;
    }
    keys->slot = key_slot(keys->prefix);
    return ASYNQ_OK;
}

void queue_keys_clear(queue_keys *keys)
{
    buf owner = {.data = keys->storage};
    buf_clear(&owner);
    *keys = (queue_keys){0};
}

bytes key_slot_tag(bytes key)
{
    const char *open = memchr(key.data, '{', key.length);
    const char *end = key.data + key.length;
    const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;
    return close ? (bytes){open + 1, (size_t)(close - open - 1)} : key;
}

/* Redis's checksum: CRC-16 with the polynomial 0x1021, from the highest bit, beginning with 0. */
static unsigned key_crc16(bytes text)
{
    unsigned crc = 0;
    for (size_t i = 0; i < text.length; i++) {
        crc ^= (unsigned)(unsigned char)text.data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc << 1) ^ (crc & 0x8000 ? 0x11021 : 0);
    }
    return crc;
}

int key_slot(bytes key)
{
    bytes tag = key_slot_tag(key);
    return (int)(key_crc16(tag.length ? tag : key) % KEY_SLOTS);
}

/* The end of the queue's name. NULL: there are not so many choices. */
static const char *find_queue_end(bytes name, size_t from, size_t choice)
{
    const char *at = name.data + from, *end = name.data + name.length;
    while (at < end && (at = memmem(at, (size_t)(end - at), "}:", 2))) {
        if (!choice--)
            return at;
        at++;
    }
    return NULL;
}

size_t queue_key_choices(bytes name)
{
    size_t choices = 0, at = 0;
    for (const char *end; choices < KEY_CHOICES_MAX && at < name.length && (end = find_queue_end(name, at, 0));
         choices++)
        at = (size_t)(end + 1 - name.data);
    return choices;
}

static bool is_counter(queue_key key)
{
    return key == QUEUE_KEY_PROCESSED || key == QUEUE_KEY_FAILED;
}

static bool is_queue_key(const key_space *space, bytes name)
{
    bytes prefix = space->prefix;
    return name.length >= queue_start_length(space) && memcmp(name.data, prefix.data, prefix.length) == 0 &&
           memcmp(name.data + prefix.length, ":{", 2) == 0;
}

bool queue_key_parse(const key_space *space, bytes name, size_t choice, queue_key_name *parsed)
{
    if (!is_queue_key(space, name))
        return false;
    const size_t from = queue_start_length(space);
    const char *end = find_queue_end(name, from, choice);
    if (!end)
        return false;
    bytes suffix = {end + 2, name.length - (size_t)(end + 2 - name.data)};
    for (int i = 0; i < QUEUE_KEY_COUNT; i++) {
        size_t length = strlen(queue_key_suffix[i]);
        if (suffix.length < length || memcmp(suffix.data, queue_key_suffix[i], length) != 0)
            continue;
        bytes rest = {suffix.data + length, suffix.length - length};
        if (rest.length && is_counter((queue_key)i) && *rest.data == ':')
            rest = (bytes){rest.data + 1, rest.length - 1};
        else if (rest.length && queue_key_suffix[i][length - 1] != ':')
            continue;
        *parsed = (queue_key_name){{name.data + from, (size_t)(end - name.data) - from}, (queue_key)i, rest};
        return true;
    }
    return false;
}

static void append_md5(buf *out, bytes payload)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!EVP_Digest(payload.data, payload.length, digest, &length, EVP_md5(), NULL)) {
        buf_fail(out); /* MD5 is switched off in this OpenSSL (FIPS); the name cannot be built */
        return;
    }
    for (unsigned i = 0; i < length; i++)
        buf_append_format(out, "%02x", digest[i]);
}

void key_append_lock(buf *out, const key_space *space, bytes queue, bytes type, bytes payload)
{
    append_queue_prefix(out, space, queue);
    buf_append_text(out, queue_key_suffix[QUEUE_KEY_LOCK]);
    buf_append(out, type.data, type.length);
    buf_append_text(out, ":");
    if (payload.data)
        append_md5(out, payload);
}

static int keys_compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void key_append_scale(buf *out, const key_space *space, const char **queues, size_t count)
{
    buf names;
    bytes start = global_key_name(space, GLOBAL_KEY_SCALE);
    buf_init(&names, 0);
    if (count)
        qsort(queues, count, sizeof *queues, keys_compare_names);
    for (size_t i = 0; i < count; i++)
        buf_append(&names, queues[i], strlen(queues[i]) + 1);
    buf_append(out, start.data, start.length);
    if (buf_failed(&names))
        buf_fail(out);
    else
        append_md5(out, (bytes){names.data ? names.data : "", names.length});
    buf_clear(&names);
}

/* The record that one process keeps; its list has the same name without the braces. */
static void append_record(buf *out, bytes list, bytes identity)
{
    buf_append(out, list.data, list.length);
    buf_append_text(out, ":{");
    buf_append(out, identity.data, identity.length);
    buf_append_text(out, "}");
}

void key_append_server(buf *out, const key_space *space, bytes identity)
{
    append_record(out, global_key_name(space, GLOBAL_KEY_SERVERS), identity);
}

void key_append_workers(buf *out, const key_space *space, bytes identity)
{
    append_record(out, global_key_name(space, GLOBAL_KEY_WORKERS), identity);
}

void key_append_scheduler(buf *out, const key_space *space, bytes identity)
{
    append_record(out, global_key_name(space, GLOBAL_KEY_SCHEDULERS), identity);
}

void key_append_daily(buf *out, bytes key, int64_t at_ns)
{
    char date[11];
    clock_utc_date(at_ns, date);
    buf_append(out, key.data, key.length);
    buf_append_format(out, ":%s", date);
}
