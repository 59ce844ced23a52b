#include "unit.h"

#include "redis/command.h"
#include "redis/reply.h"

#include <hiredis/hiredis.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static redis_reader *reader;

/* Feeds one byte after the other; returns the first whole reply. */
static const redis_value *read_all(const char *text, size_t length)
{
    const redis_value *value = NULL;
    asynq_error error;
    for (size_t i = 0; i < length && !value; i++) {
        ck_assert_int_eq(redis_reader_feed(reader, text + i, 1), 0);
        ck_assert_int_eq(redis_reader_next(reader, &value, &error), 0);
    }
    return value;
}

static void open_reader(void)
{
    reader = redis_reader_new();
    ck_assert_ptr_nonnull(reader);
}

START_TEST(values)
{
    open_reader();
    static const char text[] = "*5\r\n:-7\r\n$3\r\na\0b\r\n$-1\r\n*-1\r\n*2\r\n+OK\r\n-ERR no\r\n";
    const redis_value *value = read_all(text, sizeof text - 1);
    ck_assert_ptr_nonnull(value);
    ck_assert_uint_eq(value->count, 5);
    ck_assert_int_eq(redis_value_integer(&value->elements[0]), -7);
    ck_assert_uint_eq(value->elements[1].text.length, 3);
    ck_assert_int_eq(value->elements[2].type, REDIS_NIL);
    ck_assert_ptr_null(value->elements[2].text.data);
    ck_assert_int_eq(value->elements[3].type, REDIS_NIL);
    ck_assert_int_eq(value->elements[4].elements[1].type, REDIS_ERROR);
    ck_assert_ptr_null(redis_value_at(value, 5));
    ck_assert_ptr_null(redis_value_at(&value->elements[0], 0));
    redis_reader_free(reader);
}
END_TEST

/* Headers that promise more than a reply of ours can have give an error and no large allocation. */
START_TEST(hostile_headers)
{
    const char *const texts[] = {"*2147483647\r\n",
                                 "*99999999999\r\n",
                                 "*-2\r\n",
                                 "$-2\r\n",
                                 "$abc\r\n",
                                 "?\r\n",
                                 "%1\r\n+a\r\n+b\r\n", /* RESP3 */
                                 "~1\r\n+a\r\n",
                                 ">1\r\n+a\r\n",
                                 ",1.5\r\n",
                                 "#t\r\n",
                                 "(12345678901234567890\r\n",
                                 "=5\r\ntxt:a\r\n",
                                 "*1\r\n#t\r\n",
                                 "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        open_reader();
        const redis_value *value = NULL;
        asynq_error error = {0};
        ck_assert_int_eq(redis_reader_feed(reader, texts[i], strlen(texts[i])), 0);
        int status = redis_reader_next(reader, &value, &error);
        ck_assert_msg(status == ASYNQ_E_MALFORMED || !value, "%s was taken", texts[i]);
        redis_reader_free(reader);
    }
    open_reader(); /* a promised string of 2 GB: nothing is allocated before it comes */
    const redis_value *value = NULL;
    ck_assert_int_eq(redis_reader_feed(reader, "$2000000000\r\nabc", 16), 0);
    ck_assert_int_eq(redis_reader_next(reader, &value, NULL), 0);
    ck_assert_ptr_null(value);
    redis_reader_free(reader);
}
END_TEST

START_TEST(numbers_ignore_the_locale)
{
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed, "," is the decimal sign */
    redis_value value = {.type = REDIS_STRING, .text = {"1700000030.5", 12}};
    ck_assert(redis_value_double(&value) == 1700000030.5);
}
END_TEST

/* Our commands are hiredis's, byte for byte. */
START_TEST(commands_are_written)
{
    static char large[123456];
    const char *argv[] = {"EVALSHA", "", "a\r\nb", large, "0123456789", "x", "y", "z", "9", "10"};
    size_t lengths[] = {7, 0, 4, sizeof large, 10, 1, 1, 1, 1, 2};
    for (int count = 1; count <= 10; count++) {
        char *expected, *written;
        int length = redisFormatCommandArgv(&expected, count, argv, lengths);
        ck_assert_uint_eq(redis_command_size(count, lengths), (size_t)length);
        written = malloc((size_t)length);
        redis_command_write(written, count, argv, lengths);
        ck_assert(memcmp(written, expected, (size_t)length) == 0);
        free(written);
        free(expected);
    }
}
END_TEST

Suite *suite_reply(void)
{
    const TTest *const list[] = {values, hostile_headers, numbers_ignore_the_locale, commands_are_written, NULL};
    return suite_of("reply", list);
}
