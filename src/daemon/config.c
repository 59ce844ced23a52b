/* See config.h. */
#include "daemon/config.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/text.h"
#include "daemon/routes.h"

/* ---- read again ---- */

typedef struct keeping {
    config *fresh;
    const config *first;
    void (*told)(void *arg, const char *path);
    void *arg;
} keeping;

static void keep_row(const setting *row, const char *path, void *target, void *arg)
{
    const keeping *to = arg;
    const void *first = (const char *)to->first + ((char *)target - (char *)to->fresh);
    if (row->is_reloaded)
        return;
    if (!setting_is_same(row, target, first))
        to->told(to->arg, path);
    setting_copy(row, target, first);
}

void config_keep(config *fresh, const config *first, void (*told)(void *arg, const char *path), void *arg)
{
    setting_walk(config_table, fresh, keep_row, &(keeping){fresh, first, told, arg});
    fresh->redis_uri = first->redis_uri;
    fresh->private_directory = first->private_directory;
    fresh->spool = first->spool;
}

/* ---- loading ---- */

config *config_load(const config_sources *sources, bool *is_valid)
{
    config *c = mem_calloc(1, sizeof *c);
    *is_valid = false;
    if (!c)
        return NULL;
    /* The last three are set by Kubernetes for a service called asynqd. */
    static const char *const others[] = {"CONFIG", "PORT", "PORT_*", "SERVICE_*", NULL};
    c->source = option_set_new(config_table, "ASYNQD", others, c);
    if (!c->source) {
        mem_free(c);
        return NULL;
    }
    c->refs = 1;
    *is_valid = !sources->file || option_set_read_file(c->source, sources->file);
    *is_valid &= option_set_read_environment(c->source, sources->environment);
    *is_valid &= option_set_read_flags(c->source, sources->flag_count, sources->flags);
    config_check(c);
    *is_valid &= !option_set_complaints(c->source);
    return c;
}

config *config_hold(config *c)
{
    c->refs++;
    return c;
}

static void run_clear(errand *one)
{
    config *c = container_of(one, config, gone);
    route_list_clear(&c->routes);
    option_set_free(c->source);
    c->source = NULL;
}

static void clear_done(errand *one)
{
    run_clear(one); /* if it was not run */
    mem_free(container_of(one, config, gone));
}

void config_free(config *c)
{
    if (!c || --c->refs)
        return;
    c->gone = (errand){.run = run_clear, .done = clear_done};
    if (!c->errands || !errands_send(c->errands, &c->gone))
        clear_done(&c->gone);
}

void config_describe(const config *c, char *text, size_t size)
{
    snprintf(text, size, "%zu routes, %zu queues, concurrency %d", c->routes.count, c->queues.count,
             (int)c->concurrency);
}

static void tell_doubt(void *log, const char *line, size_t length)
{
    log_event(log, LOG_CONFIG_WARNING, "%.*s", (int)length, line);
}

void config_tell_doubts(const config *c, log_sink *log)
{
    const char *doubts = option_set_doubts(c->source);
    text_each_line(doubts, doubts ? strlen(doubts) : 0, tell_doubt, log);
}

asynq_log_level config_log_level(const config *c)
{
    return (asynq_log_level)(c->log.level - 1); /* level_names are in the library's order, which begins with -1 */
}

char *config_dup(config *c, const char *format, ...)
{
    buf text;
    va_list args;
    buf_init(&text, 0);
    va_start(args, format);
    buf_append_formatv(&text, format, args);
    va_end(args);
    char *made = arena_dup(option_set_memory(c->source), text.data ? text.data : "", text.length);
    buf_clear(&text);
    return made;
}
