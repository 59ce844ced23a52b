#include "unit.h"

#include "process/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const frame_pair headers[] = {{{"who", 3}, {"me", 2}}};

#define TEXT(text) ((bytes){text, sizeof text - 1})

/* What docs/worker-protocol.md shows, by the name that it has there. */
static const struct {
    const char *name;
    frame frame;
} samples[] = {
    {"hello", {.type = FRAME_HELLO, .version = 1, .name = {"python", 6}, .capacity = 4, .progress = -1}},
    {"welcome", {.type = FRAME_WELCOME, .version = 1, .name = {"python", 6}, .progress = -1}},
    {"task",
     {.type = FRAME_TASK,
      .call = 7,
      .id = {"a1", 2},
      .task_type = {"eval:run", 8},
      .queue = {"low", 3},
      .payload = {"{}", 2},
      .retried = 1,
      .max_retry = 25,
      .deadline_ms = 1700000000123,
      .headers = headers,
      .header_count = 1,
      .progress = -1}},
    {"cancel", {.type = FRAME_CANCEL, .call = 7, .progress = -1}},
    {"shutdown", {.type = FRAME_SHUTDOWN, .progress = -1}},
    {"heartbeat", {.type = FRAME_HEARTBEAT, .call = 7, .progress = 0.5, .text = {"half", 4}}},
    {"result", {.type = FRAME_RESULT, .call = 7, .result = {"42", 2}, .progress = -1}},
    {"error",
     {.type = FRAME_ERROR,
      .call = 7,
      .name = {"ValueError", 10},
      .failure = FAILURE_PERMANENT,
      .text = {"no such thing", 13},
      .progress = -1}},
    {"error-later",
     {.type = FRAME_ERROR,
      .call = 7,
      .failure = FAILURE_RETRY,
      .retry_in_ms = 5000,
      .text = {"busy", 4},
      .progress = -1}},
    {"log", {.type = FRAME_LOG, .level = {"warn", 4}, .text = {"nearly full", 11}, .progress = -1}},
};

enum { SAMPLES = sizeof samples / sizeof *samples };

/* The hexadecimal digits behind a name; "" if it is not there. */
static void read_vector(const char *name, char *hex, size_t size)
{
    char line[2048];
    FILE *in = fopen(TEST_DOCS "/worker-protocol.md", "r");
    ck_assert_ptr_nonnull(in);
    *hex = '\0';
    while (fgets(line, sizeof line, in))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
            snprintf(hex, size, "%.*s", (int)strcspn(line + strlen(name) + 1, "\n"), line + strlen(name) + 1);
    fclose(in);
}

static void write_hex(const buf *data, char *hex, size_t size)
{
    *hex = '\0';
    for (size_t i = 0; i < data->length && 2 * i + 2 < size; i++)
        sprintf(hex + 2 * i, "%02x", (unsigned char)data->data[i]);
}

START_TEST(vectors)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        char documented[2048], written[2048];
        buf made, again;
        frame f;
        asynq_error error = {0};
        msgpack_zone zone;
        buf_init(&made, 0);
        buf_init(&again, 0);
        frame_append(&samples[i].frame, &made);
        write_hex(&made, written, sizeof written);
        read_vector(samples[i].name, documented, sizeof documented);
        ck_assert_msg(strcmp(documented, written) == 0, "%s is written as\n%s\nnot as in the documentation:\n%s",
                      samples[i].name, written, documented);
        ck_assert_uint_eq(frame_length(made.data, made.length), made.length);
        ck_assert(msgpack_zone_init(&zone, 1024));
        ck_assert_msg(frame_decode(&f, made.data + FRAME_HEADER, made.length - FRAME_HEADER, &zone, &error) == 0, "%s",
                      error.text);
        frame_append(&f, &again);
        ck_assert(again.length == made.length && memcmp(again.data, made.data, made.length) == 0);
        msgpack_zone_destroy(&zone);
        buf_clear(&made);
        buf_clear(&again);
    }
}
END_TEST

static const char *decode(const char *data, size_t length, asynq_error *error)
{
    frame f;
    msgpack_zone zone;
    ck_assert(msgpack_zone_init(&zone, 1024));
    int status = frame_decode(&f, data, length, &zone, error);
    msgpack_zone_destroy(&zone);
    return status ? error->text : "fine";
}

START_TEST(mistakes)
{
    static const struct {
        bytes data;
        const char *problem;
    } rows[] = {
        {TEXT(""), "a frame of 0 bytes is no map"},
        {TEXT("\x80"), "a frame has no \"type\""},
        {TEXT("\x81\xa4type\xa3who"), "a frame has no \"type\" that is known"},
        {TEXT("\x81\xa4type\x05"), "a frame has no \"type\" that is known"},
        {TEXT("\x81\xa4type\xa6result"), "a frame \"result\" has no \"call\""},
        {TEXT("\x82\xa4type\xa6result\xa4"
              "call\xa1x"),
         "\"call\" of a frame \"result\" has a wrong value"},
        {TEXT("\x82\xa4type\xa6result\xa4"
              "call\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
         "\"call\" of a frame"},
        {TEXT("\x83\xa4type\xa6result\xa4"
              "call\x01\xa6result\x90"),
         "\"result\" of a frame \"result\" has a wrong"},
        {TEXT("\x82\xa4type\xa9heartbeat\xa8progress\x02"), "\"progress\" of a frame \"heartbeat\""},
        {TEXT("\x81\xa4type\xa8shutdown\x01"), "a frame of 16 bytes is no map"},
        {TEXT("\x82\xa4type\xa8shutdown\xa1x\x01"), "fine"},
        {TEXT("\x92\x01\x02"), "a frame of 3 bytes is no map"},
        {TEXT("\xdf\xff\xff\xff\xff"), "claims to have more"},
        {TEXT("\xdd\x10\x00\x00\x00"), "claims to have more"},
        {TEXT("\xc6\xff\xff\xff\xff"), "claims to have more"},
        {TEXT("\x81\xa4type"), "is no map"},
        {TEXT("\xc1"), "is no map"},
        {TEXT("\x82\xa4type\xa8shutdown\xa1x\xc8\x00\x05\x01"
              "abcde"),
         "fine"}, /* ext 16 */
        {TEXT("\x82\xa4type\xa8shutdown\xa1x\xd8\x01"
              "0123456789abcdef"),
         "fine"}, /* fixext 16 */
        {TEXT("\x82\xa4type\xa8shutdown\xa1x\xcb"
              "01234567"),
         "fine"}, /* float 64 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        asynq_error error = {0};
        const char *answer = decode(rows[i].data.data, rows[i].data.length, &error);
        ck_assert_msg(strstr(answer, rows[i].problem) != NULL, "row %zu: %s", i, answer);
    }
}
END_TEST

/* Every beginning and every changed byte of every sample is read or refused. */
START_TEST(damage)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        buf made;
        asynq_error error;
        buf_init(&made, 0);
        frame_append(&samples[i].frame, &made);
        char *body = made.data + FRAME_HEADER;
        size_t length = made.length - FRAME_HEADER;
        for (size_t cut = 0; cut < length; cut++)
            ck_assert_str_ne(decode(body, cut, &error), "fine");
        for (size_t at = 0; at < length; at++)
            for (int byte = 0; byte < 256; byte++) {
                char kept = body[at];
                body[at] = (char)byte;
                decode(body, length, &error);
                body[at] = kept;
            }
        buf_clear(&made);
    }
}
END_TEST

START_TEST(lengths)
{
    ck_assert_uint_eq(frame_length("\0\0\0", 3), 0);
    ck_assert_uint_eq(frame_length("\0\0\1\2", 4), 0x102 + FRAME_HEADER);
    ck_assert_uint_gt(frame_length("\xff\xff\xff\xff", 4), FRAME_MAX);
}
END_TEST

Suite *suite_frame(void)
{
    const TTest *const list[] = {vectors, mistakes, damage, lengths, NULL};
    return suite_of("worker frames", list);
}
