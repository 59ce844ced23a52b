/*
 * Handlers in a shared object that asynqd loads (see asynqd.conf(5)):
 *
 *     #include <asynq/asynq.h>
 *     #include <asynq/plugin.h>
 *
 *     static int evaluate(asynq_job *job, void *arg) { ... }
 *
 *     static const asynq_route routes[] = {{.pattern = "eval:", .handler = evaluate}, {0}};
 *     ASYNQ_PLUGIN(.name = "eval", .routes = routes)
 *
 *     cc -shared -fPIC eval.c -o eval.so $(pkg-config --cflags libasynq)
 *
 * It is not linked with libasynq: asynqd has all of its functions. In asynqd itself a crash takes everything with it;
 * with `isolate: true` the handlers run in worker processes, where it costs one attempt.
 */
#ifndef ASYNQ_PLUGIN_H
#define ASYNQ_PLUGIN_H

#include <asynq/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the interface of plugins. It changes when a plugin that was built before cannot be used any more, and
 * is part of the name of its function asynq_plugin_1(). */
#define ASYNQ_PLUGIN_VERSION 1

/*
 * A plugin: the handlers of a shared object that asynqd loads. Defined by ASYNQ_PLUGIN(); it and what it points to stay
 * as they are while the object is loaded.
 */
typedef struct asynq_plugin {
    const asynq_sizes *sizes;  /* set by ASYNQ_PLUGIN */
    const char *name;          /* for logs; required */
    const asynq_route *routes; /* a table that ends with an empty row; required */
    /*
     * Called before any handler, with the text `config` of the configuration ("" if there is none). Returns 0, or a
     * status after filling `error`: then asynqd does not start, or keeps the configuration that it has. May be NULL.
     * Thread: one that does nothing else meanwhile, not always the same; never at the same time as stop().
     */
    int (*start)(const char *config, asynq_error *error);
    /* Called when no handler runs any more. May be NULL. Thread: as of start(). */
    void (*stop)(void);
} asynq_plugin;

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_plugin_sizes[] ASYNQ_UNUSED = {
    1,
    sizeof(asynq_plugin),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_plugin ASYNQ_UNUSED = {
    {asynq_client_sizes, asynq_server_sizes, NULL, NULL, NULL, NULL, asynq_plugin_sizes}};

/*
 * Defines the plugin of a shared object; the arguments are initialisers of an asynq_plugin. Written once per object, at
 * file level, without a semicolon. In C++ define asynq_plugin_1() by hand.
 */
#define ASYNQ_PLUGIN(...)                                                                                              \
    ASYNQ_API const asynq_plugin *asynq_plugin_1(void);                                                                \
    ASYNQ_API const asynq_plugin *asynq_plugin_1(void)                                                                 \
    {                                                                                                                  \
        static const asynq_plugin plugin = {.sizes = &asynq_sizes_of_plugin, __VA_ARGS__};                             \
        return &plugin;                                                                                                \
    }

#ifdef __cplusplus
}
#endif

#endif
