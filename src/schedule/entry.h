/* A periodic entry as a scheduler has it: a copy of what was registered, and where it stands. */
#ifndef SCHEDULE_ENTRY_H
#define SCHEDULE_ENTRY_H

#include "base/arena.h"
#include "base/hash.h"
#include "broker/schedule.h"
#include "client/plan.h"
#include "schedule/tick.h"

struct scheduler_queue;

/* What the entries of a scheduler have in common. Borrowed: it outlives them. */
typedef struct entry_context {
    const key_space *space;
    const char *zone; /* NULL: UTC */
    bool is_independent;
    void (*defaults)(const char *type, asynq_task_options *options, void *arg); /* of tasks; NULL: none */
    void *defaults_arg;
    const asynq_sizes *sizes; /* of the program that has `defaults` and gets entries */
} entry_context;

typedef struct schedule_entry {
    UT_hash_handle hh;                  /* by id, of those that are registered */
    UT_hash_handle content_hh;          /* in a provider's list */
    struct schedule_entry *prev, *next; /* in its queue, or among those that arrive */
    struct schedule_entry *next_departure;
    arena memory; /* of all that follows up to the blank line */
    asynq_periodic periodic;
    const asynq_periodic *shown; /* as the program has it */
    asynq_cron *cron;
    tick_rule rule;
    char *queue_name;
    const bytes *option_texts;
    size_t option_count;
    char id[ASYNQ_ENTRY_ID_SIZE];
    char content[ASYNQ_ENTRY_ID_SIZE]; /* made from all that was registered */

    const key_space *space;
    struct asynq_scheduler *owner;

    /* The scheduler's thread alone. */
    struct scheduler_queue *queue;
    bytes record;  /* key: see broker/schedule.h */
    unsigned uses; /* calls under way that will come back to it */
    bool gone;     /* unregistered: freed with the last use */
    bool held;
    bool firing;    /* a tick is with Redis */
    bool unsure;    /* and nobody knows what came of it */
    task_plan plan; /* of that tick */
    int64_t firing_tick_s;
    int64_t last_s;     /* last tick that is over; 0: not known yet */
    int64_t previous_s; /* last tick that was enqueued, planned time; 0: none */
    int64_t next_s;     /* the tick that comes next, or TICK_NEVER */
} schedule_entry;

/* Checks and copies. Returns 0, ASYNQ_E_INVALID or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int schedule_entry_new(schedule_entry **made, const asynq_periodic *given,
                                        const entry_context *context, asynq_error *error);
void schedule_entry_free(schedule_entry *entry);

/* Makes the name of the entry's record. False: out of memory. */
bool schedule_entry_name_record(schedule_entry *entry, const queue_keys *keys);

/* How much later than its ticks the entry is enqueued. */
int64_t schedule_entry_delay_ms(const schedule_entry *entry);

/* The task of a tick, in `plan`. With `names_tick` it carries the tick's time. */
ASYNQ_MUST_CHECK int schedule_entry_plan(schedule_entry *entry, int64_t tick_s, bool names_tick, int64_t now_ns,
                                         asynq_error *error);

/* Appends the record that user interfaces show. */
ASYNQ_MUST_CHECK int schedule_entry_encode(const schedule_entry *entry, buf *out, asynq_error *error);

#endif
