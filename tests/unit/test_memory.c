/* The failing allocator: every allocation of an operation fails in turn; the operation says so and leaks nothing. */
#include "unit.h"

#include "base/alloc.h"
#include "client/plan.h"
#include "redis/reply.h"
#include "redis/uri.h"
#include "server/job_port.h"
#include "server/mux.h"
#include "wire/scheduler_entry.h"
#include "wire/server_info.h"
#include "wire/task_message.h"

#include <asynq/scheduler.h>
#include <stdio.h>

static int fail_at, allocations;

static int allow(void)
{
    return ++allocations != fail_at;
}

/* Runs `operation` until it gets through without meeting the failure. It returns 0 or ASYNQ_E_NO_MEMORY. */
static void torture(int (*operation)(void))
{
    for (fail_at = 1;; fail_at++) {
        ck_assert_int_lt(fail_at, 1000);
        allocations = 0;
        mem_allow_hook = allow;
        int status = operation();
        mem_allow_hook = NULL;
        if (allocations < fail_at) {
            ck_assert_int_eq(status, 0);
            return;
        }
        ck_assert_msg(status == ASYNQ_E_NO_MEMORY || status == 0, "allocation %d: status %d", fail_at, status);
    }
}

static int make_key_space(void)
{
    key_space space;
    int status = key_space_init(&space, "p", NULL);
    if (!status)
        key_space_clear(&space);
    return status;
}

static int make_plan(void)
{
    const asynq_header headers[] = {{"a", "1"}, {"b", "2"}};
    asynq_task task = {.type = "t",
                       .payload = "p",
                       .payload_length = 1,
                       .options = {.unique_ms = 60000, .headers = headers, .header_count = 2, .group = "g"}};
    task_plan plan;
    asynq_error error = {0};
    int status = task_plan_make(&plan, unit_space(), &task, NULL, 1, &error);
    if (!status)
        task_plan_clear(&plan);
    return status;
}

static int parse_uri(void)
{
    redis_uri uri;
    int status = redis_uri_parse(&uri, "rediss://user:pass@host:1/2?ca_file=/a&cert_file=/b&key_file=/c", NULL);
    redis_uri_clear(&uri);
    return status;
}

static int build_mux(void)
{
    asynq_mux *mux = asynq_mux_new();
    if (!mux)
        return ASYNQ_E_NO_MEMORY;
    int status = 0;
    const char *const patterns[] = {"b", "a", "c"};
    for (int i = 0; i < 3 && !status; i++)
        status = asynq_mux_handle(mux, &(asynq_route){.pattern = patterns[i], .handler = asynq_mux_dispatch}, NULL);
    asynq_mux_free(mux);
    return status;
}

static int make_job(void)
{
    static const char raw[] = "\x0a\x01t\x12\x01p\x1a\x01i\x22\x01q\x7a\x06\x0a\x01k\x12\x01v";
    job_port *port = job_port_new(NULL);
    if (!port)
        return ASYNQ_E_NO_MEMORY;
    asynq_error error = {0};
    asynq_job *job = job_new(port, (bytes){raw, sizeof raw - 1}, &error);
    if (job) {
        asynq_write_result(job, "result", 6);
        ck_assert_int_eq(asynq_fail(job, "%s", "text"), ASYNQ_OUTCOME_FAILED);
        job_unref(job);
    }
    job_port_unref(port);
    return job ? 0 : error.code;
}

/* Encodes once, without failing, and gives the bytes to `decode`. */
#define DECODE_AGAIN(type, ...)                                                                                        \
    do {                                                                                                               \
        static buf encoded;                                                                                            \
        if (!encoded.length) {                                                                                         \
            mem_allow_hook = NULL;                                                                                     \
            type record = __VA_ARGS__;                                                                                 \
            ck_assert_int_eq(type##_encode(&record, &encoded, NULL), 0);                                               \
            mem_allow_hook = allow;                                                                                    \
        }                                                                                                              \
        type record;                                                                                                   \
        arena memory;                                                                                                  \
        record_arena_init(&memory, encoded.length);                                                                    \
        int status = type##_decode(&record, (bytes){encoded.data, encoded.length}, &memory, NULL);                     \
        arena_clear(&memory);                                                                                          \
        return status;                                                                                                 \
    } while (0)

/* Want of memory is never taken for a malformed record: those are archived, or set aside for good. */
static int decode_task(void)
{
    const task_header headers[] = {{bytes_of("b"), bytes_of("1")}, {bytes_of("a"), bytes_of("2")}};
    static char payload[5000] = "p";
    DECODE_AGAIN(task_message, {.type = bytes_of("t"),
                                .payload = {payload, sizeof payload},
                                .error_msg = {payload, sizeof payload},
                                .headers = headers,
                                .header_count = 2});
}

static int decode_server(void)
{
    const server_queue queues[] = {{bytes_of("a"), 1}, {bytes_of("b"), 2}};
    DECODE_AGAIN(server_info, {.host = bytes_of("h"), .queues = queues, .queue_count = 2});
}

static int decode_worker(void)
{
    static char payload[5000] = "p";
    DECODE_AGAIN(worker_info, {.host = bytes_of("h"), .task_payload = {payload, sizeof payload}});
}

static int decode_entry(void)
{
    const bytes options[] = {bytes_of("Queue(\"q\")"), bytes_of("MaxRetry(3)")};
    DECODE_AGAIN(scheduler_entry, {.id = bytes_of("e"), .options = options, .option_count = 2});
}

/* A reply in three pieces, of which each is read as far as it is there. */
static int read_reply(void)
{
    static const char *const pieces[] = {"*3\r\n$5\r\nhe", "llo\r\n*2\r\n:1\r\n$-1\r\n+O", "K\r\n"};
    redis_reader *reader = redis_reader_new();
    if (!reader)
        return ASYNQ_E_NO_MEMORY;
    asynq_error error = {0};
    const redis_value *value = NULL;
    int status = 0;
    for (int i = 0; i < 3 && !status; i++) {
        status = redis_reader_feed(reader, pieces[i], strlen(pieces[i]));
        if (!status)
            status = redis_reader_next(reader, &value, &error);
    }
    if (!status)
        ck_assert_uint_eq(value->count, 3);
    redis_reader_free(reader);
    return status;
}

static int decode_event(void)
{
    DECODE_AGAIN(scheduler_event, {.task_id = bytes_of("i")});
}

static int encode_server(void)
{
    const server_queue queues[] = {{bytes_of("a"), 1}, {bytes_of("b"), 2}};
    server_info info = {.host = bytes_of("h"), .queues = queues, .queue_count = 2};
    buf out;
    buf_init(&out, 0);
    int status = server_info_encode(&info, &out, NULL);
    buf_clear(&out);
    return status;
}

static int dispatch_nothing(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    return 0;
}

static int aggregate_nothing(asynq_aggregation *aggregation, void *arg)
{
    (void)aggregation, (void)arg;
    return 0;
}

/* Making and starting a whole server; Redis is not there. */
static int start_server(void)
{
    const asynq_queue queues[] = {{"a", 1}, {"b", 2}, {0}};
    const asynq_route routes[] = {{.pattern = "t", .handler = dispatch_nothing}, {0}};
    asynq_error error = {0};
    asynq_server *server = asynq_server_new(
        &(asynq_server_options){
            .redis = "unix:///nowhere", .queues = queues, .routes = routes, .aggregate = aggregate_nothing},
        &error);
    if (!server)
        return error.code;
    int status = asynq_server_start(server, &error);
    asynq_server_free(server);
    return status;
}

static int use_client(void)
{
    asynq_error error = {0};
    asynq_client *client =
        asynq_client_new(&(asynq_client_options){.redis = "unix:///nowhere", .timeout_ms = 1}, &error);
    if (!client)
        return error.code;
    int status = asynq_enqueue(client, &(asynq_task){.type = "t"}, NULL, NULL, &error);
    asynq_client_free(client);
    return status == ASYNQ_E_UNAVAILABLE ? 0 : status;
}

static int read_cron(void)
{
    asynq_error error = {0};
    asynq_cron *cron = asynq_cron_new("TZ=Europe/Berlin 0 0 * * *", NULL, &error);
    asynq_cron_free(cron);
    return cron ? 0 : error.code;
}

/* Making a scheduler with an entry; and starting it, though Redis is not there. */
static int register_entry(bool start)
{
    const asynq_header headers[] = {{"a", "1"}};
    const asynq_task_options options = {
        .queue = "q", .unique_ms = 60000, .deadline_ms = 1, .headers = headers, .header_count = 1};
    asynq_error error = {0};
    asynq_scheduler *scheduler =
        asynq_scheduler_new(&(asynq_scheduler_options){.redis = "unix:///nowhere", .zone = "Asia/Tokyo"}, &error);
    if (!scheduler)
        return error.code;
    const asynq_task task = {.type = "t", .payload = "p", .payload_length = 1, .options = {.group = "g"}};
    const asynq_periodic entry = {.spec = "@hourly", .name = "e", .task = task, .options = &options};
    int status = asynq_scheduler_register(scheduler, &entry, NULL, &error);
    if (!status && start)
        status = asynq_scheduler_start(scheduler, &error);
    asynq_scheduler_free(scheduler);
    return status;
}

static int make_entry(void)
{
    return register_entry(false);
}

static int provide_entries(asynq_periodic_list *list, void *arg, asynq_error *error)
{
    (void)arg;
    int status = 0;
    for (int i = 0; i < 3 && !status; i++)
        status = asynq_periodic_list_add(
            list, &(asynq_periodic){.spec = i ? "@daily" : "@hourly", .task = {.type = "t"}}, error);
    return status;
}

static int take_entries(void)
{
    asynq_error error = {0};
    asynq_scheduler *scheduler =
        asynq_scheduler_new(&(asynq_scheduler_options){.redis = "unix:///nowhere", .provide = provide_entries}, &error);
    int status = scheduler ? asynq_scheduler_sync(scheduler, &error) : error.code;
    asynq_scheduler_free(scheduler);
    return status;
}

static int start_scheduler(void)
{
    return register_entry(true);
}

START_TEST(pure_operations)
{
    (void)unit_space(); /* made before memory fails */
    torture(make_key_space);
    torture(read_cron);
    torture(make_entry);
    torture(take_entries);
    torture(make_plan);
    torture(parse_uri);
    torture(build_mux);
    torture(make_job);
    torture(decode_task);
    torture(decode_server);
    torture(decode_worker);
    torture(decode_entry);
    torture(decode_event);
    torture(read_reply);
    torture(encode_server);
}
END_TEST

/* Threads allocate, too, so only the first allocations are in a fixed order: those of the making. */
START_TEST(server_and_client)
{
    int (*const operations[])(void) = {start_server, use_client, start_scheduler};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        for (fail_at = 1; fail_at < 60; fail_at++) {
            allocations = 0;
            mem_allow_hook = allow;
            int status = operations[i]();
            mem_allow_hook = NULL;
            ck_assert_msg(status == 0 || status == ASYNQ_E_NO_MEMORY, "operation %zu, allocation %d: status %d", i,
                          fail_at, status);
        }
}
END_TEST

Suite *suite_memory(void)
{
    const TTest *const list[] = {pure_operations, server_and_client, NULL};
    return suite_of("memory", list);
}
