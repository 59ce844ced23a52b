/*
 * Enqueueing tasks in time.
 *
 *     asynq_scheduler *scheduler = asynq_scheduler_new(&(asynq_scheduler_options){ .zone = "Europe/Berlin" }, &error);
 *     asynq_periodic report = { .spec = "30 6 * * mon-fri", .task = { .type = "report:daily" } };
 *     if (asynq_scheduler_register(scheduler, &report, NULL, &error) || asynq_scheduler_run(scheduler, &error))
 *         fprintf(stderr, "%s\n", error.text);
 *
 * Any number of schedulers may have the same entries: each tick of an entry is enqueued once. One of them holds the
 * entry and enqueues its tasks; if it falls silent for some seconds, another takes over and goes on behind the last
 * tick, and what the first one still sends is refused. The last tick of each entry is kept in Redis for 90 days after
 * the last scheduler ended; so ticks that were missed meanwhile can be made up for, and "@every" goes on in its old
 * beat. Time is Redis's clock, on which all schedulers agree. Each task carries its tick in the header
 * ASYNQ_TICK_HEADER.
 *
 * With `independent`, a scheduler behaves as Go's: it enqueues every tick on its own, at its own clock; what it misses
 * is gone.
 *
 * Entries can also come from a provider, such as a function that asks a database, or from a file, whose form is told in
 * asynq-schedule(5); what changes there changes here while the scheduler runs.
 *
 * In both ways user interfaces show the entries and what they have enqueued. Schedulers in Go on the same Redis are
 * not disturbed.
 */
#ifndef ASYNQ_SCHEDULER_H
#define ASYNQ_SCHEDULER_H

#include <asynq/client.h>
#include <asynq/cron.h>
#include <asynq/error.h>
#include <asynq/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The header that names the tick a task was enqueued for, as "2006-01-02T15:04:05Z". */
#define ASYNQ_TICK_HEADER "libasynq-tick"

/*
 * What to do with ticks that were missed: those that are late when one of them is late by more than 30 s, because no
 * scheduler ran or Redis was away. (A scheduler that takes over from a dead one is not that late, and enqueues every
 * tick.) Ticks further back than the limit are given up in any case.
 */
typedef enum asynq_catch_up {
    ASYNQ_CATCH_UP_ONCE = 0, /* enqueue the last of them */
    ASYNQ_CATCH_UP_ALL = 1,  /* enqueue each, in order */
    ASYNQ_CATCH_UP_SKIP = 2  /* enqueue none; go on with the next */
} asynq_catch_up;

/* A periodic entry. */
typedef struct asynq_periodic {
    const char *spec; /* see <asynq/cron.h> */
    asynq_task task;
    const asynq_task_options *options; /* may be NULL; they override the task's own, and are those that are shown */

    /* What follows is not for independent schedulers, but for `zone`. */
    /*
     * Names the entry over restarts and among schedulers; at most ASYNQ_NAME_MAX bytes. With a name, spec and task can
     * change and the entry stays the same one. Default: made from spec, type, payload and shown options.
     */
    const char *name;
    const char *zone; /* default: that of the scheduler */
    asynq_catch_up catch_up;
    int64_t catch_up_limit_ms; /* default 1 h; ASYNQ_NONE: all that Redis remembers */
    int64_t jitter_ms;         /* enqueue up to so much later, always by the same time for one entry */
} asynq_periodic;

enum { ASYNQ_ENTRY_ID_SIZE = 37 }; /* a UUID and its NUL */

/*
 * Entries of a scheduler have ids, by which user interfaces know them: random ones as in Go for independent
 * schedulers; otherwise made from name and queue, so that all schedulers have the same one and the history goes on
 * after a restart.
 */
typedef struct asynq_scheduler asynq_scheduler;

/* ---- entries that come from elsewhere ---- */

/* Collects the entries that there shall be. Only for the provider that it is given to, during its call. */
typedef struct asynq_periodic_list asynq_periodic_list;

/*
 * Adds an entry, which is copied; equal ones count once. Returns 0, ASYNQ_E_INVALID (spec, zone or task),
 * ASYNQ_E_CONFLICT (another entry in the list has this name) or ASYNQ_E_NO_MEMORY. Without a spec or a type nothing
 * of the list counts; any other wrong entry is left out and logged, unless the provider returns the status.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_periodic_list_add(asynq_periodic_list *list, const asynq_periodic *entry,
                                                         asynq_error *error);

enum { ASYNQ_PROVIDER_UNCHANGED = 1 };

/*
 * Adds all entries that there shall be to the list, for instance from a database; it may block. Returns 0,
 * ASYNQ_PROVIDER_UNCHANGED if they are the same as at its last call, or a status after filling `error`: then everything
 * stays as it is. Of what it returned before, entries that are missing are unregistered, new ones registered, and
 * unchanged ones go on. Thread: that of asynq_scheduler_start() or asynq_scheduler_sync(), or one of the scheduler's
 * own; one call at a time.
 */
typedef int (*asynq_provider)(asynq_periodic_list *list, void *arg, asynq_error *error);

/* Functions of this struct are called on the scheduler's thread, one at a time; a slow one delays the ticks. */
typedef struct asynq_scheduler_options {
    const char *redis; /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    const char *zone;  /* IANA name; default UTC */
    bool independent;
    int64_t heartbeat_interval_ms; /* of what user interfaces see; default 10 s */

    /* Before a tick is enqueued; it may turn out that another scheduler was faster. Unix ms. */
    void (*pre_enqueue)(const char *entry_id, const asynq_periodic *entry, int64_t tick_ms, void *arg);
    /* After that; result->error.code is 0 if the task was created. */
    void (*post_enqueue)(const char *entry_id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg);
    /* Ticks of an entry that were given up, from the first to the last. Unix ms. */
    void (*on_missed)(const char *entry_id, const asynq_periodic *entry, int64_t first_ms, int64_t last_ms, void *arg);
    void *arg;

    asynq_log_cb log; /* default: no log */
    void *log_arg;
    asynq_log_level log_level;

    /* Entries beside those that are registered. */
    asynq_provider provide;
    void *provide_arg;
    const char *file;         /* instead: a file of entries, see asynq-schedule(5); read again when it changes */
    int64_t sync_interval_ms; /* between calls of the provider, default 3 min; between looks at the file, default 1 s */
    int64_t shutdown_timeout_ms; /* so long asynq_scheduler_shutdown() waits for Redis; default 5 s */

    /*
     * Fills in the options that tasks of a type get where their entry says nothing; not headers. Texts must stay as
     * long as the scheduler. Called when an entry is registered or provided, in any thread.
     */
    void (*defaults)(const char *type, asynq_task_options *options, void *defaults_arg);
    void *defaults_arg;

    const char *prefix; /* of all keys, as for clients; default "asynq" */
} asynq_scheduler_options;

/* Makes a scheduler. Does not contact Redis. `options` is copied; NULL means all defaults. NULL: see `error`. */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_scheduler *asynq_scheduler_new(const asynq_scheduler_options *options,
                                                                  asynq_error *error);

/*
 * Adds an entry, before or after the start. It is copied. Its first tick is the first after this moment, unless Redis
 * remembers an earlier one of it. `id` may be NULL. Returns 0, or ASYNQ_E_INVALID (spec, zone or task),
 * ASYNQ_E_CONFLICT (there is an equal entry; with names of their own they can stand side by side), ASYNQ_E_CLOSED,
 * ASYNQ_E_NO_MEMORY. Thread: any, also from the functions of asynq_scheduler_options.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_scheduler_register(asynq_scheduler *scheduler, const asynq_periodic *entry,
                                                          char id[ASYNQ_ENTRY_ID_SIZE], asynq_error *error);

/*
 * Removes an entry; a tick that is being enqueued still is. Returns 0, or ASYNQ_E_NOT_FOUND. Thread: any, as above.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_unregister(asynq_scheduler *scheduler, const char *id,
                                                          asynq_error *error);

/*
 * Starts the scheduler's threads and returns; Redis need not be reachable. Returns 0, or ASYNQ_E_STATE (running
 * already), ASYNQ_E_CLOSED, ASYNQ_E_NO_MEMORY, ASYNQ_E_SYSTEM, or what the provider said or is wrong with the file.
 * Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_start(asynq_scheduler *scheduler, asynq_error *error);

/*
 * Asks the provider now, or looks at the file. Returns 0, what the provider returned, or ASYNQ_E_INVALID (there is
 * none). Thread: any but the provider's.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_sync(asynq_scheduler *scheduler, asynq_error *error);

/*
 * Waits for the provider and for what is being enqueued, gives up its entries so that others go on, removes them from
 * what user interfaces show, and ends the thread. Waits for Redis up to shutdown_timeout_ms. No effect before the start
 * or a second time. Thread: any but the scheduler's own.
 */
ASYNQ_API void asynq_scheduler_shutdown(asynq_scheduler *scheduler);

/* Shuts down if need be, and frees. Accepts NULL. Thread: as asynq_scheduler_shutdown(). In a child of the process that
 * started it, this and the shutdown do nothing, and all other calls return ASYNQ_E_STATE. */
ASYNQ_API void asynq_scheduler_free(asynq_scheduler *scheduler);

/*
 * Starts, waits for TERM or INT, and shuts down. The signal mask is restored afterwards. Returns 0, or why it could
 * not start. Thread: the main thread, before others are started.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_run(asynq_scheduler *scheduler, asynq_error *error);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_scheduler_sizes[] ASYNQ_UNUSED = {
    2,
    sizeof(asynq_periodic),
    sizeof(asynq_scheduler_options),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_scheduler ASYNQ_UNUSED = {{asynq_client_sizes, NULL, asynq_scheduler_sizes}};

ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_periodic_list_add_sized(const asynq_sizes *sizes, asynq_periodic_list *list,
                                                                   const asynq_periodic *entry, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK asynq_scheduler *
asynq_scheduler_new_sized(const asynq_sizes *sizes, const asynq_scheduler_options *options, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_scheduler_register_sized(const asynq_sizes *sizes,
                                                                    asynq_scheduler *scheduler,
                                                                    const asynq_periodic *entry,
                                                                    char id[ASYNQ_ENTRY_ID_SIZE], asynq_error *error);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_periodic_list_add(...) asynq_periodic_list_add_sized(&asynq_sizes_of_scheduler, __VA_ARGS__)
#define asynq_scheduler_new(...) asynq_scheduler_new_sized(&asynq_sizes_of_scheduler, __VA_ARGS__)
#define asynq_scheduler_register(...) asynq_scheduler_register_sized(&asynq_sizes_of_scheduler, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
