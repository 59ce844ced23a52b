/* Golden bytes of the spec, appendix C: what Go's Asynq 0.26 writes for equal values. */
#include "unit.h"

#include "wire/scheduler_entry.h"
#include "wire/server_info.h"
#include "wire/task_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static buf out;

static void expect_bytes(const char *hex)
{
    char *found = malloc(2 * out.length + 1);
    for (size_t i = 0; i < out.length; i++)
        sprintf(found + 2 * i, "%02x", (unsigned char)out.data[i]);
    found[2 * out.length] = '\0';
    ck_assert_str_eq(found, hex);
    free(found);
}

static void expect_task(const task_message *message, const char *hex)
{
    asynq_error error;
    buf_init(&out, 0);
    ck_assert_int_eq(task_message_encode(message, &out, &error), 0);
    expect_bytes(hex);
    arena memory;
    task_message again;
    record_arena_init(&memory, out.length);
    ck_assert_int_eq(task_message_decode(&again, (bytes){out.data, out.length}, &memory, &error), 0);
    buf_clear(&out);
    ck_assert_int_eq(task_message_encode(&again, &out, &error), 0);
    expect_bytes(hex);
    buf_clear(&out);
    arena_clear(&memory);
}

START_TEST(tasks)
{
    expect_task(
        &(task_message){.type = bytes_of("email:send"), /* GV-1 */
                        .payload = bytes_of("{\"u\":1}"),
                        .id = bytes_of("00000000-0000-4000-8000-000000000001"),
                        .queue = bytes_of("default"),
                        .retry = 25,
                        .timeout = 1800},
        "0a0a656d61696c3a73656e6412077b2275223a317d1a2430303030303030302d303030302d343030302d383030302d3030303030"
        "30303030303031220764656661756c74281940880e");
    expect_task(
        &(task_message){.type = bytes_of("t"), /* GV-2 */
                        .id = bytes_of("id1"),
                        .queue = bytes_of("q"),
                        .retry = 3,
                        .retried = 2,
                        .error_msg = bytes_of("boom"),
                        .timeout = 60,
                        .deadline = 1700000000,
                        .last_failed_at = 1700000001,
                        .retention = 3600,
                        .completed_at = 1700000002,
                        .group_key = bytes_of("g"),
                        .headers = &(task_header){bytes_of("k"), bytes_of("v")},
                        .header_count = 1},
        "0a01741a03696431220171280330023a04626f6f6d403c4880e2cfaa065881e2cfaa0660901c6882e2cfaa067201677a060a016b"
        "120176");
    expect_task(&(task_message){.type = bytes_of("t"), /* GV-3 */
                                .id = bytes_of("i"),
                                .queue = bytes_of("q"),
                                .headers = &(task_header){bytes_of("k"), bytes_of("")},
                                .header_count = 1},
                "0a01741a01692201717a050a016b1200");
    expect_task(&(task_message){.type = bytes_of("t"), .id = bytes_of("i"), .queue = bytes_of("q"), .retry = -1},
                "0a01741a016922017128ffffffffffffffffff01"); /* GV-14 */
}
END_TEST

static void expect_server(const server_info *info, const char *hex)
{
    buf_init(&out, 0);
    ck_assert_int_eq(server_info_encode(info, &out, NULL), 0);
    expect_bytes(hex);
    buf_clear(&out);
}

START_TEST(servers)
{
    expect_server(&(server_info){.host = bytes_of("h"), /* GV-5 */
                                 .pid = 7,
                                 .server_id = bytes_of("sid"),
                                 .concurrency = 10,
                                 .queues = &(server_queue){bytes_of("default"), 1},
                                 .queue_count = 1,
                                 .status = bytes_of("active"),
                                 .start_time = {1700000000, 500},
                                 .active_worker_count = 2},
                  "0a016810071a03736964200a2a0b0a0764656661756c7410013a0661637469766542090880e2cfaa0610f4034802");
    expect_server(&(server_info){.queues = &(server_queue){bytes_of("a"), 0}, /* GV-15, with GV-4 in it */
                                 .queue_count = 1,
                                 .strict_priority = true,
                                 .start_time = RECORD_TIME_NEVER},
                  "2a050a016110003001420b088092b8c398feffffff01");
    expect_server(&(server_info){.start_time = {0, 0}}, "4200"); /* GV-16 */
}
END_TEST

START_TEST(workers_and_schedules)
{
    worker_info worker = {.host = bytes_of("h"), /* GV-6 */
                          .pid = 7,
                          .server_id = bytes_of("sid"),
                          .task_id = bytes_of("id1"),
                          .task_type = bytes_of("t"),
                          .task_payload = bytes_of("p"),
                          .queue = bytes_of("q"),
                          .start_time = {1700000000, 0},
                          .deadline = {1700001800, 0}};
    buf_init(&out, 0);
    ck_assert_int_eq(worker_info_encode(&worker, &out, NULL), 0);
    expect_bytes("0a016810071a03736964220369643"
                 "12a01743201703a017142060880e2cfaa064a060888f0cfaa06");
    buf_clear(&out);

    worker =
        (worker_info){.task_id = bytes_of("id1"), .has_progress = true, .progress_text = bytes_of("half")}; /* ours */
    ck_assert_int_eq(worker_info_encode(&worker, &out, NULL), 0);
    expect_bytes("22036964314200"
                 "4a00c93e0000000000000000d23e0468616c66");
    buf_clear(&out);

    const bytes options[] = {bytes_of("Queue(\"q\")"), bytes_of("MaxRetry(3)")};
    scheduler_entry entry = {.id = bytes_of("e1"), /* GV-7 */
                             .spec = bytes_of("@every 5s"),
                             .task_type = bytes_of("t"),
                             .options = options,
                             .option_count = 2,
                             .next_enqueue_time = {1700000005, 0},
                             .prev_enqueue_time = RECORD_TIME_NEVER};
    ck_assert_int_eq(scheduler_entry_encode(&entry, &out, NULL), 0);
    expect_bytes(
        "0a02653112094065766572792035731a01742a0a517565756528227122292a0b4d6178526574727928332932060885e2cfaa06"
        "3a0b088092b8c398feffffff01");
    buf_clear(&out);

    scheduler_event event = {.task_id = bytes_of("id1"), .enqueue_time = {1700000005, 123456789}}; /* GV-8 */
    ck_assert_int_eq(scheduler_event_encode(&event, &out, NULL), 0);
    expect_bytes("0a03696431120b0885e2cfaa0610959aef3a");
    buf_clear(&out);
}
END_TEST

START_TEST(headers_are_sorted_and_unique)
{
    task_header headers[] = {{bytes_of("b"), bytes_of("1")},
                             {bytes_of("a"), bytes_of("2")},
                             {bytes_of("b"), bytes_of("3")},
                             {bytes_of("ab"), bytes_of("4")}};
    size_t count = 4;
    arena scratch;
    arena_init(&scratch, 0);
    ck_assert_int_eq(task_headers_normalize(headers, &count, &scratch, NULL), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert(bytes_equal(headers[0].key, bytes_of("a")));
    ck_assert(bytes_equal(headers[1].key, bytes_of("ab")));
    ck_assert(bytes_equal(headers[2].value, bytes_of("3"))); /* the last one wins */
    arena_clear(&scratch);
}
END_TEST

/* A message with `count` headers, of which the n-th has the key that `key_of` gives it. */
static bytes message_with_headers(unsigned count, unsigned (*key_of)(unsigned n, unsigned count))
{
    buf_init(&out, 0);
    buf_append(&out, "\x0a\x01t\x1a\x01i\x22\x01q", 9);
    for (unsigned n = 0; n < count; n++) {
        buf_append(&out, "\x7a\x0b\x0a\x06", 4);
        buf_append_format(&out, "%06u", key_of(n, count));
        buf_append(&out, "\x12\x01v", 3);
    }
    return (bytes){out.data, out.length};
}

static unsigned descending(unsigned n, unsigned count)
{
    return count - n;
}

static unsigned scattered(unsigned n, unsigned count)
{
    return (unsigned)((uint64_t)n * 2654435761u % count);
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The CPU time of one decoding, the best of eight. */
static double decode_ms(unsigned count, unsigned (*key_of)(unsigned n, unsigned count))
{
    double best_ms = 1e9;
    bytes raw = message_with_headers(count, key_of);
    for (int round = 0; round < 8; round++) {
        arena memory;
        task_message message;
        record_arena_init(&memory, raw.length);
        double begun_ms = cpu_ms();
        ck_assert_int_eq(task_message_decode(&message, raw, &memory, NULL), 0);
        double took_ms = cpu_ms() - begun_ms;
        best_ms = took_ms < best_ms ? took_ms : best_ms;
        ck_assert_uint_eq(message.header_count, count);
        for (size_t n = 1; n < message.header_count; n++)
            ck_assert_int_lt(memcmp(message.headers[n - 1].key.data, message.headers[n].key.data, 6), 0);
        arena_clear(&memory);
    }
    buf_clear(&out);
    return best_ms;
}

/* Nobody's message may stop the loop: ten times as many headers are about ten times the work, and not a hundred times;
 * the few fit into the processor's caches, where others leave room. */
START_TEST(many_headers)
{
    unsigned (*const orders[])(unsigned n, unsigned count) = {descending, scattered};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        double few_ms = decode_ms(3300, orders[i]), many_ms = decode_ms(33000, orders[i]);
        ck_assert_msg(many_ms < 60 * few_ms, "order %zu: %.2f ms for 3,300 headers, %.2f ms for 33,000", i, few_ms,
                      many_ms);
    }
}
END_TEST

static int decode_repeated(const char *field, size_t length, size_t times, asynq_error *error)
{
    arena memory;
    task_message message;
    buf_init(&out, 0);
    while (times--)
        buf_append(&out, field, length);
    record_arena_init(&memory, out.length);
    int status = task_message_decode(&message, (bytes){out.data, out.length}, &memory, error);
    arena_clear(&memory);
    buf_clear(&out);
    return status;
}

/* Counted before anything is made of them, also within a nested record. */
START_TEST(too_many_fields)
{
    asynq_error error;
    ck_assert_int_eq(decode_repeated("\x28\x01", 2, RECORD_FIELDS_MAX, &error), 0);
    ck_assert_int_eq(decode_repeated("\x28\x01", 2, RECORD_FIELDS_MAX + 1, &error), ASYNQ_E_MALFORMED);
    ck_assert_str_eq(error.text, "200002 bytes with more than 100000 fields, which is no TaskRecord");
    ck_assert_int_eq(decode_repeated("\x7a\x04\x0a\x00\x0a\x00", 6, RECORD_FIELDS_MAX / 3 + 1, &error),
                     ASYNQ_E_MALFORMED);
    ck_assert_ptr_nonnull(strstr(error.text, "more than 100000 fields"));
}
END_TEST

/* Found by fuzzing: protobuf-c takes field number 0, which nobody can read once it is written again. */
START_TEST(field_number_zero)
{
    arena memory;
    task_message message;
    record_arena_init(&memory, 4);
    ck_assert_int_eq(task_message_decode(&message, (bytes){"\x80\x00\x2a\x00", 4}, &memory, NULL), ASYNQ_E_MALFORMED);
    arena_clear(&memory);
}
END_TEST

START_TEST(bad_texts_are_not_written)
{
    asynq_error error;
    buf_init(&out, 0);
    task_message message = {.type = bytes_of("t"), .error_msg = bytes_of("\xff")};
    ck_assert_int_eq(task_message_encode(&message, &out, &error), ASYNQ_E_MALFORMED);
    ck_assert_str_eq(error.text, "string field contains invalid UTF-8: error_msg");
    ck_assert_uint_eq(out.length, 0);
    buf_clear(&out);
}
END_TEST

Suite *suite_wire(void)
{
    const TTest *const list[] = {tasks,        servers,         workers_and_schedules, headers_are_sorted_and_unique,
                                 many_headers, too_many_fields, field_number_zero,     bad_texts_are_not_written,
                                 NULL};
    return suite_of("wire", list);
}
