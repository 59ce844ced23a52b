/* Routing of task types to handlers (spec, chapter 9). */
#ifndef SERVER_MUX_H
#define SERVER_MUX_H

#include <asynq/server.h>

/* The route that takes `type`: exact, else the longest prefix. Never NULL: without a match the not-found route. */
const asynq_route *mux_find(const asynq_mux *mux, const char *type);

/* The route at the end of muxes that are handlers of muxes; its policies count. */
const asynq_route *mux_innermost(const asynq_route *route, const char *type);

/* Runs the middleware and then the route's handler. */
int mux_run(const asynq_mux *mux, const asynq_route *route, asynq_job *job);

/* The routes, by number. */
size_t mux_count(const asynq_mux *mux);
const asynq_route *mux_at(const asynq_mux *mux, size_t index);

bool mux_is_empty(const asynq_mux *mux);

#endif
