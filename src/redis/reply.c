/* See reply.h. */
#include "redis/reply.h"

#include "base/alloc.h"
#include "base/error.h"

#include <hiredis/hiredis.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    REPLY_MAX_DEPTH = 8, /* of arrays in arrays; libhiredis from 1.0 on has no limit of its own */
    REPLY_MAX_ELEMENTS = 1 << 20,
    REPLY_KEPT_BUFFER = 1 << 20 /* an idle reader keeps at most this */
};

/* Redis itself accepts strings of up to 512 MB. */
#define REPLY_MAX_BYTES ((size_t)640 << 20)

struct redis_reader {
    redisReader *hiredis;
    arena values;
    size_t waiting; /* bytes fed since the last whole reply */
};

static const redis_type type_of_hiredis[] = {
    [REDIS_REPLY_STRING] = REDIS_STRING, [REDIS_REPLY_ARRAY] = REDIS_ARRAY,   [REDIS_REPLY_INTEGER] = REDIS_INTEGER,
    [REDIS_REPLY_NIL] = REDIS_NIL,       [REDIS_REPLY_STATUS] = REDIS_STATUS, [REDIS_REPLY_ERROR] = REDIS_ERROR,
};

/* The place of a value: in its array, or a new one for the outermost. Nobody has asked for the types of RESP3. */
static redis_value *place_value(const redisReadTask *task)
{
    redis_reader *reader = task->privdata;
    redis_value *value = NULL;
    if ((size_t)task->type >= sizeof type_of_hiredis / sizeof *type_of_hiredis)
        return NULL;
    if (task->parent)
        value = &((redis_value *)task->parent->obj)->elements[task->idx];
    else
        value = arena_alloc(&reader->values, sizeof *value);
    if (value)
        *value = (redis_value){.type = type_of_hiredis[task->type]};
    return value;
}

static void *create_string(const redisReadTask *task, char *text, size_t length)
{
    redis_reader *reader = task->privdata;
    redis_value *value = place_value(task);
    char *copy = value ? arena_dup(&reader->values, text, length) : NULL;
    if (!copy)
        return NULL;
    value->text = (bytes){copy, length};
    return value;
}

static bool is_too_deep(const redisReadTask *task)
{
    int depth = 0;
    for (const redisReadTask *at = task; at && depth <= REPLY_MAX_DEPTH; at = at->parent)
        depth++;
    return depth > REPLY_MAX_DEPTH;
}

/* As libhiredis says it: since 1.0 without a sign. */
#if HIREDIS_MAJOR >= 1
typedef size_t hiredis_count;
#else
typedef int hiredis_count;
#endif

static void *create_array(const redisReadTask *task, hiredis_count count)
{
    redis_reader *reader = task->privdata;
    if ((size_t)count > REPLY_MAX_ELEMENTS || is_too_deep(task))
        return NULL;
    redis_value *value = place_value(task);
    if (!value)
        return NULL;
    value->elements = arena_alloc(&reader->values, (size_t)count * sizeof *value->elements);
    if (!value->elements)
        return NULL;
    for (size_t i = 0; i < (size_t)count; i++)
        value->elements[i] = (redis_value){.type = REDIS_NIL};
    value->count = (size_t)count;
    return value;
}

static void *create_integer(const redisReadTask *task, long long integer)
{
    redis_value *value = place_value(task);
    if (value)
        value->integer = integer;
    return value;
}

static void *create_nil(const redisReadTask *task)
{
    redis_value *value = place_value(task);
    if (value)
        value->type = REDIS_NIL; /* the task calls it a string or an array */
    return value;
}

static void free_object(void *value)
{
    (void)value; /* the arena is given back as a whole */
}

#if HIREDIS_MAJOR >= 1
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t length)
{
    (void)task, (void)value, (void)text, (void)length;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions object_functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1 /* without them hiredis makes pointers of numbers */
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
};

redis_reader *redis_reader_new(void)
{
    redis_reader *reader = mem_calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->hiredis = redisReaderCreateWithFunctions(&object_functions);
    if (!reader->hiredis) {
        mem_free(reader);
        return NULL;
    }
    reader->hiredis->privdata = reader;
    reader->hiredis->maxbuf = REPLY_KEPT_BUFFER;
    arena_init(&reader->values, REPLY_MAX_BYTES);
    return reader;
}

void redis_reader_free(redis_reader *reader)
{
    if (!reader)
        return;
    redisReaderFree(reader->hiredis);
    arena_clear(&reader->values);
    mem_free(reader);
}

int redis_reader_feed(redis_reader *reader, const char *data, size_t length)
{
    reader->waiting += length;
    if (reader->waiting > REPLY_MAX_BYTES)
        return ASYNQ_E_MALFORMED;
    return redisReaderFeed(reader->hiredis, data, length) == REDIS_OK ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

int redis_reader_next(redis_reader *reader, const redis_value **value, asynq_error *error)
{
    /* A reply that is only half there keeps its values; they may go only when a new one begins. */
    if (reader->hiredis->ridx == -1)
        arena_reset(&reader->values);
    void *found = NULL;
    bool is_read = redisReaderGetReply(reader->hiredis, &found) == REDIS_OK;
    if (!is_read && reader->values.lacks_memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!is_read)
        return error_set(error, ASYNQ_E_MALFORMED, "Redis sent a reply that is too large or malformed (%s)",
                         reader->hiredis->errstr);
    if (found)
        reader->waiting = reader->hiredis->len - reader->hiredis->pos;
    *value = found;
    return ASYNQ_OK;
}

static bool copy_into(redis_value *copy, const redis_value *value, arena *into)
{
    *copy = *value;
    if (value->text.data) {
        copy->text.data = arena_dup(into, value->text.data, value->text.length);
        if (!copy->text.data)
            return false;
    }
    if (!value->count)
        return true;
    copy->elements = arena_alloc(into, value->count * sizeof *copy->elements);
    for (size_t i = 0; copy->elements && i < value->count; i++)
        if (!copy_into(&copy->elements[i], &value->elements[i], into))
            return false;
    return copy->elements != NULL;
}

const redis_value *redis_value_copy(const redis_value *value, arena *into)
{
    redis_value *copy = arena_alloc(into, sizeof *copy);
    return copy && copy_into(copy, value, into) ? copy : NULL;
}

int64_t redis_value_integer(const redis_value *value)
{
    if (!value)
        return 0;
    return value->type == REDIS_INTEGER ? value->integer : value->text.data ? strtoll(value->text.data, NULL, 10) : 0;
}

/* The host program may have set a locale with a decimal comma. */
static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
}

double redis_value_double(const redis_value *value)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!value || !value->text.data)
        return (double)redis_value_integer(value);
    pthread_once(&once, make_c_locale);
    return c_locale ? strtod_l(value->text.data, NULL, c_locale) : strtod(value->text.data, NULL);
}

const redis_value *redis_value_at(const redis_value *array, size_t index)
{
    return array && array->type == REDIS_ARRAY && index < array->count ? &array->elements[index] : NULL;
}

bool redis_value_is_text(const redis_value *value, const char *text)
{
    return value && value->text.data && strcmp(value->text.data, text) == 0;
}

bool redis_value_is_message(const redis_value *value)
{
    return value->type == REDIS_ARRAY && value->count == 3 &&
           (redis_value_is_text(&value->elements[0], "message") ||
            redis_value_is_text(&value->elements[0], "sunsubscribe"));
}
