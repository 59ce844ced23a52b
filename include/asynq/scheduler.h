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

/* The header of a periodic task that has the time at which it was due. Such as "2006-01-02T15:04:05Z". */
#define ASYNQ_TICK_HEADER "libasynq-tick"

/*
 * The catch-up of an entry: what to do with runs that were missed. Those are all that are late when one of them is late
 * by more than 30 s, because no scheduler ran or Redis was down. (A scheduler that takes over from a dead one is not
 * that late, and enqueues every run.) Runs further back than the limit are dropped in any case.
 */
typedef enum asynq_catch_up {
    ASYNQ_CATCH_UP_ONCE = 0, /* enqueue the last of them */
    ASYNQ_CATCH_UP_ALL = 1,  /* enqueue each, in order */
    ASYNQ_CATCH_UP_SKIP = 2  /* enqueue none; go on with the next */
} asynq_catch_up;

/*
 * An entry of a scheduler: a periodic task, and when it is due. It belongs to the caller; what takes it copies it. Zero
 * means the default.
 */
typedef struct asynq_periodic {
    const char *spec;                  /* when it is due, see asynq_cron_new(); required */
    asynq_task task;                   /* `type` is required */
    const asynq_task_options *options; /* may be NULL; they override the task's own, and are those that are shown */

    /* What follows is not for independent schedulers, but for `zone`. */
    /*
     * Names the entry over restarts and among schedulers; at most ASYNQ_NAME_MAX bytes. With a name, spec and task can
     * change and the entry stays the same one. Default: made from spec, type, payload and shown options.
     */
    const char *name;
    const char *zone;        /* IANA name of a time zone; default: that of the scheduler */
    asynq_catch_up catch_up; /* what to do with missed runs */
    int64_t
        catch_up_limit_ms; /* age of missed runs, in milliseconds; default 1 h; ASYNQ_NONE: all that Redis remembers */
    int64_t jitter_ms;     /* maximum delay of a run, in milliseconds; the same for each run of an entry */
} asynq_periodic;

/* The size of an entry's id. */
enum {
    ASYNQ_ENTRY_ID_SIZE = 37 /* bytes of a UUID and its NUL byte */
};

/*
 * A scheduler: enqueues periodic tasks. It has threads of its own. Its entries have ids, by which user interfaces know
 * them: random ones as in Go for independent schedulers; otherwise made from name and queue, so that all schedulers
 * have the same one and the history goes on after a restart.
 */
typedef struct asynq_scheduler asynq_scheduler;

/* ---- entries that come from elsewhere ---- */

/* A list of entries that a provider fills. Only for the provider that it is passed to, during its call. */
typedef struct asynq_periodic_list asynq_periodic_list;

/*
 * Adds an entry to the list of a provider. It is copied; equal ones count once. Without a spec or a type the whole list
 * is refused; any other wrong entry is left out and logged, unless the provider returns the status. Returns 0,
 * ASYNQ_E_INVALID (spec, zone or task), ASYNQ_E_CONFLICT (another entry in the list has this name) or
 * ASYNQ_E_NO_MEMORY. Thread: the provider's.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_periodic_list_add(asynq_periodic_list *list, const asynq_periodic *entry,
                                                         asynq_error *error);

/* What a provider returns beside 0 and errors. */
enum {
    ASYNQ_PROVIDER_UNCHANGED = 1 /* the entries are those of the last call */
};

/*
 * A provider: a function that adds all entries of a scheduler to the list. They may be from a database; it may block.
 * Returns 0,
 * ASYNQ_PROVIDER_UNCHANGED if they are the same as at its last call, or a status after filling `error`: then everything
 * stays as it is. Of what it returned before, entries that are missing are unregistered, new ones registered, and
 * unchanged ones go on. Thread: that of asynq_scheduler_start() or asynq_scheduler_sync(), or one of the scheduler's
 * own; one call at a time.
 */
typedef int (*asynq_provider)(asynq_periodic_list *list, void *arg, asynq_error *error);

/*
 * Options of a scheduler. Zero means the default; durations are in milliseconds. Functions of this struct are called on
 * the scheduler's thread, one at a time; a slow one delays the runs.
 */
typedef struct asynq_scheduler_options {
    const char *redis;             /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    const char *zone;              /* IANA name of a time zone; default UTC */
    bool independent;              /* behave as Go's scheduler: enqueue each run without asking the others */
    int64_t heartbeat_interval_ms; /* of what user interfaces show; default 10 s */

    /* Called before a run is enqueued; another scheduler may be faster. `tick_ms` is Unix time in ms. */
    void (*pre_enqueue)(const char *entry_id, const asynq_periodic *entry, int64_t tick_ms, void *arg);
    /* Called after that; result->error.code is 0 if the task was created. */
    void (*post_enqueue)(const char *entry_id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg);
    /* Called for missed runs that were dropped, from the first to the last. Unix time in ms. */
    void (*on_missed)(const char *entry_id, const asynq_periodic *entry, int64_t first_ms, int64_t last_ms, void *arg);
    void *arg; /* for the functions above */

    asynq_log_cb log;          /* default: no log */
    void *log_arg;             /* for `log` */
    asynq_log_level log_level; /* the lowest level that is logged */

    asynq_provider provide; /* entries in addition to those that are registered */
    void *provide_arg;      /* for `provide` */
    const char *file; /* instead of `provide`: a file of entries, see asynq-schedule(5); read again when it changes */
    int64_t sync_interval_ms; /* between calls of the provider, default 3 min; between looks at the file, default 1 s */
    int64_t shutdown_timeout_ms; /* maximum wait of asynq_scheduler_shutdown() for Redis; default 5 s */

    /*
     * Sets the options that tasks of a type get where their entry has none; not headers. Texts must stay valid as long
     * as the scheduler. Called when an entry is registered or provided, in any thread.
     */
    void (*defaults)(const char *type, asynq_task_options *options, void *defaults_arg);
    void *defaults_arg; /* for `defaults` */

    const char *prefix; /* of all keys, as for clients; default "asynq" */
} asynq_scheduler_options;

/*
 * Makes a scheduler, which enqueues periodic tasks. Does not contact Redis and starts no thread:
 * asynq_scheduler_start() does. `options` is copied; NULL means all defaults. Returns a scheduler that
 * asynq_scheduler_free() frees, or NULL after filling `error`: ASYNQ_E_INVALID (an option is wrong) or
 * ASYNQ_E_NO_MEMORY. Thread: any.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_scheduler *asynq_scheduler_new(const asynq_scheduler_options *options,
                                                                  asynq_error *error);

/*
 * Adds an entry, a periodic task, to a scheduler, before or after its start. It is copied. Its first run is the first
 * after this moment, unless Redis remembers an earlier one of it. `id` is filled with the entry's id, and may be NULL.
 *
 * Returns 0, ASYNQ_E_INVALID (spec, zone or task), ASYNQ_E_CONFLICT (there is an equal entry; with names of their own
 * both are possible), ASYNQ_E_CLOSED, ASYNQ_E_NO_MEMORY or ASYNQ_E_STATE (in a child of a fork). Thread: any, also from
 * the functions of asynq_scheduler_options.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_scheduler_register(asynq_scheduler *scheduler, const asynq_periodic *entry,
                                                          char id[ASYNQ_ENTRY_ID_SIZE], asynq_error *error);

/*
 * Removes an entry from a scheduler. A run that is being enqueued still is. Returns 0, ASYNQ_E_NOT_FOUND (the scheduler
 * has no entry with this id) or ASYNQ_E_STATE (in a child of a fork). Thread: any, also from the functions of
 * asynq_scheduler_options.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_unregister(asynq_scheduler *scheduler, const char *id,
                                                          asynq_error *error);

/*
 * Starts a scheduler's threads and returns. Redis need not be reachable. Returns 0, ASYNQ_E_STATE (running already, or
 * in a child of a fork), ASYNQ_E_CLOSED, ASYNQ_E_NO_MEMORY, ASYNQ_E_SYSTEM (no thread, or the file cannot be read),
 * ASYNQ_E_NOT_FOUND (there is no such file), ASYNQ_E_INVALID (an entry of the file is wrong), or what the provider
 * returned. Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_start(asynq_scheduler *scheduler, asynq_error *error);

/*
 * Tells whether a scheduler reaches Redis. Waits until Redis answers a PING over the scheduler's own connection, for at
 * most `timeout_ms`; with 0 it looks once. Returns 0, ASYNQ_E_UNAVAILABLE or ASYNQ_E_TIMEOUT with the cause, at once
 * ASYNQ_E_AUTH and other errors that time does not repair, ASYNQ_E_STATE (not started, or in a child of a fork) or
 * ASYNQ_E_CLOSED. Thread: any but the scheduler's own.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_ping(asynq_scheduler *scheduler, int64_t timeout_ms, asynq_error *error);

/*
 * Has a scheduler call its provider now, or read its file again, if it has changed. Returns 0, ASYNQ_E_INVALID (there
 * is neither, or an entry of the file is wrong), ASYNQ_E_NOT_FOUND (there is no such file), ASYNQ_E_SYSTEM (the file
 * cannot be read), ASYNQ_E_STATE (in a child of a fork), or what the provider returned. Thread: any but the provider's.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_scheduler_sync(asynq_scheduler *scheduler, asynq_error *error);

/*
 * Shuts a scheduler down: waits for the provider and for what is being enqueued, releases its entries so that other
 * schedulers go on, removes them from what user interfaces show, and ends its threads. It waits for Redis up to
 * shutdown_timeout_ms. No effect before the start or a second time. Thread: any but the scheduler's own.
 */
ASYNQ_API void asynq_scheduler_shutdown(asynq_scheduler *scheduler);

/*
 * Frees a scheduler, after a shutdown if it still runs. Accepts NULL. In a child of the process that started it, this
 * and asynq_scheduler_shutdown() do nothing, and all other calls return ASYNQ_E_STATE. Thread: any but the scheduler's
 * own.
 */
ASYNQ_API void asynq_scheduler_free(asynq_scheduler *scheduler);

/*
 * Runs a scheduler until the process receives a signal: starts, waits for TERM or INT, and shuts down. The signal mask
 * is restored afterwards. Returns 0 after a clean end, or why it could not start. Errors: those of
 * asynq_scheduler_start(). Thread: the main thread, before others are started.
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
