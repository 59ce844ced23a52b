/*
 * The peer: a program that does what a test tells it through our library, one JSON object per line in, one out. Tests
 * in Go drive it beside Go's own Asynq.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <asynq/asynq.h>
#include <jansson.h>

/* One operation: takes its arguments, returns the answer (a new reference). */
typedef json_t *(*peer_operation)(json_t *arguments);

typedef struct peer_row {
    const char *name;
    peer_operation run;
} peer_row;

extern const char *peer_redis; /* URI */

/* {"status": n, "error": text, "retryable": bool} */
json_t *peer_status(int status, const asynq_error *error);

/* The log of a client, a scheduler or an inspector; NULL if nobody asked for it. */
asynq_log_cb peer_log(void);

/* A task and what it points to. Tasks are objects with the names of asynq_task_options. */
enum { PEER_HEADERS_MAX = 16 };

typedef struct peer_task {
    asynq_task task;
    asynq_header headers[PEER_HEADERS_MAX];
} peer_task;

/* Borrow from `from`. */
void peer_read_task(peer_task *in, json_t *from);
void peer_read_options(asynq_task_options *options, asynq_header *headers, json_t *from);
/* What became of a task. */
json_t *peer_enqueued(const asynq_enqueued *enqueued);

/* What a line of hex stands for; the caller frees it. */
char *peer_from_hex(const char *hex, size_t *length);

/* For a child of a fork: calls the object of that kind. 0 if each call said ASYNQ_E_STATE, or has nothing to say. */
typedef int (*peer_in_child)(void);
int peer_client_in_child(void);
int peer_server_in_child(void);
int peer_scheduler_in_child(void);
int peer_inspector_in_child(void);

/* Enqueues one task, whatever becomes of it. */
void peer_client_call(void);

/* Client operations (peer_client.c): enqueue, batch, async, ping, close. */
extern const peer_row peer_client_rows[];
/* Transitions of the broker (peer_broker.c). */
extern const peer_row peer_broker_rows[];
/* Servers (peer_server.c). */
extern const peer_row peer_server_rows[];
/* The inspector (peer_inspect.c). */
extern const peer_row peer_inspect_rows[];
/* Schedules (peer_schedule.c). */
extern const peer_row peer_schedule_rows[];
/* {"answered": n}: in how many of so many children of this process `in_child` returned true, within ten seconds. */
json_t *peer_fork(int children, bool (*in_child)(void));

/* The process itself (peer_process.c). */
extern const peer_row peer_process_rows[];
/* Records (peer_wire.c). */
extern const peer_row peer_wire_rows[];

/* Children of forks (peer_fork.c). */
extern const peer_row peer_fork_rows[];

#endif
