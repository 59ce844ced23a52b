#include "unit.h"

#include "base/alloc.h"
#include "daemon/log_writer.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int forbid(void)
{
    return 0;
}

static void add_lines(log_writer *w, size_t count)
{
    char line[500];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (size_t i = 0; i < count; i++)
        log_writer_add(w, (bytes){line, sizeof line});
}

static size_t lines_read;

static void *read_lines(void *fd)
{
    char text[65536];
    for (ssize_t length; (length = read(*(int *)fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < length; i++)
            lines_read += text[i] == '\n';
    return NULL;
}

/* Each line comes out, or is counted as dropped: also those that waited when there was no memory for one more. */
START_TEST(losses)
{
    enum { BEFORE = 1000, AFTER = 500, LATER = 10 };
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_writer *w = log_writer_start(ends[1], NULL);
    ck_assert_ptr_nonnull(w);
    add_lines(w, BEFORE); /* more than the pipe takes, which nobody reads */
    ck_assert_uint_eq(log_writer_dropped(w), 0);
    mem_allow_hook = forbid;
    add_lines(w, AFTER); /* until the queue has to grow */
    mem_allow_hook = NULL;
    log_writer_add(w, (bytes){NULL, 0}); /* of one that could not even be made */
    add_lines(w, LATER);
    uint64_t dropped = log_writer_dropped(w);
    ck_assert_uint_gt(dropped, 1);
    pthread_t reader;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_lines, &ends[0]), 0);
    log_writer_stop(w);
    close(ends[1]);
    pthread_join(reader, NULL);
    close(ends[0]);
    ck_assert_uint_eq(lines_read + dropped, BEFORE + AFTER + 1 + LATER);
}
END_TEST

Suite *suite_log_writer(void)
{
    const TTest *const list[] = {losses, NULL};
    return suite_of("log writer", list);
}
