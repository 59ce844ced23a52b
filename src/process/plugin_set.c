/* See plugin_set.h. */
#include "process/plugin_set.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"

struct plugin_set {
    plugin **items; /* by route */
    size_t count;
    errand leave;
};

static int load_route(plugin_set *set, size_t index, const route *own, asynq_error *error)
{
    const plugin_route *as_plugin = own->options;
    if (own->kind != &handler_plugin || as_plugin->is_isolated)
        return ASYNQ_OK;
    set->items[index] = plugin_load(as_plugin->path, as_plugin->config, error);
    return set->items[index] ? ASYNQ_OK : error->code;
}

plugin_set *plugin_set_load(const route_list *routes, asynq_error *error)
{
    plugin_set *set = mem_calloc(1, sizeof *set);
    if (set)
        set->items = mem_calloc(routes->count + 1, sizeof(plugin *));
    int status = set && set->items ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i < routes->count; i++) {
        status = load_route(set, i, &routes->items[i], error);
        set->count = i + 1;
    }
    if (!status)
        return set;
    plugin_set_free(set);
    return NULL;
}

plugin *plugin_set_at(const plugin_set *set, size_t index)
{
    return set && index < set->count ? set->items[index] : NULL;
}

void plugin_set_free(plugin_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        plugin_stop(set->items[i]);
    mem_free(set->items);
    mem_free(set);
}

/* ---- leaving ---- */

static void run_leave(errand *one)
{
    plugin_set *set = container_of(one, plugin_set, leave);
    for (size_t i = 0; i < set->count; i++)
        plugin_stop(set->items[i]);
    set->count = 0;
}

/* If it was not run, as the thread is ending, this runs it. */
static void leave_done(errand *one)
{
    plugin_set_free(container_of(one, plugin_set, leave));
}

static bool plugin_set_is_empty(const plugin_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i])
            return false;
    return true;
}

void plugin_set_leave(plugin_set *set, errands *thread)
{
    if (!set)
        return;
    set->leave = (errand){.run = run_leave, .done = leave_done};
    if (!thread || plugin_set_is_empty(set) || !errands_send(thread, &set->leave))
        plugin_set_free(set);
}
