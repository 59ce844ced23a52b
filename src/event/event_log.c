/* See event_log.h. */
#include "event/event_log.h"

#include <event2/event.h>
#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t event_log_lock = PTHREAD_MUTEX_INITIALIZER; /* of the limit: libevent has no thread */
static log_sink *event_log_sink;
static log_limit event_log_limit;

static void event_log_write(int severity, const char *text)
{
    pthread_mutex_lock(&event_log_lock);
    if (event_log_sink && severity != EVENT_LOG_DEBUG)
        log_event_repeated(event_log_sink, &event_log_limit, LOG_LIBEVENT, "%s", text);
    pthread_mutex_unlock(&event_log_lock);
}

void event_log_begin(log_sink *log)
{
    pthread_mutex_lock(&event_log_lock);
    event_log_sink = log;
    pthread_mutex_unlock(&event_log_lock);
    event_set_log_callback(event_log_write);
}

void event_log_end(void)
{
    event_set_log_callback(NULL);
    pthread_mutex_lock(&event_log_lock);
    event_log_sink = NULL;
    pthread_mutex_unlock(&event_log_lock);
}
