/* See config_reader.h. */
#include "daemon/config_reader.h"

#include "base/alloc.h"
#include "base/thread.h"
#include "event/waker.h"

struct config_reader {
    config_reader_options options;
    pthread_t thread;
    loop_waker wake;
    bool is_reading, is_wanted; /* wanted: once more */
    config *fresh;              /* the thread's, until it has woken the loop */
    bool is_valid;
};

static void *read_config(void *arg)
{
    config_reader *reader = arg;
    reader->fresh = config_load(reader->options.sources, &reader->is_valid);
    loop_waker_wake(&reader->wake);
    return NULL;
}

static void config_was_read(void *arg)
{
    config_reader *reader = arg;
    config *fresh = reader->fresh;
    pthread_join(reader->thread, NULL);
    reader->is_reading = false;
    reader->fresh = NULL;
    if (!reader->is_wanted) {
        reader->options.done(reader->options.arg, fresh, reader->is_valid);
        return;
    }
    config_free(fresh); /* it may be half of what there is now */
    reader->is_wanted = false;
    config_reader_start(reader);
}

config_reader *config_reader_new(const config_reader_options *options)
{
    config_reader *reader = mem_calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->options = *options;
    if (!loop_waker_init(options->loop, &reader->wake, config_was_read, reader))
        return reader;
    mem_free(reader);
    return NULL;
}

void config_reader_start(config_reader *reader)
{
    asynq_error error;
    if (reader->is_reading) {
        reader->is_wanted = true;
        return;
    }
    reader->is_reading = !thread_start(&reader->thread, read_config, reader, &error);
    if (!reader->is_reading)
        log_error(reader->options.log, "the configuration cannot be read again now: %s", error.text);
}

void config_reader_free(config_reader *reader)
{
    if (!reader)
        return;
    if (reader->is_reading)
        pthread_join(reader->thread, NULL);
    config_free(reader->fresh);
    loop_waker_clear(&reader->wake);
    mem_free(reader);
}
