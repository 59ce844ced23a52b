#include "unit.h"

#include "daemon/generation.h"
#include "daemon/meters.h"
#include "event/timer.h"
#include "handler/resources.h"
#include "http/http_client.h"
#include "process/call_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/* What outlives generations, and what one of them says. */
typedef struct world {
    loop *loop;
    loop_timer patience;
    log_sink log;
    logger logger;
    generation_options options;
    config *config;
    int complaints, ended;
} world;

static void note_line(asynq_log_level level, const char *text, void *arg)
{
    (void)text;
    ((world *)arg)->complaints += level == ASYNQ_LOG_ERROR;
}

static void note_end(generation *g, void *arg)
{
    world *own = arg;
    (void)g;
    own->ended++;
    loop_stop(own->loop);
}

static void lose_patience(void *arg)
{
    loop_stop(((world *)arg)->loop);
}

static int64_t none_run(void *arg)
{
    (void)arg;
    return 0;
}

static void limit_changed(void *arg)
{
    (void)arg;
}

static config *load(const char *text)
{
    static char *none[] = {NULL};
    char path[] = "/tmp/asynqd-unit-XXXXXX";
    bool is_valid;
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    config *c = config_load(&(config_sources){.file = path, .environment = none}, &is_valid);
    unlink(path);
    ck_assert(c && is_valid);
    return c;
}

static void world_begin(world *own, const char *text)
{
    *own = (world){.loop = loop_new(), .config = load(text)};
    loop_timer_init(own->loop, &own->patience, lose_patience, own);
    loop_timer_set(&own->patience, PATIENCE_MS);
    log_init(&own->log, note_line, own, ASYNQ_LOG_DEBUG);
    ck_assert(!logger_init(&own->logger, own->config->log.format, own->config->log.output, ASYNQ_LOG_ERROR));
    own->options = (generation_options){.loop = own->loop,
                                        .log = &own->log,
                                        .logger = &own->logger,
                                        .meters = metrics_new(meter_table, METER_COUNT),
                                        .files = call_files_new(own->loop, &own->log, NULL),
                                        .http = http_client_new(own->loop, &own->log, NULL),
                                        .resources = resources_new(&(shortage_options){
                                            .loop = own->loop,
                                            .log = &own->log,
                                            .running = none_run,
                                            .changed = limit_changed,
                                        }),
                                        .ended = note_end,
                                        .arg = own};
}

static void world_end(world *own)
{
    loop_timer_cancel(&own->patience);
    call_files_free(own->options.files);
    http_client_free(own->options.http);
    resources_free(own->options.resources);
    metrics_free(own->options.meters);
    loop_free(own->loop);
    logger_clear(&own->logger);
    log_clear(&own->log);
    config_free(own->config);
}

/* What has begun can end, whatever has run out since. */
START_TEST(end_without_threads)
{
    world own;
    generation *g;
    asynq_error error;
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    world_begin(&own, "redis: unix:///none/redis.sock\nroutes: [{type: t, command: {argv: [\"true\"]}}]\n");
    g = generation_prepare(&own.options, &(generation_source){.config = own.config}, &error);
    ck_assert_msg(g && !generation_start(&g, NULL, &error), "%s", error.text);
    if (geteuid() == 0)
        ck_assert_int_eq(setuid(61234), 0); /* root may have any number of threads */
    setrlimit(RLIMIT_NPROC, &none);
    generation_retire(g, false);
    loop_run(own.loop);
    ck_assert_int_eq(own.ended, 1);
    ck_assert_int_eq(own.complaints, 0);
    generation_free(g);
    world_end(&own);
    setrlimit(RLIMIT_NPROC, &before); /* the leak sanitizer has a thread of its own, which traces us */
    prctl(PR_SET_DUMPABLE, 1);
}
END_TEST

Suite *suite_generation(void)
{
    const TTest *const list[] = {end_without_threads, NULL};
    return suite_of("generations", list);
}
