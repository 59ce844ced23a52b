/*
 * Tells that the table of jobs has changed: PostgreSQL does (LISTEN), and as a notification may be lost, each minute
 * counts as a change. Whether notifications come at all is tried with one of our own, sent through another connection:
 * behind a pooler that gives a client another session for each transaction they do not. Then that is told, and every
 * few seconds count as a change.
 *
 * Thread: that of the loop.
 */
#ifndef PG_CHANGE_FEED_H
#define PG_CHANGE_FEED_H

#include "pg/pg_conn.h"

typedef struct change_feed change_feed;

/* NULL: out of memory. */
change_feed *change_feed_new(loop *l, log_sink *log, void (*changed)(void *arg), void *arg);
/* Accepts NULL. */
void change_feed_free(change_feed *f);

/* The connection that notifications come through, and another one; each NULL while it is not ready. */
void change_feed_set_conns(change_feed *f, pg_conn *listening, pg_conn *other);
/* NOTIFY came on this channel. */
void change_feed_notified(change_feed *f, const char *channel);

#endif
