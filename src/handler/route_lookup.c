/* See route_lookup.h. */
#include "handler/route_lookup.h"

#include "base/alloc.h"
#include "base/name_set.h"

#include <pthread.h>
#include <string.h>

typedef struct route_lookup_row {
    const char *pattern;
    asynq_task_options defaults;
} route_lookup_row;

struct route_lookup {
    pthread_mutex_t lock;
    route_lookup_row *rows;
    size_t count;
    name_set texts;
};

/*
 * Names of queues and patterns are few, and nobody knows how long those use them who have been told; so each that there
 * ever was stays, once. NULL: out of memory, or none.
 */
static const char *keep_text(route_lookup *l, const char *text)
{
    const name_entry *kept = text ? name_set_add(&l->texts, text) : NULL;
    return kept ? kept->name : NULL;
}

static bool fill_row(route_lookup *l, route_lookup_row *row, const route *r)
{
    *row = (route_lookup_row){keep_text(l, r->type), r->defaults};
    row->defaults.queue = keep_text(l, r->defaults.queue);
    return row->pattern && !row->defaults.queue == !r->defaults.queue;
}

bool route_lookup_set(route_lookup *l, const route_list *routes)
{
    route_lookup_row *rows = mem_calloc(routes->count + 1, sizeof *rows);
    bool is_made = rows != NULL;
    for (size_t i = 0; is_made && i < routes->count; i++)
        is_made = fill_row(l, &rows[i], &routes->items[i]);
    if (!is_made) {
        mem_free(rows);
        return false;
    }
    pthread_mutex_lock(&l->lock);
    route_lookup_row *before = l->rows;
    l->rows = rows;
    l->count = routes->count;
    pthread_mutex_unlock(&l->lock);
    mem_free(before);
    return true;
}

/* As a mux chooses: the longest pattern with which the type begins. */
bool route_lookup_find(route_lookup *l, const char *type, asynq_task_options *defaults)
{
    const route_lookup_row *found = NULL;
    size_t longest = 0;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->count; i++) {
        size_t length = strlen(l->rows[i].pattern);
        if (length >= longest && strncmp(type, l->rows[i].pattern, length) == 0) {
            longest = length;
            found = &l->rows[i];
        }
    }
    if (found)
        *defaults = found->defaults;
    pthread_mutex_unlock(&l->lock);
    return found != NULL;
}

void route_lookup_fill(const char *type, asynq_task_options *options, void *lookup)
{
    (void)route_lookup_find(lookup, type, options);
}

route_lookup *route_lookup_new(const route_list *routes)
{
    route_lookup *l = mem_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    if (route_lookup_set(l, routes))
        return l;
    route_lookup_free(l);
    return NULL;
}

void route_lookup_free(route_lookup *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    mem_free(l->rows);
    name_set_clear(&l->texts);
    mem_free(l);
}
