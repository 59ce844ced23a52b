#include "unit.h"

#include "base/alloc.h"
#include "base/structs.h"

#include <asynq/fsck.h>
#include <asynq/plugin.h>
#include <asynq/scheduler.h>
#include <asynq/semaphore.h>
#include <stdio.h>
#include <string.h>

/* Some structs as a later version may have them: each with a member more. */
typedef struct grown_header {
    asynq_header known;
    int64_t added;
} grown_header;

typedef struct grown_task_options {
    asynq_task_options known;
    int64_t added;
} grown_task_options;

typedef struct grown_task {
    const char *type;
    const void *payload;
    size_t payload_length;
    grown_task_options options;
    int64_t added;
} grown_task;

typedef struct grown_periodic {
    const char *spec;
    grown_task task;
    const grown_task_options *options;
    const char *name, *zone;
    asynq_catch_up catch_up;
    int64_t catch_up_limit_ms, jitter_ms;
    int64_t added;
} grown_periodic;

typedef struct grown_queue {
    asynq_queue known;
    int64_t added;
} grown_queue;

typedef struct grown_task_info {
    asynq_task_info known;
    int64_t added;
} grown_task_info;

typedef struct grown_task_list {
    const grown_task_info *tasks;
    size_t count;
    asynq_memory *memory;
    int64_t added;
} grown_task_list;

/* The sizes of a program whose structs all have that member, in themselves and in what is inside. */
static size_t grown[ASYNQ_SIZES_COUNT][40];
static asynq_sizes grown_sizes;

static void grow(int family, const size_t *own)
{
    grown[family][0] = own[0];
    for (size_t i = 1; i <= own[0]; i++)
        grown[family][i] = own[i] + sizeof(int64_t);
    grown_sizes.of[family] = grown[family];
}

static void grow_all(void)
{
    grow(ASYNQ_SIZES_CLIENT, asynq_client_sizes);
    grow(ASYNQ_SIZES_SERVER, asynq_server_sizes);
    grow(ASYNQ_SIZES_SCHEDULER, asynq_scheduler_sizes);
    grow(ASYNQ_SIZES_INSPECTOR, asynq_inspector_sizes);
    grown[ASYNQ_SIZES_CLIENT][1 + STRUCT_TASK] = sizeof(grown_task);
    grown[ASYNQ_SIZES_SCHEDULER][1] = sizeof(grown_periodic);
}

/* What a program's header says is what the library has; each struct is in the list, and in its place. */
START_TEST(every_struct_is_listed)
{
    const size_t *const lists[] = {asynq_client_sizes,    asynq_server_sizes, asynq_scheduler_sizes,
                                   asynq_inspector_sizes, asynq_fsck_sizes,   asynq_semaphore_sizes,
                                   asynq_plugin_sizes};
#define SIZE_OF(kind, type) sizeof(type),
    static const size_t sizes[] = {STRUCT_MAP(SIZE_OF)};
#undef SIZE_OF
    size_t kind = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t at = 1; at <= lists[i][0]; at++)
            ck_assert_uint_eq(lists[i][at], sizes[kind++]);
    ck_assert_uint_eq(kind, STRUCT_COUNT);
    ck_assert(structs_are_same(NULL));
    ck_assert(structs_are_same(&asynq_sizes_of_plugin));
    grow_all();
    ck_assert(!structs_are_same(&grown_sizes));
}
END_TEST

static const grown_header two_headers[] = {{{"a", "1"}, 0}, {{"b", "2"}, 0}};

START_TEST(arrays_of_newer_programs)
{
    grow_all();
    structs_call call;
    asynq_error error;
    grown_task tasks[] = {
        {.type = "one", .options.known.queue = "low"},
        {.type = "two", .options.known = {.headers = (const asynq_header *)two_headers, .header_count = 2}}};
    structs_begin(&call, &grown_sizes);
    const asynq_task *own = structs_argument(&call, STRUCT_TASK, tasks, 2);
    ck_assert_int_eq(structs_status(&call, &error), 0);
    ck_assert_str_eq(own[0].type, "one");
    ck_assert_str_eq(own[0].options.queue, "low");
    ck_assert_str_eq(own[1].type, "two");
    ck_assert_str_eq(own[1].options.headers[1].key, "b");
    ck_assert_int_eq(structs_end(&call, 0, &error), 0);
}
END_TEST

START_TEST(members_of_newer_programs)
{
    grow_all();
    structs_call call;
    asynq_error error;
    grown_task_options shown = {.known.queue = "shown"};
    grown_periodic entry = {.spec = "@daily",
                            .task.type = "t",
                            .task.options.known.group = "g",
                            .options = &shown,
                            .name = "n",
                            .jitter_ms = 7};
    structs_begin(&call, &grown_sizes);
    const asynq_periodic *own = structs_argument(&call, STRUCT_PERIODIC, &entry, 1);
    ck_assert_int_eq(structs_status(&call, &error), 0);
    ck_assert_str_eq(own->task.options.group, "g");
    ck_assert_str_eq(own->options->queue, "shown");
    ck_assert_str_eq(own->name, "n");
    ck_assert_int_eq(own->jitter_ms, 7);
    const grown_periodic *back = structs_shown(&call, STRUCT_PERIODIC, own);
    ck_assert_str_eq(back->task.options.known.group, "g");
    ck_assert_str_eq(back->options->known.queue, "shown");
    ck_assert_str_eq(back->name, "n");
    ck_assert_int_eq(back->added, 0);
    ck_assert_int_eq(back->task.added, 0);
    ck_assert_int_eq(structs_end(&call, 0, &error), 0);
}
END_TEST

START_TEST(unknown_members_are_refused)
{
    grow_all();
    grown_periodic entry = {.spec = "@daily", .task.type = "t"};
    int64_t *const added[] = {&entry.added, &entry.task.added, &entry.task.options.added};
    const char *const names[] = {"asynq_periodic", "asynq_task", "asynq_task_options"};
    for (size_t i = 0; i < 3; i++) {
        structs_call call;
        asynq_error error;
        char expected[64];
        *added[i] = 1;
        structs_begin(&call, &grown_sizes);
        structs_argument(&call, STRUCT_PERIODIC, &entry, 1);
        ck_assert_int_eq(structs_status(&call, &error), ASYNQ_E_INVALID);
        snprintf(expected, sizeof expected, "%s has a member", names[i]);
        ck_assert_msg(strstr(error.text, expected) == error.text, "%s", error.text);
        ck_assert_int_eq(structs_end(&call, 0, NULL), 0);
        *added[i] = 0;
    }
}
END_TEST

START_TEST(tables_of_newer_programs)
{
    grow_all();
    structs_call call;
    grown_queue queues[] = {{{"low", 1}, 0}, {{"high", 9}, 0}, {{NULL, 0}, 0}};
    structs_begin(&call, &grown_sizes);
    const asynq_queue *own = structs_table(&call, STRUCT_QUEUE, queues);
    ck_assert_str_eq(own[1].name, "high");
    ck_assert_int_eq(own[1].priority, 9);
    ck_assert_ptr_null(own[2].name);
    ck_assert_int_eq(structs_end(&call, 0, NULL), 0);
}
END_TEST

START_TEST(results_for_newer_programs)
{
    grow_all();
    structs_call call;
    arena lasting;
    struct {
        grown_task_list list;
        int64_t behind;
    } given;
    memset(&given, 0x55, sizeof given);
    const asynq_header headers[] = {{"k", "v"}};
    const asynq_task_info tasks[] = {{.id = "1"},
                                     {.id = "2", .headers = headers, .header_count = 1, .progress_text = "p"}};
    arena_init(&lasting, 0);
    structs_begin(&call, &grown_sizes);
    asynq_task_list *own = structs_result(&call, STRUCT_TASK_LIST, &given.list, 1);
    *own = (asynq_task_list){tasks, 2, NULL};
    ck_assert_int_eq(structs_end_lasting(&call, 0, &lasting, NULL), 0);
    ck_assert_uint_eq(given.list.count, 2);
    ck_assert_int_eq(given.list.added, 0);
    ck_assert_str_eq(given.list.tasks[1].known.id, "2");
    ck_assert_str_eq(given.list.tasks[1].known.progress_text, "p");
    ck_assert_int_eq(given.list.tasks[1].added, 0);
    ck_assert_str_eq(((const grown_header *)given.list.tasks[1].known.headers)[0].known.value, "v");
    ck_assert_int_eq(given.behind, 0x5555555555555555);
    arena_clear(&lasting);
}
END_TEST

/* The library has grown, the program has not: its room is smaller than what we have to tell. */
START_TEST(results_for_older_programs)
{
    grow_all();
    grown[ASYNQ_SIZES_SERVER][1 + STRUCT_SERVER_STATS - STRUCT_RETRY_POLICY] = 16;
    structs_call call;
    union {
        asynq_server_stats stats;
        unsigned char bytes[sizeof(asynq_server_stats)];
    } given;
    memset(&given, 0x55, sizeof given);
    structs_begin(&call, &grown_sizes);
    asynq_server_stats *own = structs_result(&call, STRUCT_SERVER_STATS, &given, 1);
    *own = (asynq_server_stats){.is_connected = true, .running = 3, .commands = 4};
    ck_assert_int_eq(structs_end(&call, 0, NULL), 0);
    ck_assert(given.stats.is_connected);
    ck_assert_int_eq(given.stats.running, 3);
    ck_assert_int_eq(given.bytes[16], 0x55);
}
END_TEST

static int structs_none(void)
{
    return 0;
}

/* Callbacks are called with structs of the program's size though there is no memory. */
START_TEST(shown_without_memory)
{
    grow_all();
    structs_room room;
    structs_call call;
    const asynq_failure failure = {.code = 7, .error = "e"};
    const asynq_header headers[] = {{"a", "1"}};
    const asynq_periodic entry = {.spec = "@daily", .task.options = {.headers = headers, .header_count = 1}};
    memset(&room, 0x55, sizeof room);
    mem_allow_hook = structs_none;
    const asynq_failure *shown = structs_shown_in(&room, &grown_sizes, STRUCT_FAILURE, &failure);
    structs_begin(&call, &grown_sizes);
    const void *none = structs_shown(&call, STRUCT_PERIODIC, &entry);
    mem_allow_hook = NULL;
    ck_assert_ptr_eq(shown, (const void *)&room);
    ck_assert_int_eq(shown->code, 7);
    ck_assert_str_eq(shown->error, "e");
    ck_assert_int_eq(room.bytes[sizeof failure], 0); /* what was added */
    ck_assert_ptr_null(none);
    (void)structs_end(&call, 0, NULL);
}
END_TEST

START_TEST(much_newer_programs_are_refused)
{
    grow_all();
    structs_call call;
    asynq_error error;
    grown[ASYNQ_SIZES_SERVER][1 + STRUCT_FAILURE - STRUCT_RETRY_POLICY] = STRUCTS_ROOM + 8;
    structs_begin(&call, &grown_sizes);
    ck_assert_int_eq(structs_status(&call, &error), ASYNQ_E_INVALID);
    ck_assert_msg(strstr(error.text, "newer"), "%s", error.text);
    (void)structs_end(&call, 0, NULL);
}
END_TEST

Suite *suite_structs(void)
{
    const TTest *const list[] = {every_struct_is_listed,          arrays_of_newer_programs,
                                 members_of_newer_programs,       unknown_members_are_refused,
                                 tables_of_newer_programs,        results_for_newer_programs,
                                 results_for_older_programs,      shown_without_memory,
                                 much_newer_programs_are_refused, NULL};
    return suite_of("structs", list);
}
