/* See capacity.h. */
#include "server/capacity.h"

#include "base/alloc.h"
#include "base/error.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A server that is to be told of room. */
typedef struct capacity_listener {
    loop_waker *waker;
    struct capacity_listener *next;
} capacity_listener;

struct asynq_capacity {
    _Atomic int refs;
    _Atomic int max, in_use;
    pthread_mutex_t lock;
    capacity_listener *listeners; /* under the lock */
};

/* ---- the capacity ---- */

asynq_capacity *asynq_capacity_new(int max)
{
    asynq_capacity *capacity = mem_calloc(1, sizeof *capacity);
    if (!capacity)
        return NULL;
    capacity->refs = 1;
    capacity->max = max > 0 ? max : 0;
    pthread_mutex_init(&capacity->lock, NULL);
    return capacity;
}

void asynq_capacity_free(asynq_capacity *capacity)
{
    if (!capacity || --capacity->refs)
        return;
    pthread_mutex_destroy(&capacity->lock);
    mem_free(capacity);
}

static void capacity_tell(asynq_capacity *capacity)
{
    capacity_listener *listener;
    pthread_mutex_lock(&capacity->lock);
    LL_FOREACH(capacity->listeners, listener)
        loop_waker_wake(listener->waker);
    pthread_mutex_unlock(&capacity->lock);
}

void asynq_capacity_set_max(asynq_capacity *capacity, int max)
{
    int before = atomic_exchange(&capacity->max, max > 0 ? max : 0);
    if (max > before)
        capacity_tell(capacity);
}

int asynq_capacity_in_use(const asynq_capacity *capacity)
{
    return capacity->in_use;
}

static int capacity_listen(asynq_capacity *capacity, loop_waker *waker)
{
    capacity_listener *listener = mem_calloc(1, sizeof *listener);
    if (!listener)
        return ASYNQ_E_NO_MEMORY;
    listener->waker = waker;
    pthread_mutex_lock(&capacity->lock);
    LL_PREPEND(capacity->listeners, listener);
    pthread_mutex_unlock(&capacity->lock);
    return ASYNQ_OK;
}

static void capacity_listen_no_more(asynq_capacity *capacity, const loop_waker *waker)
{
    capacity_listener *listener;
    pthread_mutex_lock(&capacity->lock);
    LL_FOREACH(capacity->listeners, listener)
        if (listener->waker == waker)
            break;
    if (listener)
        LL_DELETE(capacity->listeners, listener);
    pthread_mutex_unlock(&capacity->lock);
    mem_free(listener);
}

/* ---- what a server holds ---- */

static held_capacity *capacity_find(const asynq_server *server, const asynq_capacity *capacity)
{
    for (size_t i = 0; capacity && i < server->capacities.count; i++)
        if (server->capacities.items[i].capacity == capacity)
            return &server->capacities.items[i];
    return NULL;
}

void capacity_take(asynq_job *job)
{
    held_capacity *held = capacity_find(job->queue->server, job->route ? job->route->capacity : NULL);
    if (!held)
        return;
    held->taken++;
    held->capacity->in_use++;
}

/* Other servers hear of it only if there was no room before, so that full speed costs no wake-ups. */
static void capacity_drop(held_capacity *held, int count)
{
    int before = atomic_fetch_sub(&held->capacity->in_use, count);
    held->taken -= count;
    if (before >= held->capacity->max && before - count < held->capacity->max)
        capacity_tell(held->capacity);
}

void capacity_give_back(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    held_capacity *held = capacity_find(server, job->route ? job->route->capacity : NULL);
    if (!held || !held->taken)
        return;
    capacity_drop(held, 1);
    server->capacities.has_more_room = true;
}

void capacities_begin_one(asynq_server *server)
{
    server->capacities.unbegun--;
    server->capacities.has_more_room = true;
}

int capacity_room(const asynq_server *server, size_t index)
{
    const held_capacity *held = &server->capacities.items[index];
    int room = held->capacity->max - held->capacity->in_use - held->reserved - server->capacities.unbegun;
    return room > 0 ? room : 0;
}

/* ---- rules ---- */

/* Whether a pattern with a capacity takes the types of this one, too, if nothing more exact does. */
static bool capacity_is_above(const asynq_mux *mux, const char *pattern)
{
    for (size_t i = 0; i < mux_count(mux); i++) {
        const asynq_route *other = mux_at(mux, i);
        size_t length = strlen(other->pattern);
        if (other->capacity && strncmp(other->pattern, pattern, length) == 0 && pattern[length])
            return true;
    }
    return false;
}

static int capacity_longer(const void *a, const void *b)
{
    const lease_rule *x = a, *y = b;
    return (x->pattern.length < y->pattern.length) - (x->pattern.length > y->pattern.length);
}

static void capacity_make_rules(asynq_server *server)
{
    server_capacities *all = &server->capacities;
    for (size_t i = 0; i < mux_count(server->mux); i++) {
        const asynq_route *route = mux_at(server->mux, i);
        const held_capacity *held = capacity_find(server, route->capacity);
        if (held || capacity_is_above(server->mux, route->pattern))
            all->rules[all->rule_count++] =
                (lease_rule){bytes_of(route->pattern), held ? (size_t)(held - all->items) + 1 : 0};
    }
    qsort(all->rules, all->rule_count, sizeof *all->rules, capacity_longer);
}

static void capacity_changed(void *arg)
{
    asynq_server *server = arg;
    server->capacities.has_more_room = true; /* the round of leases at the end of the turn looks */
}

static int capacity_hold(asynq_server *server, asynq_capacity *capacity)
{
    server_capacities *all = &server->capacities;
    if (!capacity || capacity_find(server, capacity))
        return ASYNQ_OK;
    int status = capacity_listen(capacity, &all->changed);
    if (status)
        return status;
    capacity->refs++;
    all->items[all->count++] = (held_capacity){.capacity = capacity};
    return ASYNQ_OK;
}

int capacities_start(asynq_server *server)
{
    server_capacities *all = &server->capacities;
    size_t routes = mux_count(server->mux);
    all->changed.fd = -1;
    int status = loop_waker_init(server->loop, &all->changed, capacity_changed, server);
    if (status)
        return status;
    all->items = mem_calloc(routes + 1, sizeof *all->items);
    all->rules = mem_calloc(routes + 1, sizeof *all->rules);
    all->rooms = mem_calloc(routes + 1, sizeof *all->rooms);
    if (!all->items || !all->rules || !all->rooms)
        return ASYNQ_E_NO_MEMORY;
    for (size_t i = 0; i < routes && !status; i++)
        status = capacity_hold(server, mux_at(server->mux, i)->capacity);
    if (!status)
        capacity_make_rules(server);
    return status;
}

/* Handlers may still run; what they hold is not ours any more. */
void capacities_stop(asynq_server *server)
{
    server_capacities *all = &server->capacities;
    for (size_t i = 0; i < all->count; i++) {
        held_capacity *held = &all->items[i];
        capacity_drop(held, held->taken);
        capacity_listen_no_more(held->capacity, &all->changed);
        asynq_capacity_free(held->capacity);
    }
    all->count = all->rule_count = 0;
    mem_free(all->items);
    mem_free(all->rules);
    mem_free(all->rooms);
    all->items = NULL;
    all->rules = NULL;
    all->rooms = NULL;
    if (all->changed.cb)
        loop_waker_clear(&all->changed);
}
