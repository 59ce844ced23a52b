#include "unit.h"

#include "pg/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char parent[64];

static void make_parent(void)
{
    snprintf(parent, sizeof parent, "/tmp/asynq-spool-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(parent));
}

static size_t count_entries(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    for (struct dirent *item; folder && (item = readdir(folder));)
        count += *item->d_name != '.';
    if (folder)
        closedir(folder);
    return count;
}

static void remove_parent(void)
{
    ck_assert_uint_eq(count_entries(parent), 0);
    ck_assert_int_eq(rmdir(parent), 0);
}

static _Atomic int problems;

static void written(void *arg, const char *problem)
{
    (void)arg;
    problems += problem != NULL;
}

static spool *open_spool(const char *name, int64_t most)
{
    asynq_error error;
    spool *s = spool_open(parent, name, most, written, NULL, &error);
    ck_assert_msg(s != NULL, "%s", error.text);
    return s;
}

static bool append(spool *s, const char *line, bool is_first)
{
    return spool_append(s, line, strlen(line), is_first);
}

/* What is read next, and how many lines it is. */
static size_t check_next(spool *s, size_t most, const char *expected)
{
    buf lines;
    buf_init(&lines, 0);
    spool_flush(s);
    size_t count = spool_read(s, most, &lines);
    ck_assert_str_eq(lines.data ? lines.data : "", expected);
    buf_clear(&lines);
    return count;
}

START_TEST(order)
{
    make_parent();
    spool *s = open_spool("a", 1 << 26);
    check_next(s, 10, "");
    ck_assert(append(s, "one", true));
    ck_assert(append(s, "two", false));
    ck_assert(append(s, "three", false));
    ck_assert_uint_eq(check_next(s, 2, "one,two"), 2);
    ck_assert_uint_eq(check_next(s, 2, "one,two"), 2); /* until they are wanted no more */
    spool_advance(s);
    ck_assert(append(s, "four", false));
    ck_assert_uint_eq(check_next(s, 10, "three,four"), 2);
    spool_stats stats;
    spool_get_stats(s, &stats);
    ck_assert_int_eq(stats.lines, 2);
    ck_assert_int_eq(stats.bytes, 11);
    spool_advance(s);
    ck_assert_uint_eq(check_next(s, 10, ""), 0);
    spool_close(s);
    remove_parent();
}
END_TEST

/* A folder of a dead owner is adopted, one of a living one is not; a line that was torn off is left out. */
START_TEST(adoption)
{
    char path[128];
    make_parent();
    spool *first = open_spool("first", 1 << 26), *second = open_spool("second", 1 << 26);
    ck_assert_ptr_null(spool_adopt(parent));
    ck_assert(append(first, "whole", false));
    spool_close(first); /* the line waits, so the folder stays */
    snprintf(path, sizeof path, "%s/first/00000001.jsonl", parent);
    int fd = open(path, O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, "{\"torn", 6), 6);
    close(fd);
    spool *adopted = spool_adopt(parent);
    ck_assert_ptr_nonnull(adopted);
    ck_assert_str_eq(spool_name(adopted), "first");
    ck_assert_ptr_null(spool_adopt(parent));
    ck_assert_uint_eq(check_next(adopted, 10, "whole"), 1);
    spool_advance(adopted);
    ck_assert_uint_eq(check_next(adopted, 10, ""), 0);
    spool_stats stats;
    spool_get_stats(adopted, &stats);
    ck_assert_int_eq(stats.bytes, 0);
    ck_assert_int_eq(stats.lost, 1);
    spool_close(adopted);
    spool_close(second);
    remove_parent();
}
END_TEST

/* Segments are begun and removed on the way; the bound holds, with some room left for lines about what began before. */
START_TEST(segments_and_bound)
{
    enum { LINE = 60000, BOUND = 16 << 20 };
    static char line[LINE + 1];
    make_parent();
    spool *s = open_spool("a", BOUND);
    memset(line, 'x', LINE);
    size_t first = 0, second = 0;
    while (append(s, line, true))
        first++;
    while (append(s, line, false))
        second++;
    ck_assert_uint_eq(first, BOUND / 8 * 7 / (LINE + 1));
    ck_assert_uint_eq(first + second, BOUND / (LINE + 1));
    spool_stats stats;
    spool_get_stats(s, &stats);
    ck_assert_int_eq(stats.lost, 2);
    ck_assert_int_eq(stats.lines, (int64_t)(first + second));
    spool_flush(s);
    ck_assert_int_ge(problems, 1);
    size_t read = 0;
    for (;;) {
        buf lines;
        buf_init(&lines, 0);
        size_t count = spool_read(s, 1000, &lines);
        buf_clear(&lines);
        if (!count)
            break;
        spool_advance(s);
        read += count;
    }
    ck_assert_uint_eq(read, first + second);
    ck_assert(append(s, line, true)); /* there is room again */
    ck_assert(!spool_append(s, line, SPOOL_LINE_MOST + 1, false));
    spool_flush(s);
    buf rest;
    buf_init(&rest, 0);
    ck_assert_uint_eq(spool_read(s, 10, &rest), 1);
    buf_clear(&rest);
    spool_advance(s);
    spool_close(s);
    remove_parent();
}
END_TEST

enum { RACING_LINES = 300000 };

static void *append_many(void *arg)
{
    char line[200];
    for (int i = 0; i < RACING_LINES; i++) {
        int length = snprintf(line, sizeof line, "%0150d", i);
        while (!spool_append(arg, line, (size_t)length, false))
            usleep(1000); /* the reader is behind */
    }
    return NULL;
}

/* Each line is read once and in order, while others are written, and segments begin and go. */
START_TEST(reading_beside_writing)
{
    pthread_t writer;
    make_parent();
    spool *s = open_spool("a", 1 << 26);
    ck_assert_int_eq(pthread_create(&writer, NULL, append_many, s), 0);
    int next = 0;
    while (next < RACING_LINES) {
        buf lines;
        buf_init(&lines, 0);
        size_t count = spool_read(s, 1000, &lines);
        for (size_t i = 0; i < count; i++, next++)
            ck_assert_int_eq(atoi(lines.data + i * 151), next);
        buf_clear(&lines);
        spool_advance(s);
    }
    pthread_join(writer, NULL);
    spool_flush(s);
    spool_close(s);
    remove_parent();
}
END_TEST

Suite *suite_spool(void)
{
    const TTest *const list[] = {order, adoption, segments_and_bound, reading_beside_writing, NULL};
    return suite_of("spool", list);
}
