/*
 * Cron specifications: when a periodic task is due.
 *
 *     30 9 * * mon-fri                   minute, hour, day of the month, month, day of the week
 *     CRON_TZ=Europe/Berlin 0 3 * * *    the same in a zone
 *     @daily                             or @hourly, @weekly, @monthly, @yearly
 *     @every 1h30m                       each so long
 *     @at 2006-01-02T15:04:05Z           once; RFC 3339
 *
 * The grammar is Asynq's (that of robfig/cron v3), and "@at", which Go does not know. Each field is "*" or "?", a
 * number or name, a range "1-5", any of them with a step "/15", or several joined by commas. If both days are
 * restricted, one that meets either will do.
 */
#ifndef ASYNQ_CRON_H
#define ASYNQ_CRON_H

#include <asynq/client.h>
#include <asynq/error.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A cron specification that was read: when a periodic task is due. It does not change after it was made. */
typedef struct asynq_cron asynq_cron;

/*
 * Reads a cron specification, such as "30 9 * * mon-fri", "@daily" or "@every 1h30m"; asynq-schedule(5) has the
 * grammar. `zone` is an IANA name of a time zone, such as "Europe/Berlin", and holds unless the text names one; NULL:
 * UTC. Nothing is kept of the texts. Returns a value that asynq_cron_free() frees, or NULL after filling `error`:
 * ASYNQ_E_INVALID (the text says where and what is wrong) or ASYNQ_E_NO_MEMORY. Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK asynq_cron *asynq_cron_new(const char *spec, const char *zone, asynq_error *error);
/* Frees a cron specification. Accepts NULL. Thread: any, but no other thread may still use it. */
ASYNQ_API void asynq_cron_free(asynq_cron *cron);

/* Returns the time zone in which the fields are read. Never NULL; the text belongs to `cron`. Thread: any. */
ASYNQ_API const char *asynq_cron_zone(const asynq_cron *cron);

/*
 * Computes when a cron specification is due next: the first time after `after_ms`, both Unix time in milliseconds. For
 * fields it is the earliest second that matches in the zone, so that a time skipped by the change to summer time is
 * left out and a repeated one comes twice; for "@every" the whole second of `after_ms` plus the interval. Returns that
 * time, or ASYNQ_NONE if there is none in the next five calendar years, or no more. Thread: any.
 */
ASYNQ_API int64_t asynq_cron_next_ms(const asynq_cron *cron, int64_t after_ms);

#ifdef __cplusplus
}
#endif

#endif
