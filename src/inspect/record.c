/* See record.h. */
#include "inspect/record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"

int64_t inspect_ms_of(record_time at)
{
    return at.seconds <= 0 ? 0 : saturating_add(ms_of_seconds(at.seconds), at.nanos / NS_PER_MS);
}

int inspect_left_out(int status, asynq_error *error)
{
    return status == ASYNQ_E_NO_MEMORY ? error_set_code(error, status) : ASYNQ_OK;
}

const char *inspect_copy(arena *into, bytes text, bool *failed)
{
    const char *copy = arena_dup(into, text.data ? text.data : "", text.length);
    *failed |= !copy;
    return copy;
}

/* The names of records; they live in `into`. */
static int list_alive(asynq_inspector *inspector, global_key index, arena *into, const redis_value **names,
                      asynq_error *error)
{
    int64_t now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_list_alive(&inspector->broker, index, now_ns, inspect_replied, inspector);
    if (call.status)
        return call.status;
    *names = redis_value_copy(call.reply, into);
    return *names ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

int inspect_each_record(asynq_inspector *inspector, global_key index, const char *const *command, size_t command_words,
                        record_cb visit, void *arg, asynq_error *error)
{
    arena memory;
    const redis_value *names;
    arena_init(&memory, 0);
    int status = list_alive(inspector, index, &memory, &names, error);
    bytes *words = arena_alloc(&memory, command_words * sizeof *words);
    if (!status && !words)
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i < names->count; i++) {
        for (size_t k = 0; k < command_words; k++) /* NULL stands for the record's name */
            words[k] = command[k] ? bytes_of(command[k]) : names->elements[i].text;
        const redis_value *reply;
        status = inspect_command(inspector, INSPECT_READ, words, command_words, &reply, error);
        if (!status)
            status = visit(arg, reply, error);
    }
    arena_clear(&memory);
    return status;
}
