/* See service.h. */
#include "daemon/service.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#else
#define SD_LISTEN_FDS_START 3
static int sd_notify(int unset, const char *text)
{
    (void)unset, (void)text;
    return 0;
}
static int sd_notifyf(int unset, const char *format, const char *text)
{
    (void)unset, (void)format, (void)text;
    return 0;
}
static int sd_watchdog_enabled(int unset, uint64_t *period_us)
{
    (void)unset, (void)period_us;
    return 0;
}
static int sd_listen_fds(int unset)
{
    (void)unset;
    return 0;
}
#endif

static void give_sign(void *arg)
{
    service *s = arg;
    if (s->is_alive(s->arg))
        sd_notify(0, "WATCHDOG=1");
    loop_timer_set(&s->watchdog, s->watchdog_ms);
}

void service_init(service *s, loop *l, bool (*is_alive)(void *arg), void *arg)
{
    uint64_t period_us = 0;
    *s = (service){.loop = l, .is_alive = is_alive, .arg = arg};
    loop_timer_init(l, &s->watchdog, give_sign, s);
    if (sd_watchdog_enabled(0, &period_us) > 0)
        s->watchdog_ms = (int64_t)(period_us / 2 / 1000); /* half of it, as sd_watchdog_enabled(3) has it */
}

void service_clear(service *s)
{
    loop_timer_cancel(&s->watchdog);
}

void service_ready(service *s, const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
    if (s->watchdog_ms)
        loop_timer_set(&s->watchdog, 0);
}

void service_reloading(void)
{
    char now_us[32];
    /* To the microsecond: systemd takes a time before its own signal for an answer to another one. */
    snprintf(now_us, sizeof now_us, "%" PRId64, clock_steady_ns() / 1000);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%s", now_us);
}

void service_stopping(int64_t within_ms)
{
    char within_us[32];
    snprintf(within_us, sizeof within_us, "%" PRId64, within_ms * 1000);
    sd_notify(0, "STOPPING=1\nSTATUS=waiting for running tasks");
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%s", within_us); /* else the unit's TimeoutStopSec counts */
}

int service_socket(void)
{
    return sd_listen_fds(0) > 0 ? SD_LISTEN_FDS_START : -1;
}
