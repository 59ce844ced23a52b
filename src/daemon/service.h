/* What systemd is told, and what it gives us. Without libsystemd, or without systemd, all of it does nothing. */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "event/timer.h"

typedef struct service {
    loop *loop;
    loop_timer watchdog;
    int64_t watchdog_ms;         /* between signs of life; 0: none are wanted */
    bool (*is_alive)(void *arg); /* asked before each sign */
    void *arg;
} service;

/* `is_alive` says whether what does not run on this loop is well, too. */
void service_init(service *s, loop *l, bool (*is_alive)(void *arg), void *arg);
void service_clear(service *s);

/* The start is over; `status` is a line for `systemctl status`. From now on there are signs of life. */
void service_ready(service *s, const char *status);
/* The configuration is being read again; service_ready() follows. */
void service_reloading(void);
void service_stopping(int64_t within_ms);

/* A listening socket that systemd has opened for us; below 0: none. */
int service_socket(void);

#endif
