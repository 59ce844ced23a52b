/*
 * Being told when a key changes, by Redis's client tracking: a plain read on the work connection, marked with CLIENT
 * CACHING YES, makes Redis send one message to our subscriber connection when the key changes next.
 *
 *   state     event       next      action
 *   --------  ----------  --------  ---------------------------------------------
 *   UNARMED   arm         ARMING    send the read
 *   ARMING    message     DIRTY     (the message has overtaken the reply)
 *   ARMING    reply       ARMED     give the value
 *   ARMING    lost        UNARMED   changed
 *   DIRTY     reply       UNARMED   changed
 *   DIRTY     lost        UNARMED   changed
 *   ARMED     message     UNARMED   changed
 *   ARMED     lost        UNARMED   changed
 *   (all other pairs change nothing)
 *
 * "lost" is whatever may have swallowed a message: a lost connection, FLUSHALL. Messages are one-shot, so after each
 * the owner arms again. A message too many is harmless, one too few is not.
 */
#ifndef SERVER_KEY_WATCH_H
#define SERVER_KEY_WATCH_H

#include "redis/conn.h"

typedef enum watch_state { WATCH_UNARMED, WATCH_ARMING, WATCH_DIRTY, WATCH_ARMED, WATCH_STATE_COUNT } watch_state;
typedef enum watch_event { WATCH_ARM, WATCH_MESSAGE, WATCH_REPLY, WATCH_LOST, WATCH_EVENT_COUNT } watch_event;
typedef enum watch_action { WATCH_NOTHING, WATCH_SEND_READ, WATCH_GIVE_VALUE, WATCH_CHANGED } watch_action;

typedef struct watch_step {
    watch_state next;
    watch_action action;
} watch_step;

/* The table above; pure. */
watch_step watch_next(watch_state state, watch_event event);

typedef struct key_watch {
    watch_state state;
    int replies_due; /* reads under way; after a loss in between, only the last one counts */
    bytes key;
    const bytes *also;       /* another key that the command reads; NULL: none */
    const char *const *read; /* the read command, NULL-terminated, static; "KEY" stands for the key */
    void (*value)(void *arg, const redis_value *value); /* the key as it is; it is watched from now on */
    void (*changed)(void *arg);                         /* it changed, or we cannot tell */
    void *arg;
} key_watch;

/* Begins to watch. False if the command cannot be sent now (nothing will be called). */
bool key_watch_arm(key_watch *watch, redis_conn *work);

void key_watch_message(key_watch *watch);
void key_watch_lost(key_watch *watch);

#endif
