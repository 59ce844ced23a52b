/* See plugin.h. */
#include "process/plugin.h"

#include "base/alloc.h"
#include "base/error.h"
#include "handler/route.h"
#include "process/worker_pools.h"
#include "process/worker_program.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define ENTRY_NAME(version) ENTRY_NAME_OF(version)
#define ENTRY_NAME_OF(version) "asynq_plugin_" #version

struct plugin {
    void *library;
    structs_call structs; /* what `own` is in, if the plug-in was built for another version */
    const asynq_plugin *own;
    asynq_mux *mux;
    char *path, *config;
    int users;
    plugin *next;
};

static plugin *loaded; /* of the thread that loads, see plugin_load() */

/* ---- loading ---- */

typedef const asynq_plugin *(*plugin_entry)(void);

/* A plug-in of another version has another entry. */
static int complain_of_entry(const char *path, void *library, asynq_error *error)
{
    for (int version = 0; version < 100; version++) {
        char name[64];
        snprintf(name, sizeof name, "asynq_plugin_%d", version);
        if (dlsym(library, name))
            return error_set(error, ASYNQ_E_VERSION, "%s: is a plug-in of version %d; this asynqd takes version %d",
                             path, version, ASYNQ_PLUGIN_VERSION);
    }
    return error_set(error, ASYNQ_E_INVALID, "%s: is no plug-in of asynqd, as it has no %s", path,
                     ENTRY_NAME(ASYNQ_PLUGIN_VERSION));
}

int plugin_open(const char *path, void **library, structs_call *structs, const asynq_plugin **own, asynq_error *error)
{
    structs_begin(structs, NULL);
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*library)
        return error_set(error, ASYNQ_E_NOT_FOUND, "%s", dlerror());
    plugin_entry entry = (plugin_entry)(uintptr_t)dlsym(*library, ENTRY_NAME(ASYNQ_PLUGIN_VERSION));
    *own = entry ? entry() : NULL;
    if (!entry)
        return complain_of_entry(path, *library, error);
    if (!*own || !(*own)->sizes)
        return error_set(error, ASYNQ_E_INVALID, "%s: the plug-in has no sizes; define it with ASYNQ_PLUGIN()", path);
    structs_begin(structs, (*own)->sizes);
    *own = structs_argument(structs, STRUCT_PLUGIN, *own, 1);
    asynq_error problem;
    int status = structs_status(structs, &problem);
    if (status)
        return error_set(error, status, "%s: %s", path, problem.text);
    if (!(*own)->routes || !(*own)->routes->pattern)
        return error_set(error, ASYNQ_E_INVALID, "%s: has no routes", path);
    return ASYNQ_OK;
}

static int build_mux(plugin *p, asynq_error *error)
{
    int status = ASYNQ_OK;
    p->mux = asynq_mux_new();
    if (!p->mux)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (const asynq_route *row = p->own->routes; !status && row->pattern; row++)
        status = asynq_mux_handle(p->mux, row, error);
    return status;
}

static void plugin_free(plugin *p)
{
    asynq_mux_free(p->mux);
    (void)structs_end(&p->structs, ASYNQ_OK, NULL);
    mem_free(p->path);
    mem_free(p->config);
    mem_free(p);
}

static int start_plugin(plugin *p, asynq_error *error)
{
    asynq_error problem = {0};
    p->users = 1;
    if (!p->path || !p->config)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = plugin_open(p->path, &p->library, &p->structs, &p->own, error);
    if (!status)
        status = build_mux(p, error);
    if (!status && p->own->start) {
        status = p->own->start(p->config, &problem);
        if (status)
            error_set(error, status, "%s: %s", p->path, *problem.text ? problem.text : "it does not start");
    }
    return status;
}

/* Its state is that of the process, so it cannot run with two configurations. */
static plugin *plugin_share(plugin *p, const char *config, asynq_error *error)
{
    if (strcmp(p->config, config) != 0) {
        error_set(
            error, ASYNQ_E_CONFLICT,
            "%s: runs with the config \"%s\", and cannot have \"%s\" too; with `isolate: true` it can, or after a "
            "restart",
            p->path, p->config, config);
        return NULL;
    }
    p->users++;
    return p;
}

plugin *plugin_load(const char *path, const char *config, asynq_error *error)
{
    config = config ? config : "";
    for (plugin *p = loaded; p; p = p->next)
        if (strcmp(p->path, path) == 0)
            return plugin_share(p, config, error);
    plugin *p = mem_calloc(1, sizeof *p);
    if (!p)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    structs_begin(&p->structs, NULL);
    p->path = mem_strdup(path);
    p->config = mem_strdup(config);
    if (start_plugin(p, error)) {
        plugin_free(p);
        return NULL;
    }
    LL_PREPEND(loaded, p);
    return p;
}

void plugin_stop(plugin *p)
{
    if (!p || --p->users)
        return;
    LL_DELETE(loaded, p);
    if (p->own->stop)
        p->own->stop();
    plugin_free(p);
}

asynq_mux *plugin_mux(const plugin *p)
{
    return p->mux;
}

const char *plugin_name(const plugin *p)
{
    return p->own->name ? p->own->name : "?";
}

/* ---- isolated ones ---- */

/* One pool for all routes of a plug-in with one configuration. */
static worker_options *plugin_find_pool(const worker_list *workers, const char *name)
{
    for (size_t i = 0; i < workers->count; i++)
        if (strcmp(workers->items[i].name, name) == 0)
            return &workers->items[i];
    return NULL;
}

static bool plugin_add_pool(const plugin_route *own, const char *name, worker_list *workers, arena *memory)
{
    const char **argv = arena_alloc(memory, 5 * sizeof *argv);
    workers->items = arena_grow(memory, workers->items, workers->count, &workers->capacity, sizeof *workers->items);
    if (!argv || !workers->items)
        return false;
    worker_options *options = &workers->items[workers->count++];
    *options = (worker_options){.name = name};
    setting_preset(worker_pool_table, options, memory);
    const char *words[] = {PLUGIN_PROGRAM, PLUGIN_HOST_FLAG, own->path, own->config ? own->config : ""};
    memcpy(argv, words, sizeof words);
    options->argv = (setting_list){argv, sizeof words / sizeof *words};
    options->size = own->size;
    options->stamp = worker_program_stamp(options);
    return true;
}

bool plugin_add_pools(const route_list *routes, worker_list *workers, arena *memory)
{
    for (size_t i = 0; i < routes->count; i++) {
        plugin_route *own = routes->items[i].options;
        if (routes->items[i].kind != &handler_plugin || !own->is_isolated || !own->path)
            continue;
        char name[4200];
        int length = snprintf(name, sizeof name, "%s %s", own->path, own->config ? own->config : "");
        own->worker.pool = arena_dup(memory, name, (size_t)length - (own->config ? 0 : 1));
        if (!own->worker.pool)
            return false;
        worker_options *known = plugin_find_pool(workers, own->worker.pool);
        if (known && known->size < own->size)
            known->size = own->size;
        else if (!known && !plugin_add_pool(own, own->worker.pool, workers, memory))
            return false;
    }
    return true;
}

/* ---- the handler ---- */

#define PLUGIN(field) offsetof(plugin_route, field)
static const setting plugin_table[] = {
    {.name = "path",
     .kind = SETTING_TEXT,
     .offset = PLUGIN(path),
     .is_needed = true,
     .value = "PATH",
     .example = "/usr/lib/asynqd/eval.so",
     .help = "Shared object. Its own routes select among its handlers."},
    {.name = "config",
     .kind = SETTING_TEXT,
     .offset = PLUGIN(config),
     .value = "TEXT",
     .help = "String that the plugin gets at its start."},
    {.name = "isolate",
     .kind = SETTING_SWITCH,
     .offset = PLUGIN(is_isolated),
     .preset = "false",
     .help = "Run in worker processes, where a crash costs one attempt. Otherwise the plugin runs in threads of "
             "asynqd, which is faster, and a crash ends asynqd."},
    {.name = "size",
     .kind = SETTING_NUMBER,
     .offset = PLUGIN(size),
     .min = 1,
     .max = 1000,
     .preset = "1",
     .help = "Number of processes if `isolate` is set; each runs one task at a time."},
    {0},
};

static int plugin_prepare(settings *file, settings_node *node, void *target, asynq_error *error)
{
    const plugin_route *own = target;
    asynq_error problem;
    /* Apart in any case: a mistake in a configuration is to be told, also by one that is at work. */
    return plugin_check_apart(own->path, &problem) ? settings_complain(file, node, error, "path: %s", problem.text)
                                                   : ASYNQ_OK;
}

/* Isolated ones are handed to their pool; the others are in the server's mux, and never come here. */
static void plugin_begin(handler_call *call)
{
    const plugin_route *own = call->route->options;
    worker_pools_begin(call, own->worker.pool);
}

static asynq_capacity *plugin_capacity(handler_host *host, const route *r)
{
    const plugin_route *own = r->options;
    return own->is_isolated ? worker_pools_capacity(host, own->worker.pool) : NULL;
}

static void plugin_cancel(handler_call *call)
{
    handler_worker.cancel(call);
}

const handler_kind handler_plugin = {
    .name = "plugin",
    .table = plugin_table,
    .size = sizeof(plugin_route),
    .help = "Runs handlers in C from a shared object, see <asynq/plugin.h>.",
    .takes_text = true,
    .waits = true,
    .capacity = plugin_capacity,
    .prepare = plugin_prepare,
    .begin = plugin_begin,
    .cancel = plugin_cancel,
};
