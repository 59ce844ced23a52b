/* See mux.h. */
#include "server/mux.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NESTED = 16 };

typedef struct mux_middleware {
    asynq_middleware run;
    void *arg;
} mux_middleware;

struct asynq_mux {
    asynq_route *routes; /* sorted by pattern; patterns are owned */
    size_t route_count;
    mux_middleware *middleware; /* outermost first */
    size_t middleware_count;
    asynq_route not_found;
};

struct asynq_next {
    const asynq_mux *mux;
    const asynq_route *route;
    size_t depth; /* middleware entered already */
};

static int fail_not_found(asynq_job *job, void *arg)
{
    (void)arg;
    const char *type = asynq_job_type(job);
    buf quoted;
    buf_init(&quoted, 0);
    text_append_quoted(&quoted, type, strlen(type));
    int outcome = asynq_fail(job, "handler not found for task %s", quoted.data ? quoted.data : "");
    buf_clear(&quoted);
    return outcome;
}

asynq_mux *asynq_mux_new(void)
{
    asynq_mux *mux = mem_calloc(1, sizeof *mux);
    if (mux)
        mux->not_found = (asynq_route){.pattern = "", .handler = fail_not_found};
    return mux;
}

void asynq_mux_free(asynq_mux *mux)
{
    if (!mux)
        return;
    for (size_t i = 0; i < mux->route_count; i++) {
        mem_free((char *)(uintptr_t)mux->routes[i].pattern);
        mem_free((char *)(uintptr_t)mux->routes[i].limit.scope);
    }
    mem_free(mux->routes);
    mem_free(mux->middleware);
    mem_free(mux);
}

bool mux_is_empty(const asynq_mux *mux)
{
    return !mux->route_count && mux->not_found.handler == fail_not_found;
}

size_t mux_count(const asynq_mux *mux)
{
    return mux->route_count;
}

const asynq_route *mux_at(const asynq_mux *mux, size_t index)
{
    return &mux->routes[index];
}

/* The first place whose pattern is not below `pattern`. */
static size_t mux_place(const asynq_mux *mux, const char *pattern, size_t length, bool *found)
{
    size_t low = 0, high = mux->route_count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *other = mux->routes[middle].pattern;
        int order = strncmp(other, pattern, length);
        if (!order && other[length])
            order = 1;
        if (!order) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int check_retry(const asynq_route *route, asynq_error *error)
{
    const asynq_retry_policy *policy = &route->retry;
    bool has_delay = policy->kind == ASYNQ_RETRY_CONSTANT || policy->kind == ASYNQ_RETRY_EXPONENTIAL;
    if ((unsigned)policy->kind > ASYNQ_RETRY_ASYNQ)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\" has an unknown kind of retry policy: %d",
                         route->pattern, (int)policy->kind);
    if (has_delay ? policy->delay_ms <= 0 : policy->delay_ms != 0)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\": delay_ms of its retry policy %s", route->pattern,
                         has_delay ? "must be more than 0" : "is set, but its kind does not use it");
    if (policy->max_delay_ms < 0 || (policy->max_delay_ms && policy->max_delay_ms < policy->delay_ms))
        return error_set(error, ASYNQ_E_INVALID,
                         "pattern \"%s\": max_delay_ms of its retry policy is less than delay_ms", route->pattern);
    if (policy->jitter_percent < 0 || policy->jitter_percent > 100)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\": jitter_percent of its retry policy is not 0 to 100",
                         route->pattern);
    return ASYNQ_OK;
}

static int check_limit(const asynq_mux *mux, const asynq_route *route, asynq_error *error)
{
    const asynq_limit *limit = &route->limit;
    if (!limit->scope && !limit->max)
        return ASYNQ_OK;
    if (!limit->scope || text_is_blank(limit->scope, strlen(limit->scope)) || strlen(limit->scope) > ASYNQ_NAME_MAX)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\": the scope of its limit is blank or too long",
                         route->pattern);
    if (limit->max < 1)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\": its limit must be at least 1", route->pattern);
    for (size_t i = 0; i < mux->route_count; i++) {
        const asynq_limit *other = &mux->routes[i].limit;
        if (other->scope && strcmp(other->scope, limit->scope) == 0 && other->max != limit->max)
            return error_set(error, ASYNQ_E_INVALID,
                             "patterns \"%s\" and \"%s\" have different limits for the scope \"%s\"", route->pattern,
                             mux->routes[i].pattern, limit->scope);
    }
    return ASYNQ_OK;
}

int asynq_mux_handle(asynq_mux *mux, const asynq_route *route, asynq_error *error)
{
    bool taken;
    if (!route->pattern || (*route->pattern && text_is_blank(route->pattern, strlen(route->pattern))))
        return error_set(error, ASYNQ_E_INVALID,
                         "asynq: invalid pattern: a route's pattern is %s; \"\" takes what no other takes",
                         route->pattern ? "blank" : "NULL");
    if (!route->handler)
        return error_set(error, ASYNQ_E_INVALID, "asynq: nil handler for pattern \"%s\"", route->pattern);
    if (route->kind != ASYNQ_HANDLER_THREAD && route->kind != ASYNQ_HANDLER_ASYNC)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\" has an unknown kind of handler: %d", route->pattern,
                         (int)route->kind);
    if (route->deferred_start && route->kind != ASYNQ_HANDLER_ASYNC)
        return error_set(error, ASYNQ_E_INVALID, "pattern \"%s\": only an asynchronous handler can start later",
                         route->pattern);
    int status = check_retry(route, error);
    if (!status)
        status = check_limit(mux, route, error);
    if (status)
        return status;
    size_t at = mux_place(mux, route->pattern, strlen(route->pattern), &taken);
    if (taken)
        return error_set(error, ASYNQ_E_INVALID, "asynq: multiple registrations for %s", route->pattern);

    asynq_route *routes = mem_realloc(mux->routes, (mux->route_count + 1) * sizeof *routes);
    if (!routes)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    mux->routes = routes;
    char *pattern = mem_strdup(route->pattern);
    char *scope = route->limit.scope ? mem_strdup(route->limit.scope) : NULL;
    if (!pattern || (route->limit.scope && !scope)) {
        mem_free(pattern);
        mem_free(scope);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    memmove(routes + at + 1, routes + at, (mux->route_count - at) * sizeof *routes);
    routes[at] = *route;
    routes[at].pattern = pattern;
    routes[at].limit.scope = scope;
    mux->route_count++;
    return ASYNQ_OK;
}

int asynq_mux_use(asynq_mux *mux, asynq_middleware middleware, void *arg, asynq_error *error)
{
    if (!middleware)
        return error_set(error, ASYNQ_E_INVALID, "the middleware is NULL");
    mux_middleware *list = mem_realloc(mux->middleware, (mux->middleware_count + 1) * sizeof *list);
    if (!list)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    list[mux->middleware_count++] = (mux_middleware){middleware, arg};
    mux->middleware = list;
    return ASYNQ_OK;
}

void asynq_mux_set_not_found(asynq_mux *mux, asynq_handler handler, void *arg)
{
    mux->not_found.handler = handler ? handler : fail_not_found;
    mux->not_found.arg = arg;
}

const asynq_route *mux_find(const asynq_mux *mux, const char *type)
{
    for (size_t length = strlen(type); length; length--) {
        bool found;
        size_t at = mux_place(mux, type, length, &found);
        if (found)
            return &mux->routes[at];
        /* Any prefix of the type that is a pattern sorts before the type itself; none left: no match. */
        if (at == 0)
            break;
    }
    bool takes_all = mux->route_count && !*mux->routes[0].pattern; /* the empty pattern comes first */
    return takes_all ? &mux->routes[0] : &mux->not_found;
}

const asynq_route *mux_innermost(const asynq_route *route, const char *type)
{
    for (int depth = 0; route->handler == asynq_mux_dispatch && depth < MAX_NESTED; depth++)
        route = mux_find(route->arg, type);
    return route;
}

const char *asynq_mux_find(const asynq_mux *mux, const char *type, asynq_handler *handler, void **arg)
{
    const asynq_route *route = mux_find(mux, type);
    if (handler)
        *handler = route->handler;
    if (arg)
        *arg = route->arg;
    return route->pattern;
}

const char *asynq_mux_match(const asynq_mux *mux, const char *type)
{
    return mux_find(mux, type)->pattern;
}

int asynq_next_run(asynq_next *next, asynq_job *job)
{
    if (next->depth == next->mux->middleware_count)
        return next->route->handler(job, next->route->arg);
    const mux_middleware *middleware = &next->mux->middleware[next->depth];
    asynq_next inner = {next->mux, next->route, next->depth + 1};
    return middleware->run(job, &inner, middleware->arg);
}

int mux_run(const asynq_mux *mux, const asynq_route *route, asynq_job *job)
{
    asynq_next next = {mux, route, 0};
    return asynq_next_run(&next, job);
}

int asynq_mux_dispatch(asynq_job *job, void *mux)
{
    return mux_run(mux, mux_find(mux, asynq_job_type(job)), job);
}
