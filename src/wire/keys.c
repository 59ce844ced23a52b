/* See keys.h. */
#include "wire/keys.h"

#include "base/clock.h"

#include <openssl/evp.h>

/* A name may be as long as Redis allows, and each choice is a walk along it; no queue is called like that. */
enum { KEY_CHOICES_MAX = 64 };

static const char *const queue_key_suffix[] = {
#define QUEUE_KEY_SUFFIX(name, suffix) suffix,
    QUEUE_KEY_MAP(QUEUE_KEY_SUFFIX)
#undef QUEUE_KEY_SUFFIX
};

static const char *const global_key_text[] = {
#define GLOBAL_KEY_TEXT(name, text) KEYS_PREFIX ":" text,
    GLOBAL_KEY_MAP(GLOBAL_KEY_TEXT)
#undef GLOBAL_KEY_TEXT
};

bytes global_key_name(global_key key)
{
    return bytes_of(global_key_text[key]);
}

int queue_keys_init(queue_keys *keys, bytes queue)
{
    size_t prefix_length = strlen(KEYS_PREFIX ":{}:") + queue.length;
    buf names;
    buf_init(&names, 0);
    buf_append_text(&names, KEYS_PREFIX ":{");
    buf_append(&names, queue.data, queue.length);
    buf_append_text(&names, "}:");
    for (int i = 0; i < QUEUE_KEY_COUNT; i++) {
        buf_append_text(&names, KEYS_PREFIX ":{");
        buf_append(&names, queue.data, queue.length);
        buf_append_format(&names, "}:%s", queue_key_suffix[i]);
    }
    if (buf_failed(&names))
        return ASYNQ_E_NO_MEMORY;

    keys->storage = buf_take(&names);
    keys->prefix = (bytes){keys->storage, prefix_length};
    keys->queue = (bytes){keys->storage + strlen(KEYS_PREFIX ":{"), queue.length};
    const char *at = keys->storage + prefix_length;
    for (int i = 0; i < QUEUE_KEY_COUNT; i++) {
        keys->key[i] = (bytes){at, prefix_length + strlen(queue_key_suffix[i])};
        at += keys->key[i].length;
    }
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

bool queue_key_parse(bytes name, size_t choice, queue_key_name *parsed)
{
    const size_t from = strlen(KEYS_PREFIX ":{");
    if (name.length < from || memcmp(name.data, KEYS_PREFIX ":{", from) != 0)
        return false;
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

void key_append_lock(buf *out, bytes queue, bytes type, bytes payload)
{
    buf_append_text(out, KEYS_PREFIX ":{");
    buf_append(out, queue.data, queue.length);
    buf_append_format(out, "}:%s", queue_key_suffix[QUEUE_KEY_LOCK]);
    buf_append(out, type.data, type.length);
    buf_append_text(out, ":");
    if (payload.data)
        append_md5(out, payload);
}

void key_append_server(buf *out, bytes identity)
{
    buf_append_format(out, KEYS_PREFIX ":servers:{%.*s}", BYTES_ARGS(identity));
}

void key_append_workers(buf *out, bytes identity)
{
    buf_append_format(out, KEYS_PREFIX ":workers:{%.*s}", BYTES_ARGS(identity));
}

void key_append_scheduler(buf *out, bytes identity)
{
    buf_append_format(out, KEYS_PREFIX ":schedulers:{%.*s}", BYTES_ARGS(identity));
}

void key_append_daily(buf *out, bytes key, int64_t at_ns)
{
    char date[11];
    clock_utc_date(at_ns, date);
    buf_append(out, key.data, key.length);
    buf_append_format(out, ":%s", date);
}
