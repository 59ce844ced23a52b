/* See file_schedule.h. */
#include "daemon/file_schedule.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "handler/route_lookup.h"

#include <asynq/scheduler.h>

enum { FILE_SCHEDULE_WITHIN_MS = 5000 };

struct file_schedule {
    log_source source;
    route_lookup *lookup;
    asynq_scheduler *scheduler;

    pthread_t ender;
    bool has_ender;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over, is_left; /* under the lock: the thread has ended; nobody waits for it any more */
};

static int start_scheduler(file_schedule *s, const config *c, asynq_error *error)
{
    int64_t limit_ms = c->shutdown_timeout_ms;
    s->lookup = route_lookup_new(&c->routes);
    if (!s->lookup)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    s->scheduler = asynq_scheduler_new(
        &(asynq_scheduler_options){.redis = c->redis_uri,
                                   .prefix = c->prefix,
                                   .zone = c->schedule.zone,
                                   .file = c->schedule.file,
                                   .defaults = route_lookup_fill,
                                   .defaults_arg = s->lookup,
                                   .log = logger_line,
                                   .log_arg = &s->source,
                                   .log_level = config_log_level(c),
                                   .shutdown_timeout_ms =
                                       limit_ms < FILE_SCHEDULE_WITHIN_MS ? limit_ms : FILE_SCHEDULE_WITHIN_MS},
        error);
    return s->scheduler ? asynq_scheduler_start(s->scheduler, error) : error->code;
}

file_schedule *file_schedule_start(const config *c, logger *log, asynq_error *error)
{
    file_schedule *s = mem_calloc(1, sizeof *s);
    if (!s)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->over);
    s->source = (log_source){log, "scheduler"};
    if (!start_scheduler(s, c, error))
        return s;
    file_schedule_free(s);
    return NULL;
}

static void *file_schedule_end(void *arg)
{
    file_schedule *s = arg;
    asynq_scheduler_shutdown(s->scheduler);
    pthread_mutex_lock(&s->lock);
    s->is_over = true;
    bool is_left = s->is_left;
    pthread_cond_signal(&s->over);
    pthread_mutex_unlock(&s->lock);
    if (is_left)
        file_schedule_free(s);
    return NULL;
}

void file_schedule_begin_end(file_schedule *s)
{
    s->has_ender = !thread_start(&s->ender, file_schedule_end, s, NULL);
    if (!s->has_ender)
        file_schedule_end(s);
}

bool file_schedule_await_end(file_schedule *s, int64_t timeout_ms)
{
    struct timespec until = thread_wait_end(timeout_ms);
    int problem = 0;
    pthread_t ender = s->ender;
    bool has_ender = s->has_ender;
    pthread_mutex_lock(&s->lock);
    while (!s->is_over && !problem)
        problem = pthread_cond_timedwait(&s->over, &s->lock, &until);
    bool is_over = s->is_over;
    s->is_left = !is_over;
    pthread_mutex_unlock(&s->lock);
    if (is_over && has_ender)
        pthread_join(ender, NULL);
    else if (has_ender)
        pthread_detach(ender);
    return is_over;
}

void file_schedule_free(file_schedule *s)
{
    if (!s)
        return;
    asynq_scheduler_free(s->scheduler);
    route_lookup_free(s->lookup);
    pthread_cond_destroy(&s->over);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
