/* See structs.h. */
#include "base/structs.h"

#include "base/error.h"

#include <asynq/fsck.h>
#include <asynq/plugin.h>
#include <asynq/scheduler.h>
#include <asynq/semaphore.h>
#include <asynq/version.h>
#include <string.h>

static const asynq_sizes own_sizes = {{asynq_client_sizes, asynq_server_sizes, asynq_scheduler_sizes,
                                       asynq_inspector_sizes, asynq_fsck_sizes, asynq_semaphore_sizes,
                                       asynq_plugin_sizes}};

/* The first struct of each header. */
static const struct_kind first_of[] = {
    STRUCT_ERROR,   STRUCT_RETRY_POLICY,      STRUCT_PERIODIC, STRUCT_INSPECTOR_OPTIONS,
    STRUCT_FINDING, STRUCT_SEMAPHORE_OPTIONS, STRUCT_PLUGIN,   STRUCT_COUNT};

enum { FAMILY_COUNT = sizeof first_of / sizeof *first_of - 1 };

/* ---- what structs have inside ---- */

typedef enum part_way {
    PART_NONE,
    PART_INSIDE, /* a struct as a member */
    PART_ONE,    /* a pointer to one */
    PART_ARRAY,  /* a pointer to an array, with its count in another member */
    PART_TABLE   /* a pointer to an array that ends with an empty row */
} part_way;

typedef struct struct_part {
    part_way way;
    struct_kind kind;
    size_t offset;
    size_t count_offset; /* PART_ARRAY */
} struct_part;

enum { PARTS_MAX = 2 };

/* By offset. All others have none. */
#define INSIDE(type, member, kind)                                                                                     \
    {                                                                                                                  \
        PART_INSIDE, kind, offsetof(type, member), 0                                                                   \
    }
#define ONE(type, member, kind)                                                                                        \
    {                                                                                                                  \
        PART_ONE, kind, offsetof(type, member), 0                                                                      \
    }
#define ARRAY(type, member, count, kind)                                                                               \
    {                                                                                                                  \
        PART_ARRAY, kind, offsetof(type, member), offsetof(type, count)                                                \
    }
#define TABLE(type, member, kind)                                                                                      \
    {                                                                                                                  \
        PART_TABLE, kind, offsetof(type, member), 0                                                                    \
    }

/* clang-format off */
static const struct_part parts_of[STRUCT_COUNT][PARTS_MAX + 1] = {
    [STRUCT_TASK_OPTIONS] = {ARRAY(asynq_task_options, headers, header_count, STRUCT_HEADER)},
    [STRUCT_TASK] = {INSIDE(asynq_task, options, STRUCT_TASK_OPTIONS)},
    [STRUCT_ENQUEUED] = {INSIDE(asynq_enqueued, error, STRUCT_ERROR)},
    [STRUCT_ROUTE] = {INSIDE(asynq_route, retry, STRUCT_RETRY_POLICY), INSIDE(asynq_route, limit, STRUCT_LIMIT)},
    [STRUCT_SERVER_OPTIONS] = {TABLE(asynq_server_options, queues, STRUCT_QUEUE),
                               TABLE(asynq_server_options, routes, STRUCT_ROUTE)},
    [STRUCT_PERIODIC] = {INSIDE(asynq_periodic, task, STRUCT_TASK), ONE(asynq_periodic, options, STRUCT_TASK_OPTIONS)},
    [STRUCT_GROUP_LIST] = {ARRAY(asynq_group_list, groups, count, STRUCT_GROUP_INFO)},
    [STRUCT_TASK_INFO] = {ARRAY(asynq_task_info, headers, header_count, STRUCT_HEADER)},
    [STRUCT_TASK_LIST] = {ARRAY(asynq_task_list, tasks, count, STRUCT_TASK_INFO)},
    [STRUCT_WALK_OPTIONS] = {ONE(asynq_walk_options, filter, STRUCT_TASK_FILTER)},
    [STRUCT_SERVER_INFO] = {ARRAY(asynq_server_info, queues, queue_count, STRUCT_QUEUE_PRIORITY),
                            ARRAY(asynq_server_info, workers, worker_count, STRUCT_WORKER_INFO)},
    [STRUCT_SERVER_LIST] = {ARRAY(asynq_server_list, servers, count, STRUCT_SERVER_INFO)},
    [STRUCT_SCHEDULE_LIST] = {ARRAY(asynq_schedule_list, schedules, count, STRUCT_SCHEDULE_INFO)},
    [STRUCT_SCHEDULE_EVENT_LIST] = {ARRAY(asynq_schedule_event_list, events, count, STRUCT_SCHEDULE_EVENT)},
    [STRUCT_CLUSTER_NODE_LIST] = {ARRAY(asynq_cluster_node_list, nodes, count, STRUCT_CLUSTER_NODE)},
    [STRUCT_PLUGIN] = {TABLE(asynq_plugin, routes, STRUCT_ROUTE)},
};
/* clang-format on */

/* ---- sizes ---- */

static size_t size_in(const asynq_sizes *sizes, struct_kind kind)
{
    int family = 0;
    while (kind >= first_of[family + 1])
        family++;
    const size_t *list = sizes->of[family];
    size_t index = 1 + kind - first_of[family];
    /* What the program's header does not have, it cannot use. */
    return list && index <= list[0] ? list[index] : own_sizes.of[family][index];
}

bool structs_are_same(const asynq_sizes *sizes)
{
    for (int i = 0; sizes && i < FAMILY_COUNT; i++) {
        const size_t *list = sizes->of[i], *own = own_sizes.of[i];
        size_t both = list && list[0] < own[0] ? list[0] : own[0];
        if (list && list != own && memcmp(list + 1, own + 1, both * sizeof *list) != 0)
            return false;
    }
    return true;
}

/* ---- converting ---- */

typedef struct structs_copy {
    const asynq_sizes *to_sizes, *from_sizes;
    arena *memory;  /* of arrays; NULL: pointers stay as they are */
    bool is_for_us; /* what we do not know is looked at */
    structs_call *call;
} structs_copy;

/* Where a struct is read and written, and how far. Offsets of our own struct tell where the others' members are. */
typedef struct struct_cursor {
    char *to;
    const char *from;
    size_t own_at;
} struct_cursor;

static void copy_struct(structs_copy *c, struct_kind kind, char *to, const char *from);

static void copy_up_to(struct_cursor *at, size_t own_offset)
{
    size_t length = own_offset - at->own_at;
    memcpy(at->to, at->from, length);
    at->to += length;
    at->from += length;
    at->own_at = own_offset;
}

/* The end of a table has no pattern and no handler, or no name and no priority. */
static bool is_table_end(struct_kind kind, const char *row)
{
    static const char empty[sizeof(asynq_route)];
    size_t mark = kind == STRUCT_QUEUE ? offsetof(asynq_queue, priority) + sizeof(int) : offsetof(asynq_route, arg);
    return memcmp(row, empty, mark) == 0;
}

static size_t structs_count_elements(const structs_copy *c, const struct_part *part, const char *array,
                                     const char *member)
{
    size_t count = 0;
    if (part->way == PART_ARRAY)
        memcpy(&count, member + part->count_offset - part->offset, sizeof count);
    if (part->way == PART_ONE)
        count = 1;
    if (part->way == PART_TABLE)
        while (!is_table_end(part->kind, array + count++ * size_in(c->from_sizes, part->kind)))
            continue; /* the end is one of them */
    return count;
}

static void *copy_elements(structs_copy *c, struct_kind kind, const char *from, size_t count)
{
    size_t to_size = size_in(c->to_sizes, kind), from_size = size_in(c->from_sizes, kind);
    char *to = arena_alloc(c->memory, (count ? count : 1) * to_size);
    if (!to)
        c->call->lacks_memory = true;
    for (size_t i = 0; to && i < count; i++)
        copy_struct(c, kind, to + i * to_size, from + i * from_size);
    return to;
}

static void copy_part(structs_copy *c, const struct_part *part, struct_cursor *at)
{
    char *array;
    copy_up_to(at, part->offset);
    if (part->way == PART_INSIDE) {
        copy_struct(c, part->kind, at->to, at->from);
        at->to += size_in(c->to_sizes, part->kind);
        at->from += size_in(c->from_sizes, part->kind);
        at->own_at += size_in(&own_sizes, part->kind);
        return;
    }
    memcpy(&array, at->from, sizeof array);
    if (array && c->memory)
        array = copy_elements(c, part->kind, array, structs_count_elements(c, part, array, at->from));
    memcpy(at->to, &array, sizeof array);
    at->to += sizeof array;
    at->from += sizeof array;
    at->own_at += sizeof array;
}

/* What follows the last part: as much as both have. */
static void copy_rest(structs_copy *c, struct_kind kind, struct_cursor *at, size_t to_left, size_t from_left)
{
#define STRUCT_NAME(kind, type) #type,
    static const char *const names[] = {STRUCT_MAP(STRUCT_NAME)};
#undef STRUCT_NAME
    size_t both = to_left < from_left ? to_left : from_left;
    memcpy(at->to, at->from, both);
    memset(at->to + both, 0, to_left - both);
    for (size_t i = both; c->is_for_us && i < from_left; i++)
        if (at->from[i] && !c->call->unknown) {
            c->call->unknown = names[kind];
            c->call->unknown_at = size_in(c->from_sizes, kind) - from_left + i;
        }
}

static void copy_struct(structs_copy *c, struct_kind kind, char *to, const char *from)
{
    struct_cursor at = {to, from, 0};
    const char *to_end = to + size_in(c->to_sizes, kind), *from_end = from + size_in(c->from_sizes, kind);
    for (const struct_part *part = parts_of[kind]; part->way; part++)
        copy_part(c, part, &at);
    copy_rest(c, kind, &at, (size_t)(to_end - at.to), (size_t)(from_end - at.from));
}

/* ---- calls ---- */

void structs_begin(structs_call *call, const asynq_sizes *sizes)
{
    *call = (structs_call){.sizes = structs_are_same(sizes) ? NULL : sizes};
    arena_init(&call->memory, 0);
}

static structs_copy copy_for_us(structs_call *call)
{
    return (structs_copy){&own_sizes, call->sizes, &call->memory, true, call};
}

const void *structs_argument(structs_call *call, struct_kind kind, const void *given, size_t count)
{
    if (!call->sizes || !given)
        return given;
    structs_copy copy = copy_for_us(call);
    return copy_elements(&copy, kind, given, count);
}

const void *structs_table(structs_call *call, struct_kind kind, const void *given)
{
    if (!call->sizes || !given)
        return given;
    structs_copy copy = copy_for_us(call);
    const struct_part table = {.way = PART_TABLE, .kind = kind};
    return copy_elements(&copy, kind, given, structs_count_elements(&copy, &table, given, NULL));
}

void *structs_result(structs_call *call, struct_kind kind, void *given, size_t count)
{
    if (!call->sizes || !given)
        return given;
    call->kind = kind;
    call->given = given;
    call->count = count;
    call->own = arena_alloc(&call->memory, (count ? count : 1) * size_in(&own_sizes, kind));
    if (call->own)
        memset(call->own, 0, count * size_in(&own_sizes, kind));
    else
        call->lacks_memory = true;
    return call->own;
}

/* NULL: no memory, for the struct or for an array in it. */
static const void *copy_for_program(structs_copy *copy, struct_kind kind, const void *own)
{
    const void *shown = copy_elements(copy, kind, own, 1);
    return copy->call->lacks_memory ? NULL : shown;
}

const void *structs_shown(structs_call *call, struct_kind kind, const void *own)
{
    if (!call->sizes || !own)
        return own;
    structs_copy copy = {call->sizes, &own_sizes, &call->memory, false, call};
    return copy_for_program(&copy, kind, own);
}

const void *structs_shown_in(structs_room *room, const asynq_sizes *sizes, struct_kind kind, const void *own)
{
    if (structs_are_same(sizes) || !own)
        return own;
    structs_copy copy = {.to_sizes = sizes, .from_sizes = &own_sizes};
    copy_struct(&copy, kind, room->bytes, own);
    return room->bytes;
}

const void *structs_kept(const asynq_sizes *sizes, struct_kind kind, const void *own, arena *memory)
{
    structs_call call = {.sizes = sizes};
    structs_copy copy = {sizes, &own_sizes, memory, false, &call};
    return structs_are_same(sizes) || !own ? own : copy_for_program(&copy, kind, own);
}

static bool fits_room(const asynq_sizes *sizes)
{
    return !sizes || (size_in(sizes, STRUCT_ENQUEUED) <= STRUCTS_ROOM &&
                      size_in(sizes, STRUCT_ATTEMPT) <= STRUCTS_ROOM && size_in(sizes, STRUCT_FAILURE) <= STRUCTS_ROOM);
}

int structs_status(const structs_call *call, asynq_error *error)
{
    if (call->lacks_memory)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!fits_room(call->sizes))
        return error_set(error, ASYNQ_E_INVALID,
                         "the program was built for a version of libasynq that is much newer than this one (%s)",
                         asynq_version());
    if (call->unknown)
        return error_set(error, ASYNQ_E_INVALID,
                         "%s has a member set at offset %zu that this version of libasynq does not know; it was built "
                         "for a newer one",
                         call->unknown, call->unknown_at);
    return ASYNQ_OK;
}

static void fill_result(structs_call *call, arena *lasting)
{
    structs_copy copy = {call->sizes, &own_sizes, lasting, false, call};
    size_t to_size = size_in(call->sizes, call->kind), from_size = size_in(&own_sizes, call->kind);
    for (size_t i = 0; i < call->count; i++)
        copy_struct(&copy, call->kind, (char *)call->given + i * to_size, (const char *)call->own + i * from_size);
}

int structs_end_lasting(structs_call *call, int status, arena *lasting, asynq_error *error)
{
    bool lacked_memory = call->lacks_memory;
    if (call->own)
        fill_result(call, lasting);
    if (call->lacks_memory && !lacked_memory) {
        memset(call->given, 0, call->count * size_in(call->sizes, call->kind));
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    arena_clear(&call->memory);
    return status;
}

int structs_end(structs_call *call, int status, asynq_error *error)
{
    return structs_end_lasting(call, status, NULL, error);
}
