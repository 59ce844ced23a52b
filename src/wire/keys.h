/*
 * Every key name of Asynq and of our own (spec, chapter 3), built from one value, the prefix of a key space. Nothing
 * else in the library spells a key, and no script contains a literal of one.
 *
 * Threads: a key space and the keys of a queue do not change once they are made, and may be read by all.
 */
#ifndef WIRE_KEYS_H
#define WIRE_KEYS_H

#include "base/buf.h"
#include "base/bytes.h"

#include <asynq/error.h>

#include <stdint.h>

#define KEY_PREFIX_DEFAULT "asynq" /* Asynq's own; the names in comments have it */

/* name, suffix behind "asynq:{<queue>}:" */
#define QUEUE_KEY_MAP(X)                                                                                               \
    X(TASK, "t:") /* followed by the task id */                                                                        \
    X(PENDING, "pending")                                                                                              \
    X(ACTIVE, "active")                                                                                                \
    X(LEASE, "lease")                                                                                                  \
    X(SCHEDULED, "scheduled")                                                                                          \
    X(RETRY, "retry")                                                                                                  \
    X(ARCHIVED, "archived")                                                                                            \
    X(COMPLETED, "completed")                                                                                          \
    X(GROUPS, "groups")                                                                                                \
    X(GROUP, "g:") /* followed by the group name */                                                                    \
    X(AGGREGATION_SETS, "aggregation_sets")                                                                            \
    X(PAUSED, "paused")                                                                                                \
    X(PROCESSED, "processed")                                                                                          \
    X(FAILED, "failed")                                                                                                \
    X(LOCK, "unique:")                   /* followed by type and digest, see key_append_lock() */                      \
    X(WATCHERS, "libasynq:watchers")     /* idle servers that are told of new tasks */                                 \
    X(PARKED, "libasynq:parked")         /* idle servers that are woken when there is more to do than others take */   \
    X(CLIENT, "libasynq:client:")        /* followed by a client id: its last batches and results */                   \
    X(ENTRY, "libasynq:entry:")          /* followed by the id of a periodic entry: see broker/schedule.h */           \
    X(QUARANTINE, "libasynq:quarantine") /* what fsck set aside: name it had behind the prefix, when and why */        \
    X(QUARANTINED, "libasynq:quarantined:") /* followed by that name: what stood there */                              \
    X(SLOT, "libasynq:slot") /* no key, but a channel of the slot: Redis ends its subscriptions when the slot leaves   \
                              */

/* name, text behind "asynq:" */
/* What a message to the wake channel of a server begins with that is no name of a queue to be woken, but for its owner.
 */
#define WAKE_TELL "tell:"

#define GLOBAL_KEY_MAP(X)                                                                                              \
    X(QUEUES, "queues")                                                                                                \
    X(SERVERS, "servers")                                                                                              \
    X(WORKERS, "workers")                                                                                              \
    X(SCHEDULERS, "schedulers")                                                                                        \
    X(SCHEDULER_HISTORY, "scheduler_history:") /* followed by the id of an entry */                                    \
    X(SEMAPHORE, "sema:")                      /* followed by a scope */                                               \
    X(CANCEL, "cancel")                                                                                                \
    X(SESSIONS, "libasynq:sessions") /* of servers, by their numbers in lease tags: see broker/session.h */            \
    X(WAKE, "libasynq:wake:")        /* followed by a server's id: the channel that wakes it */                        \
    X(SCALE, "libasynq:scale:")      /* followed by a digest of names of queues: asynqd's samples of them */

typedef enum queue_key {
#define QUEUE_KEY_ENUM(name, suffix) QUEUE_KEY_##name,
    QUEUE_KEY_MAP(QUEUE_KEY_ENUM)
#undef QUEUE_KEY_ENUM
        QUEUE_KEY_COUNT
} queue_key;

typedef enum global_key {
#define GLOBAL_KEY_ENUM(name, text) GLOBAL_KEY_##name,
    GLOBAL_KEY_MAP(GLOBAL_KEY_ENUM)
#undef GLOBAL_KEY_ENUM
        GLOBAL_KEY_COUNT
} global_key;

/* All keys with one prefix: what a fleet shares, and another fleet on the same Redis does not see. */
typedef struct key_space {
    bytes prefix; /* without the colon; ends with a NUL, too */
    bytes global[GLOBAL_KEY_COUNT];
    char *storage;
} key_space;

/* `prefix` NULL: the default. Returns 0, ASYNQ_E_INVALID (empty, or with braces or a line break) or ASYNQ_E_NO_MEMORY,
 * with a text. */
ASYNQ_MUST_CHECK int key_space_init(key_space *space, const char *prefix, asynq_error *error);
void key_space_clear(key_space *space);

/* The name of a global key. It ends with a NUL, too. */
bytes global_key_name(const key_space *space, global_key key);

/* All fixed names of one queue, made once. */
typedef struct queue_keys {
    bytes queue;  /* the queue's name */
    bytes prefix; /* "asynq:{<queue>}:" */
    bytes key[QUEUE_KEY_COUNT];
    int slot; /* of all of them, in a Redis Cluster */
    char *storage;
} queue_keys;

/* Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int queue_keys_init(queue_keys *keys, const key_space *space, bytes queue);
void queue_keys_clear(queue_keys *keys);

/*
 * The part of a key that a Redis Cluster chooses the slot by: the text between its first braces, or all of it where
 * there are none. Keys of one queue have the same; nothing between the braces counts as a tag, too, though Redis hashes
 * all of such a key (the queue's name then begins with "}", which only a Redis without Cluster can serve).
 */
bytes key_slot_tag(bytes key);

enum { KEY_SLOTS = 16384 };

/* The slot of a key in a Redis Cluster, from 0 to below KEY_SLOTS. */
int key_slot(bytes key);

/* A name of a queue's key, taken apart. */
typedef struct queue_key_name {
    bytes queue;
    queue_key key;
    bytes rest; /* what follows a name that ends with a colon; of daily counters the date */
} queue_key_name;

/*
 * False: it is none. A name in which "}:" stands more than once can belong to several queues; `choice` counts them from
 * 0, the shortest first, up to queue_key_choices().
 */
size_t queue_key_choices(bytes name);
bool queue_key_parse(const key_space *space, bytes name, size_t choice, queue_key_name *parsed);

/* Appends "asynq:{<queue>}:unique:<type>:<md5 of the payload>"; an absent payload adds nothing (spec 3.4). */
void key_append_lock(buf *out, const key_space *space, bytes queue, bytes type, bytes payload);

/* Appends "asynq:servers:{<identity>}" or "asynq:workers:{<identity>}", identity being host:pid:id. */
void key_append_server(buf *out, const key_space *space, bytes identity);
void key_append_workers(buf *out, const key_space *space, bytes identity);
/* Appends "asynq:libasynq:scale:<md5 of the names in their order, each with its NUL>"; sorts the names. */
void key_append_scale(buf *out, const key_space *space, const char **queues, size_t count);
/* Appends "asynq:schedulers:{<identity>}". */
void key_append_scheduler(buf *out, const key_space *space, bytes identity);

/* Appends "<key>:<UTC date of at_ns>", the name of a daily counter. */
void key_append_daily(buf *out, bytes key, int64_t at_ns);

#endif
