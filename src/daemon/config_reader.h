/*
 * Reading the configuration again, while asynqd works. Files may be slow, names of users may be looked up, plug-ins are
 * loaded in processes that may hang: so a thread does it, and the loop is told when it is done.
 *
 * Thread: that of the loop.
 */
#ifndef DAEMON_CONFIG_READER_H
#define DAEMON_CONFIG_READER_H

#include "base/log.h"
#include "daemon/config.h"
#include "event/loop.h"

typedef struct config_reader config_reader;

typedef struct config_reader_options {
    loop *loop;
    log_sink *log;
    const config_sources *sources; /* stays the caller's, and there */
    /* `fresh` becomes the callee's; NULL: out of memory. See config_load(). */
    void (*done)(void *arg, config *fresh, bool is_valid);
    void *arg;
} config_reader_options;

/* NULL: out of memory, or of descriptors. */
config_reader *config_reader_new(const config_reader_options *options);
/* While it reads, what was asked for since counts once: it reads again when it is done. */
void config_reader_start(config_reader *reader);
/* Waits for the thread. Accepts NULL. */
void config_reader_free(config_reader *reader);

#endif
