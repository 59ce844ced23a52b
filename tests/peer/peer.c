/* See peer.h. usage: asynq-peer REDIS_URI */
#include "peer.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *peer_redis;

json_t *peer_status(int status, const asynq_error *error)
{
    return json_pack("{s:i,s:s,s:b}", "status", status, "error", status && error ? error->text : "", "retryable",
                     asynq_status_is_retryable(status));
}

/* Warnings and errors go to the file that ASYNQ_PEER_LINES names, all lines to stderr with ASYNQ_PEER_LOG. */
static void write_log(asynq_log_level level, const char *text, void *arg)
{
    (void)arg;
    const char *path = getenv("ASYNQ_PEER_LINES");
    FILE *file = path && level >= ASYNQ_LOG_WARN ? fopen(path, "ae") : NULL;
    if (file) {
        fprintf(file, "%s\n", text);
        fclose(file);
    }
    if (getenv("ASYNQ_PEER_LOG"))
        asynq_log_to_stderr(level, text, NULL);
}

asynq_log_cb peer_log(void)
{
    return getenv("ASYNQ_PEER_LINES") || getenv("ASYNQ_PEER_LOG") ? write_log : NULL;
}

/* Stops the clock at "ns", or lets it run again with 0. */
static json_t *set_clock(json_t *arguments)
{
    clock_freeze_ns(json_integer_value(json_object_get(arguments, "ns")));
    return peer_status(0, NULL);
}

static json_t *shift_clock(json_t *arguments)
{
    clock_shift_ns(json_integer_value(json_object_get(arguments, "ns")));
    return peer_status(0, NULL);
}

static _Atomic int starve_every, starve_count;

static int allow_but_some(void)
{
    int every = starve_every;
    return !every || (starve_count++ + 1) % every != 0;
}

/* From now on each "every"-th allocation of the library fails, in all threads; 0: none. */
static json_t *starve(json_t *arguments)
{
    starve_every = (int)json_integer_value(json_object_get(arguments, "every"));
    if (!mem_allow_hook) /* set while no other thread runs: before the first server of the process starts */
        mem_allow_hook = allow_but_some;
    return peer_status(0, NULL);
}

static const peer_row own_rows[] = {{"clock", set_clock}, {"shift", shift_clock}, {"starve", starve}, {NULL, NULL}};

static const peer_row *find_row(const char *name)
{
    const peer_row *const tables[] = {own_rows,           peer_client_rows, peer_broker_rows,
                                      peer_server_rows,   peer_wire_rows,   peer_inspect_rows,
                                      peer_schedule_rows, peer_fork_rows,   peer_process_rows};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const peer_row *row = tables[i]; row->name; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return NULL;
}

static json_t *answer(const char *line)
{
    json_error_t problem;
    json_t *arguments = json_loads(line, JSON_ALLOW_NUL, &problem);
    if (!arguments)
        return json_pack("{s:i,s:s}", "status", -99, "error", problem.text);
    const char *name = json_string_value(json_object_get(arguments, "op"));
    const peer_row *row = name ? find_row(name) : NULL;
    json_t *result = row ? row->run(arguments) : json_pack("{s:i,s:s}", "status", -99, "error", "unknown operation");
    json_decref(arguments);
    return result;
}

char *peer_from_hex(const char *hex, size_t *length)
{
    *length = strlen(hex) / 2;
    char *raw = malloc(*length + 1);
    for (size_t i = 0; i < *length; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        raw[i] = (char)strtol(pair, NULL, 16);
    }
    return raw;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t capacity = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: asynq-peer REDIS_URI\n");
        return 2;
    }
    peer_redis = argv[1];
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *result = answer(line);
        json_dumpf(result, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(result);
    }
    free(line);
    static const char *const closing[] = {"client.close", "broker.close", "inspect.close", "server.end",
                                          "scheduler.free"};
    for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
        json_decref(find_row(closing[i])->run(NULL));
    return 0;
}
