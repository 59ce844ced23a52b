/* See dial.h. */
#include "redis/dial.h"

#include "base/error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A name server may send thousands; each gets its share of the time, and one that gets none is not worth trying. */
enum { DIAL_MAX_ADDRESSES = 32, DIAL_VERIFY_PERIOD_MS = 10000, DIAL_DOUBT_MS = 1000 };

static void dial_next_address(redis_dial *dial);

static void dial_release(redis_dial *dial)
{
    if (dial->addresses)
        freeaddrinfo(dial->addresses);
    dial->addresses = NULL;
    dial->count = dial->tried = 0;
}

static void dial_close(redis_dial *dial)
{
    loop_timer_cancel(&dial->share);
    loop_watch_clear(&dial->watch);
    if (dial->fd >= 0)
        close(dial->fd);
    dial->fd = -1;
}

void redis_dial_cancel(redis_dial *dial)
{
    dial->is_active = dial->is_finding = false;
    if (dial->sentinel)
        redis_sentinel_cancel(dial->sentinel);
    dial_close(dial);
    dial_release(dial);
}

static void dial_fail(redis_dial *dial)
{
    asynq_error error = dial->error;
    if (dial->sentinel)
        redis_sentinel_distrust(dial->sentinel);
    redis_dial_cancel(dial);
    dial->events.failed(dial->events.arg, &error);
}

/* ---- one address ---- */

static const struct addrinfo *dial_address(const redis_dial *dial)
{
    const struct addrinfo *at = dial->addresses;
    for (size_t skip = (dial->first + dial->tried) % dial->count; skip; skip--)
        at = at->ai_next;
    return at;
}

/* With several addresses, each reason names its own. */
static void dial_note(redis_dial *dial, const char *reason)
{
    char host[NI_MAXHOST] = "", before[sizeof dial->error.text];
    if (!dial->addresses || dial->count == 1) {
        error_set(&dial->error, ASYNQ_E_UNAVAILABLE, "cannot connect: %s", reason);
        return;
    }
    const struct addrinfo *at = dial_address(dial);
    getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(before, sizeof before, "%s", dial->error.code ? dial->error.text : "cannot connect");
    error_set(&dial->error, ASYNQ_E_UNAVAILABLE, "%s%s %s: %s", before, dial->error.code ? ";" : ":", host, reason);
}

static void dial_address_failed(redis_dial *dial, const char *reason)
{
    dial_note(dial, reason);
    dial_close(dial);
    dial->tried++;
    dial_next_address(dial);
}

static void dial_connected(redis_dial *dial)
{
    int fd = dial->fd;
    dial->fd = -1;
    dial->first += dial->tried; /* the next attempt begins with the address that worked */
    redis_dial_cancel(dial);
    dial->events.connected(dial->events.arg, fd);
}

static void dial_writable(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    redis_dial *dial = arg;
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem)
        dial_address_failed(dial, strerror(problem));
    else
        dial_connected(dial);
}

/* False, with errno: it failed at once. */
static bool dial_open(redis_dial *dial, const struct sockaddr *address, socklen_t length)
{
    dial->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0)
        return false;
    if (address->sa_family != AF_UNIX) {
        int on = 1;
        setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(dial->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (connect(dial->fd, address, length) != 0 && errno != EINPROGRESS)
        return false;
    loop_watch_init(dial->loop, &dial->watch, dial->fd, dial_writable, dial);
    loop_watch_set(&dial->watch, false, true);
    return true;
}

static void dial_next_address(redis_dial *dial)
{
    int64_t left_ms = dial->give_up_at_ms - loop_steady_ms(dial->loop);
    if (dial->tried == dial->count || left_ms <= 0) {
        dial_fail(dial);
        return;
    }
    const struct addrinfo *at = dial_address(dial);
    loop_timer_set(&dial->share, left_ms / (int64_t)(dial->count - dial->tried));
    if (!dial_open(dial, at->ai_addr, (socklen_t)at->ai_addrlen))
        dial_address_failed(dial, strerror(errno));
}

/* ---- where to connect to ---- */

static void dial_try_all(redis_dial *dial, struct addrinfo *addresses)
{
    dial->addresses = addresses;
    for (const struct addrinfo *at = addresses; at && dial->count < DIAL_MAX_ADDRESSES; at = at->ai_next)
        dial->count++;
    dial_next_address(dial);
}

static void dial_looked_up(void *arg, int problem, struct addrinfo *addresses)
{
    redis_dial *dial = arg;
    dial->lookup = NULL;
    if (!dial->is_active) { /* it came too late for its attempt; the next one asks again */
        if (addresses)
            freeaddrinfo(addresses);
        return;
    }
    if (!problem && addresses) {
        dial_try_all(dial, addresses);
        return;
    }
    error_set(&dial->error, ASYNQ_E_UNAVAILABLE, "cannot find the host \"%.200s\": %s", dial->uri.host,
              problem ? gai_strerror(problem) : "no address");
    dial_fail(dial);
}

static void dial_look_up(redis_dial *dial)
{
    const redis_uri *uri = &dial->uri;
    struct addrinfo *number = redis_lookup_number(uri->host, uri->port);
    if (number) {
        dial_try_all(dial, number);
        return;
    }
    if (!dial->lookup)
        dial->lookup = redis_lookup_start(dial->loop, uri->host, uri->port, dial_looked_up, dial, &dial->error);
    if (dial->lookup)
        loop_timer_set(&dial->share, dial->give_up_at_ms - loop_steady_ms(dial->loop));
    else
        dial_fail(dial);
}

/* A unix socket. EAGAIN: the listen queue is full. */
static void dial_path(redis_dial *dial)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    loop_timer_set(&dial->share, dial->give_up_at_ms - loop_steady_ms(dial->loop));
    snprintf(address.sun_path, sizeof address.sun_path, "%s", dial->uri.path);
    if (dial_open(dial, (struct sockaddr *)&address, sizeof address))
        return;
    dial_note(dial, strerror(errno));
    dial_fail(dial);
}

/* The time of an address is over, or all of it is, in looking the host up. */
static void dial_time_over(void *arg)
{
    redis_dial *dial = arg;
    if (dial->addresses) {
        dial_address_failed(dial, "no answer in its share of the time");
        return;
    }
    if (dial->uri.path)
        error_set(&dial->error, ASYNQ_E_UNAVAILABLE, "cannot connect: no answer");
    else
        error_set(&dial->error, ASYNQ_E_UNAVAILABLE, "cannot find the host \"%.200s\": no answer yet", dial->uri.host);
    dial_fail(dial);
}

/* ---- by way of sentinels ---- */

/* What is known of one host is of no use for another. */
static void dial_set_master(redis_dial *dial, const char *host, int port)
{
    if (strcmp(dial->master_host, host) != 0) {
        redis_lookup_abandon(dial->lookup);
        dial->lookup = NULL;
        dial->first = 0;
    }
    snprintf(dial->master_host, sizeof dial->master_host, "%s", host);
    dial->uri.host = dial->master_host;
    dial->uri.port = port;
}

static void dial_master_found(void *arg, const char *host, int port)
{
    redis_dial *dial = arg;
    char text[NI_MAXHOST + 80];
    dial->verified_at_ms = loop_steady_ms(dial->loop);
    bool is_same = dial->uri.host && strcmp(dial->uri.host, host) == 0 && dial->uri.port == port;
    if (dial->is_finding || (dial->is_active && !is_same)) { /* it may change while the old one is tried */
        dial->is_finding = false;
        dial_close(dial);
        dial_release(dial);
        dial_set_master(dial, host, port);
        dial_look_up(dial);
    } else if (!is_same) {
        snprintf(text, sizeof text, "the sentinels name %s:%d as the master now", host, port);
        dial->events.moved(dial->events.arg, text);
    }
}

/* As long as the connection works, it goes on without sentinels. */
static void dial_master_not_found(void *arg, const asynq_error *error)
{
    redis_dial *dial = arg;
    if (!dial->is_finding)
        return;
    dial->error = *error;
    dial_fail(dial);
}

/* A master that was cut off may be one no more, and nobody on this side of the network would say so. */
void redis_dial_verify(redis_dial *dial, bool is_silent)
{
    if (!dial->sentinel || dial->is_active)
        return;
    bool is_due = loop_steady_ms(dial->loop) - dial->verified_at_ms >= DIAL_VERIFY_PERIOD_MS;
    if (is_due || is_silent || !redis_sentinel_is_subscribed(dial->sentinel))
        redis_sentinel_ask(dial->sentinel);
}

bool redis_dial_is_doubtful(const redis_dial *dial)
{
    return dial->sentinel && loop_steady_ms(dial->loop) - dial->verified_at_ms > DIAL_DOUBT_MS;
}

/* ---- from outside ---- */

void redis_dial_start(redis_dial *dial, int64_t limit_ms)
{
    redis_dial_cancel(dial); /* a question of redis_dial_verify() */
    dial->is_active = true;
    dial->give_up_at_ms = loop_steady_ms(dial->loop) + limit_ms;
    error_clear(&dial->error);
    dial->is_finding = dial->sentinel != NULL;
    if (dial->sentinel)
        redis_sentinel_ask(dial->sentinel);
    else if (dial->uri.path)
        dial_path(dial);
    else
        dial_look_up(dial);
}

void redis_dial_distrust(redis_dial *dial)
{
    dial->first++;
    if (dial->sentinel)
        redis_sentinel_distrust(dial->sentinel);
}

int redis_dial_init(redis_dial *dial, loop *l, const redis_uri *uri, log_sink *log, const redis_dial_events *events)
{
    *dial = (redis_dial){.loop = l, .uri = *uri, .events = *events, .fd = -1};
    loop_timer_init(l, &dial->share, dial_time_over, dial);
    if (!uri->sentinels.places.count)
        return ASYNQ_OK;
    dial->sentinel = redis_sentinel_new(
        l, uri, log,
        &(redis_sentinel_events){.found = dial_master_found, .failed = dial_master_not_found, .arg = dial});
    return dial->sentinel ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void redis_dial_clear(redis_dial *dial)
{
    redis_dial_cancel(dial);
    redis_lookup_abandon(dial->lookup);
    dial->lookup = NULL;
    redis_sentinel_free(dial->sentinel);
    dial->sentinel = NULL;
}
