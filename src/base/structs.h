/*
 * Structs of the public interface, in the sizes that a program has them in (<asynq/sizes.h>). A program built against
 * an older header has structs that lack what was added at their ends since, one built against a newer header has more
 * than we know; that holds for structs inside of structs and for arrays, too. The rest of the library knows only its
 * own structs: what comes in is made into these, and what goes out into those of the program. Nothing is copied when
 * the sizes are the same.
 *
 *     structs_call call;
 *     structs_begin(&call, sizes);
 *     task = structs_argument(&call, STRUCT_TASK, task, 1);
 *     asynq_enqueued *own = structs_result(&call, STRUCT_ENQUEUED, result, 1);
 *     int status = structs_status(&call, error);
 *     if (!status)
 *         status = asynq_enqueue(client, task, NULL, own, error);
 *     return structs_end(&call, status, error);
 *
 * Members that were added and that we get are zero if the program does not have them; those that we do not have must be
 * zero. Thread: any.
 */
#ifndef BASE_STRUCTS_H
#define BASE_STRUCTS_H

#include "base/arena.h"

#include <asynq/error.h>
#include <asynq/sizes.h>
#include <stdbool.h>
#include <stddef.h>

/* Header by header, in the order of their lists of sizes. */
#define STRUCT_MAP(X)                                                                                                  \
    X(ERROR, asynq_error)                                                                                              \
    X(HEADER, asynq_header)                                                                                            \
    X(TASK_OPTIONS, asynq_task_options)                                                                                \
    X(TASK, asynq_task)                                                                                                \
    X(ENQUEUED, asynq_enqueued)                                                                                        \
    X(CLIENT_OPTIONS, asynq_client_options)                                                                            \
    X(RETRY_POLICY, asynq_retry_policy)                                                                                \
    X(LIMIT, asynq_limit)                                                                                              \
    X(ROUTE, asynq_route)                                                                                              \
    X(QUEUE, asynq_queue)                                                                                              \
    X(SERVER_OPTIONS, asynq_server_options)                                                                            \
    X(SERVER_STATS, asynq_server_stats)                                                                                \
    X(ATTEMPT, asynq_attempt)                                                                                          \
    X(FAILURE, asynq_failure)                                                                                          \
    X(PERIODIC, asynq_periodic)                                                                                        \
    X(SCHEDULER_OPTIONS, asynq_scheduler_options)                                                                      \
    X(INSPECTOR_OPTIONS, asynq_inspector_options)                                                                      \
    X(NAME_LIST, asynq_name_list)                                                                                      \
    X(QUEUE_INFO, asynq_queue_info)                                                                                    \
    X(TEXT, asynq_text)                                                                                                \
    X(DAY, asynq_day)                                                                                                  \
    X(GROUP_INFO, asynq_group_info)                                                                                    \
    X(GROUP_LIST, asynq_group_list)                                                                                    \
    X(TASK_INFO, asynq_task_info)                                                                                      \
    X(TASK_LIST, asynq_task_list)                                                                                      \
    X(TASK_SET, asynq_task_set)                                                                                        \
    X(PAGE, asynq_page)                                                                                                \
    X(TASK_FILTER, asynq_task_filter)                                                                                  \
    X(WALK_OPTIONS, asynq_walk_options)                                                                                \
    X(ACT_RESULT, asynq_act_result)                                                                                    \
    X(QUEUE_PRIORITY, asynq_queue_priority)                                                                            \
    X(WORKER_INFO, asynq_worker_info)                                                                                  \
    X(SERVER_INFO, asynq_server_info)                                                                                  \
    X(SERVER_LIST, asynq_server_list)                                                                                  \
    X(SCHEDULE_INFO, asynq_schedule_info)                                                                              \
    X(SCHEDULE_LIST, asynq_schedule_list)                                                                              \
    X(SCHEDULE_EVENT, asynq_schedule_event)                                                                            \
    X(SCHEDULE_EVENT_LIST, asynq_schedule_event_list)                                                                  \
    X(CLUSTER_NODE, asynq_cluster_node)                                                                                \
    X(CLUSTER_NODE_LIST, asynq_cluster_node_list)                                                                      \
    X(FINDING, asynq_finding)                                                                                          \
    X(FSCK_OPTIONS, asynq_fsck_options)                                                                                \
    X(FSCK_RESULT, asynq_fsck_result)                                                                                  \
    X(QUARANTINED, asynq_quarantined)                                                                                  \
    X(SEMAPHORE_OPTIONS, asynq_semaphore_options)                                                                      \
    X(PLUGIN, asynq_plugin)

typedef enum struct_kind {
#define STRUCT_ENUM(kind, type) STRUCT_##kind,
    STRUCT_MAP(STRUCT_ENUM)
#undef STRUCT_ENUM
        STRUCT_COUNT
} struct_kind;

typedef struct structs_call {
    const asynq_sizes *sizes; /* NULL: as ours */
    arena memory;             /* of what is converted; freed by the end */
    struct_kind kind;         /* of the result; one call has at most one */
    void *given;              /* the program's, NULL: there is none to be converted */
    void *own;
    size_t count;
    bool lacks_memory;
    const char *unknown; /* name of a struct with a member that we do not know, and where */
    size_t unknown_at;
} structs_call;

/* `sizes` must live as long as the call. */
void structs_begin(structs_call *call, const asynq_sizes *sizes);

/* Structs of the program, as ours; valid until the end. NULL stays NULL. */
const void *structs_argument(structs_call *call, struct_kind kind, const void *given, size_t count);
/* The same for a table that ends with an empty row. */
const void *structs_table(structs_call *call, struct_kind kind, const void *given);

/* Room for a result, which the end fills into the program's. NULL stays NULL. */
void *structs_result(structs_call *call, struct_kind kind, void *given, size_t count);

/* Our struct, as the program's, for a callback; valid until the end. NULL: no memory. */
const void *structs_shown(structs_call *call, struct_kind kind, const void *own);
/* Room for a struct that a callback must get, so that it does though memory is out. */
enum { STRUCTS_ROOM = 1024 };
typedef struct structs_room {
    _Alignas(max_align_t) char bytes[STRUCTS_ROOM];
} structs_room;

/* Our struct, as the program's, in `room` if need be; for asynq_enqueued, asynq_attempt and asynq_failure, which have
 * no arrays. A program that has them larger than the room was refused by structs_status(). */
const void *structs_shown_in(structs_room *room, const asynq_sizes *sizes, struct_kind kind, const void *own);

/* Our struct, as the program's, made in `memory`; the struct itself if that is the same. NULL: no memory, or NULL
 * given. */
const void *structs_kept(const asynq_sizes *sizes, struct_kind kind, const void *own, arena *memory);

/* Whether all arguments could be taken: 0, ASYNQ_E_INVALID (an unknown member is set, or the program is built for a
 * version that is too new) or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int structs_status(const structs_call *call, asynq_error *error);

/*
 * Fills the result in and frees the rest. Arrays of the result are made in `lasting`; without it they are left as ours.
 * Returns `status`, or ASYNQ_E_NO_MEMORY; then the result is all zero.
 */
int structs_end_lasting(structs_call *call, int status, arena *lasting, asynq_error *error);
int structs_end(structs_call *call, int status, asynq_error *error);

/* Whether the program's structs are as ours; NULL: they are. */
bool structs_are_same(const asynq_sizes *sizes);

#endif
