#include "unit.h"

#include "pg/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static spool *open_spool(const char *name, int64_t max)
{
    asynq_error error;
    spool *s = spool_open(parent, name, max, written, NULL, &error);
    ck_assert_msg(s != NULL, "%s", error.text);
    return s;
}

static bool append(spool *s, const char *line, bool is_first)
{
    return spool_append(s, line, strlen(line), is_first);
}

/* What is read next, and how many lines it is. */
static size_t check_next(spool *s, size_t max, const char *expected)
{
    buf lines;
    buf_init(&lines, 0);
    const char *problem;
    spool_flush(s);
    size_t count = spool_read(s, max, &lines, &problem);
    ck_assert_ptr_null(problem);
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
    ck_assert_int_eq(stats.lost[SPOOL_UNREADABLE], 1);
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
    ck_assert_int_eq(stats.lost[SPOOL_FULL], 2);
    ck_assert_int_eq(stats.lines, (int64_t)(first + second));
    spool_flush(s);
    ck_assert_int_ge(problems, 1);
    size_t read = 0;
    for (;;) {
        buf lines;
        const char *problem;
        buf_init(&lines, 0);
        size_t count = spool_read(s, 1000, &lines, &problem);
        buf_clear(&lines);
        if (!count)
            break;
        spool_advance(s);
        read += count;
    }
    ck_assert_uint_eq(read, first + second);
    ck_assert(append(s, line, true)); /* there is room again */
    ck_assert(!spool_append(s, line, SPOOL_MAX_LINE + 1, false));
    spool_flush(s);
    buf rest;
    const char *problem;
    buf_init(&rest, 0);
    ck_assert_uint_eq(spool_read(s, 10, &rest, &problem), 1);
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
        const char *problem;
        buf_init(&lines, 0);
        size_t count = spool_read(s, 1000, &lines, &problem);
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

/* ---- rare weather ---- */

static int64_t lost(spool *s, spool_loss why)
{
    spool_stats stats;
    spool_get_stats(s, &stats);
    return stats.lost[why];
}

static int64_t waiting_bytes(spool *s)
{
    spool_stats stats;
    spool_get_stats(s, &stats);
    return stats.bytes;
}

static void make_folder(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", parent, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void put_file(const char *name, const char *text, size_t length)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", parent, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

/* The spool of somebody who has ended, "dead". */
static void make_dead(void)
{
    make_parent();
    make_folder("dead");
    put_text("dead/lock", "");
}

/* Reads it to its end, in which nothing waits, and closes it. */
static void check_end(spool *s, int64_t unreadable)
{
    check_next(s, 10, "");
    ck_assert_int_eq(waiting_bytes(s), 0);
    ck_assert_int_eq(lost(s, SPOOL_UNREADABLE), unreadable);
    spool_close(s);
    remove_parent();
}

static spool *adopt(void)
{
    spool *s = spool_adopt(parent);
    ck_assert_ptr_nonnull(s);
    return s;
}

enum { FULL_DISK_BYTES = 1 << 20, FULL_DISK_LINES = 6000 };

/* A small disk for this process alone. */
static void mount_parent(void)
{
    make_parent();
    if (unshare(CLONE_NEWNS))
        ck_assert_int_eq(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
    /* In a chroot there is no mount at "/"; should the one below be shared, the disk is seen elsewhere until it goes.
     */
    ck_assert(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL);
    ck_assert_int_eq(mount("spool", parent, "tmpfs", 0, "size=1m"), 0);
}

/* A disk that is full: no line of those that were taken is lost, the others are counted, and no files heap up. */
START_TEST(full_disk)
{
    char line[512], path[128];
    mount_parent();
    spool *s = open_spool("a", 1 << 26);
    for (int i = 0; i < FULL_DISK_LINES; i++) {
        snprintf(line, sizeof line, "%06d %0400d", i, i);
        ck_assert(append(s, line, false));
        spool_flush(s);
    }
    snprintf(path, sizeof path, "%s/a", parent);
    ck_assert_uint_le(count_entries(path), 3);
    ck_assert_int_gt(lost(s, SPOOL_WRITE_FAILED), 0);
    ck_assert_int_le(waiting_bytes(s), FULL_DISK_BYTES);
    int64_t read = 0;
    for (size_t count = 1; count; read += (int64_t)count) {
        buf lines;
        const char *problem;
        buf_init(&lines, 0);
        count = spool_read(s, 100, &lines, &problem);
        ck_assert_ptr_null(problem);
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(atoi(lines.data + i * 408), read + (int64_t)i);
        buf_clear(&lines);
        spool_advance(s);
    }
    ck_assert_int_eq(read + lost(s, SPOOL_WRITE_FAILED), FULL_DISK_LINES);
    ck_assert_int_eq(lost(s, SPOOL_UNREADABLE), 0);
    ck_assert_int_eq(waiting_bytes(s), 0);
    ck_assert(append(s, "room again", false));
    check_next(s, 10, "room again");
    spool_advance(s);
    spool_close(s);
    ck_assert_int_eq(umount(parent), 0);
    remove_parent();
}
END_TEST

/* A file that may not grow any more is not the end: another one is begun. */
START_TEST(file_limit)
{
    char line[2048];
    make_parent();
    spool *s = open_spool("a", 1 << 26);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    struct rlimit limit = {10000, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 50; i++) {
        append(s, line, false);
        spool_flush(s);
    }
    ck_assert_int_gt(lost(s, SPOOL_WRITE_FAILED), 0);
    ck_assert_int_lt(lost(s, SPOOL_WRITE_FAILED), 15);
    int64_t read = 0;
    for (size_t count = 1; count; read += (int64_t)count) {
        buf lines;
        const char *problem;
        buf_init(&lines, 0);
        count = spool_read(s, 1000, &lines, &problem);
        buf_clear(&lines);
        spool_advance(s);
    }
    ck_assert_int_eq(read + lost(s, SPOOL_WRITE_FAILED), 50);
    ck_assert_int_eq(waiting_bytes(s), 0);
    spool_close(s);
    remove_parent();
}
END_TEST

enum { ZEROS = 600 * 1024 };

/* Zeros, as a machine that lost power leaves them: before a line, within one, at the end; the good lines are read. */
START_TEST(zeros)
{
    static const char none[ZEROS];
    make_dead();
    put_text("dead/00000001.jsonl", "one\n");
    put_file("dead/00000001.jsonl", none, sizeof none);
    put_text("dead/00000001.jsonl", "two\nthree\ntor");
    put_file("dead/00000001.jsonl", none, 4096);
    put_text("dead/00000001.jsonl", "\nfour\n");
    put_file("dead/00000001.jsonl", none, sizeof none);
    put_text("dead/00000002.jsonl", "five\n");
    put_file("dead/00000002.jsonl", none, 100);
    spool *s = adopt();
    check_next(s, 10, "one");
    spool_advance(s);
    check_next(s, 10, "two,three,four");
    check_next(s, 10, "two,three,four"); /* once more, and not counted twice */
    spool_advance(s);
    check_next(s, 10, "five");
    spool_advance(s);
    check_end(s, 4);
}
END_TEST

/* What is longer than any line is left out up to its end, wherever it ends. */
START_TEST(endless_line)
{
    static char garbage[ZEROS];
    make_dead();
    memset(garbage, 'x', sizeof garbage);
    put_text("dead/00000001.jsonl", "one\n");
    put_file("dead/00000001.jsonl", garbage, sizeof garbage);
    put_text("dead/00000001.jsonl", "\ntwo\n");
    put_file("dead/00000001.jsonl", garbage, SPOOL_MAX_LINE + 1);
    put_text("dead/00000001.jsonl", "\nthree\n");
    put_file("dead/00000001.jsonl", garbage, sizeof garbage);
    put_text("dead/00000002.jsonl", "four\n");
    spool *s = adopt();
    check_next(s, 10, "one");
    spool_advance(s);
    check_next(s, 10, "two,three");
    spool_advance(s);
    check_next(s, 10, "four");
    spool_advance(s);
    check_end(s, 3);
}
END_TEST

/* A segment that is missing does not hide those behind it. */
START_TEST(missing_segment)
{
    make_dead();
    put_text("dead/00000003.jsonl", "one\n");
    put_text("dead/00000005.jsonl", "two\n");
    put_text("dead/4294967295.jsonl", "three\n");
    spool *s = adopt();
    for (const char *const *line = (const char *const[]){"one", "two", "three", NULL}; *line; line++) {
        check_next(s, 10, *line);
        spool_advance(s);
    }
    check_end(s, 2);
}
END_TEST

/* Nor does one that is taken away while it is written; and what is added then comes. */
START_TEST(stolen_segment)
{
    char path[128];
    make_parent();
    spool *s = open_spool("a", 1 << 26);
    ck_assert(append(s, "one", false));
    spool_flush(s);
    snprintf(path, sizeof path, "%s/a/00000001.jsonl", parent);
    ck_assert_int_eq(unlink(path), 0);
    check_next(s, 10, "");
    ck_assert_int_eq(waiting_bytes(s), 0);
    ck_assert(append(s, "two", false));
    check_next(s, 10, "two");
    spool_advance(s);
    check_end(s, 1);
}
END_TEST

/* A folder that somebody takes away, or moves elsewhere, is made again, with its lock; what was in it counts as lost.
 */
START_TEST(stolen_folder)
{
    char path[128], segment[160], lock[160], elsewhere[128];
    make_parent();
    snprintf(path, sizeof path, "%s/a", parent);
    snprintf(segment, sizeof segment, "%s/00000001.jsonl", path);
    snprintf(lock, sizeof lock, "%s/lock", path);
    spool *s = open_spool("a", 1 << 26);
    ck_assert(append(s, "one", false));
    spool_flush(s);
    ck_assert(unlink(segment) == 0 && unlink(lock) == 0 && rmdir(path) == 0 && rmdir(parent) == 0);
    ck_assert(append(s, "two", false));
    check_next(s, 10, "two");
    spool_advance(s);
    check_next(s, 10, "");
    ck_assert_ptr_null(spool_adopt(parent)); /* it is locked */

    snprintf(elsewhere, sizeof elsewhere, "%s-moved", parent);
    ck_assert_int_eq(rename(path, elsewhere), 0);
    ck_assert(append(s, "three", false));
    check_next(s, 10, "three");
    spool_advance(s);
    check_next(s, 10, "");
    ck_assert_int_eq(unlink(lock), 0); /* alone */
    ck_assert(append(s, "four", false));
    check_next(s, 10, "four");
    spool_advance(s);
    ck_assert_int_eq(access(lock, F_OK), 0);
    check_end(s, 1);
    snprintf(segment, sizeof segment, "rm -r %s", elsewhere);
    ck_assert_int_eq(system(segment), 0);
}
END_TEST

/* An error of reading is none of an empty spool: it is told, and what is there comes later. */
START_TEST(read_errors)
{
    struct rlimit before, none;
    buf lines;
    const char *problem;
    make_dead();
    put_text("dead/00000001.jsonl", "one\n");
    spool *s = adopt();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    buf_init(&lines, 0);
    ck_assert_uint_eq(spool_read(s, 10, &lines, &problem), 0);
    ck_assert_str_eq(problem, strerror(EMFILE));
    ck_assert_int_eq(waiting_bytes(s), 4);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    check_next(s, 10, "one");
    spool_advance(s);
    check_end(s, 0);
}
END_TEST

/* What is no spool is left alone. */
START_TEST(folders_of_others)
{
    make_parent();
    make_folder("empty");
    make_folder("backup");
    put_text("backup/00000001.jsonl", "one\n");
    make_folder("mixed");
    put_text("mixed/lock", "");
    put_text("mixed/notes.txt", "mine\n");
    make_folder("odd");
    put_text("odd/lock", "");
    put_text("odd/1.jsonl", "one\n");
    ck_assert_ptr_null(spool_adopt(parent));
    char command[256];
    snprintf(command, sizeof command,
             "cd %s && ls */* | wc -l | grep -qx 5 && [ -d empty ] && rm -r empty backup mixed odd", parent);
    ck_assert_int_eq(system(command), 0);
    remove_parent();
}
END_TEST

Suite *suite_spool(void)
{
    const TTest *const list[] = {order,
                                 adoption,
                                 segments_and_bound,
                                 reading_beside_writing,
                                 full_disk,
                                 file_limit,
                                 zeros,
                                 endless_line,
                                 missing_segment,
                                 stolen_segment,
                                 stolen_folder,
                                 read_errors,
                                 folders_of_others,
                                 NULL};
    return suite_of("spool", list);
}
