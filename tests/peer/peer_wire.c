/* Records: decoded and encoded again by our library. */
#include "peer.h"

#include "wire/scheduler_entry.h"
#include "wire/server_info.h"
#include "wire/task_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*rewrite)(bytes from, buf *out, asynq_error *error);

#define DEFINE_REWRITE(type)                                                                                           \
    static int rewrite_##type(bytes from, buf *out, asynq_error *error)                                                \
    {                                                                                                                  \
        type record;                                                                                                   \
        arena memory;                                                                                                  \
        record_arena_init(&memory, from.length);                                                                       \
        int status = type##_decode(&record, from, &memory, error);                                                     \
        if (!status)                                                                                                   \
            status = type##_encode(&record, out, error);                                                               \
        arena_clear(&memory);                                                                                          \
        return status;                                                                                                 \
    }

DEFINE_REWRITE(task_message)
DEFINE_REWRITE(server_info)
DEFINE_REWRITE(worker_info)
DEFINE_REWRITE(scheduler_entry)
DEFINE_REWRITE(scheduler_event)

typedef struct record_row {
    const char *name;
    rewrite run;
} record_row;

static const record_row record_rows[] = {
    {"task", rewrite_task_message},     {"server", rewrite_server_info},    {"worker", rewrite_worker_info},
    {"entry", rewrite_scheduler_entry}, {"event", rewrite_scheduler_event},
};

/* {"kind": name, "hex": bytes} */
static json_t *rewrite_record(json_t *arguments)
{
    const char *kind = json_string_value(json_object_get(arguments, "kind"));
    size_t length;
    char *raw = peer_from_hex(json_string_value(json_object_get(arguments, "hex")), &length);
    buf out, hex;
    asynq_error error;
    buf_init(&out, 0);
    buf_init(&hex, 0);
    int status = -99;
    for (size_t i = 0; i < sizeof record_rows / sizeof *record_rows; i++)
        if (strcmp(record_rows[i].name, kind) == 0)
            status = record_rows[i].run((bytes){raw, length}, &out, &error);
    for (size_t i = 0; i < out.length; i++)
        buf_append_format(&hex, "%02x", (unsigned char)out.data[i]);
    json_t *answer = peer_status(status, &error);
    json_object_set_new(answer, "hex", json_string(hex.data ? hex.data : ""));
    buf_clear(&out);
    buf_clear(&hex);
    free(raw);
    return answer;
}

const peer_row peer_wire_rows[] = {{"wire", rewrite_record}, {NULL, NULL}};
