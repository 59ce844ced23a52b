/* See http_client.h. */
#include "http/http_client.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "event/timer.h"
#include "http/http_lookups.h"
#include "http/http_multi.h"
#include "http/http_rooms.h"
#include "http/http_trust.h"
#include "http/target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

enum {
    FIRST_PACE_MS = 20,
    PACE_MAX_MS = 5000,
    POSTPONE_MIN_MS = 100,
    NAME_KNOWN_MS = 50000, /* below libcurl's minute */
    LOOKUP_POSTPONE_MS = 1000,
    PROBE_MS = 500 /* longer than it takes to connect with most hosts */
};

/* Whether a host has a connection that others could share; "gone": nobody waits for it any more. */
typedef enum http_probe { PROBE_NONE, PROBE_UNDER_WAY, PROBE_GONE, PROBE_CONNECTED } http_probe;

/* A host and port that transfers go to. */
typedef struct http_host {
    UT_hash_handle hh;
    char *name;
    size_t running;
    size_t count; /* with those that wait */
    http_transfer *waiting;
    size_t lookups;                          /* of its name, at present */
    int64_t known_until_ms;                  /* so long libcurl remembers its address; steady clock */
    int64_t begun_at_ms, postponed_until_ms; /* the last one; steady clock */
    double pace_ms;                          /* between two that begin */
    http_probe probe;
    int64_t probe_until_ms; /* steady clock */
} http_host;

struct http_client {
    loop *loop;
    http_multi multi;
    loop_timer probes; /* while there are some */
    http_host *hosts;
    http_rooms rooms;
    size_t running, waiting;
    bool has_room; /* some that wait may begin */
    http_lookups lookups;
    http_trust *trust;
};

/* ---- hosts ---- */

/* Of "host:port". */
static bool http_client_is_number(const char *place)
{
    char name[INET6_ADDRSTRLEN + 1];
    struct sockaddr_storage address;
    int length = (int)(strrchr(place, ':') - place);
    return snprintf(name, sizeof name, "%.*s", length, place) < (int)sizeof name && target_read_address(name, &address);
}

static http_host *find_host(http_client *client, const char *name)
{
    http_host *host = NULL;
    HASH_FIND_STR(client->hosts, name, host);
    if (host)
        return host;
    host = mem_calloc(1, sizeof *host);
    char *copy = host ? mem_strdup(name) : NULL;
    if (copy) {
        host->name = copy;
        host->pace_ms = FIRST_PACE_MS;
        host->known_until_ms = http_client_is_number(name) ? INT64_MAX : 0;
        HASH_ADD_KEYPTR(hh, client->hosts, host->name, strlen(host->name), host);
    }
    if (copy && HASH_HAS(host))
        return host;
    mem_free(copy);
    mem_free(host);
    return NULL;
}

static void note_begin(http_client *client, http_host *host)
{
    int64_t now_ms = loop_steady_ms(client->loop), since_ms = now_ms - host->begun_at_ms;
    if (host->begun_at_ms)
        host->pace_ms = 0.8 * host->pace_ms + 0.2 * (double)(since_ms < PACE_MAX_MS ? since_ms : PACE_MAX_MS);
    host->begun_at_ms = now_ms;
    http_rooms_begin(&client->rooms, host->name);
}

static bool http_client_is_known(const http_transfer *transfer)
{
    return loop_steady_ms(transfer->client->loop) < transfer->host->known_until_ms;
}

/* Another one finds out whether they can share a connection. */
static bool waits_for_probe(const http_transfer *transfer)
{
    const http_host *host = transfer->host;
    return transfer->may_share && host->probe == PROBE_UNDER_WAY &&
           loop_steady_ms(transfer->client->loop) < host->probe_until_ms;
}

static bool may_run(const http_transfer *transfer)
{
    const http_host *host = transfer->host;
    if (waits_for_probe(transfer))
        return false;
    bool may_look_up = host->lookups < LOOKUPS_HOST_MAX && http_lookups_may_begin(&transfer->client->lookups);
    return (!transfer->max || (int64_t)host->running < transfer->max) &&
           (may_look_up || http_client_is_known(transfer));
}

static void http_client_begin_lookup(http_transfer *transfer)
{
    if (http_client_is_known(transfer))
        return;
    transfer->is_looking_up = true;
    transfer->is_elsewhere = false;
    transfer->host->lookups++;
    http_lookups_begin(&transfer->client->lookups);
}

/* More transfers may begin; not at once, as libcurl is on the stack. */
static void make_room(void *arg)
{
    http_client *client = arg;
    client->has_room = true;
    http_multi_look_later(&client->multi);
}

static void begin_probe(http_transfer *transfer)
{
    http_client *client = transfer->client;
    http_host *host = transfer->host;
    if (!transfer->may_share || host->probe != PROBE_NONE)
        return;
    transfer->is_probe = true;
    host->probe = PROBE_UNDER_WAY;
    host->probe_until_ms = loop_steady_ms(client->loop) + PROBE_MS;
    if (!loop_timer_is_set(&client->probes))
        loop_timer_set(&client->probes, PROBE_MS);
}

/* Those that have waited begin side by side where there is nothing to share. */
static void end_probe(http_transfer *transfer, http_probe outcome)
{
    if (!transfer->is_probe)
        return;
    transfer->is_probe = false;
    transfer->host->probe = outcome;
    make_room(transfer->client);
}

void http_transfer_connected(http_transfer *transfer)
{
    transfer->is_connected = true;
    end_probe(transfer, PROBE_CONNECTED);
}

static void look_at_probes(void *arg)
{
    http_client *client = arg;
    http_host *host, *next;
    bool are_left = false;
    HASH_ITER(hh, client->hosts, host, next)
        are_left |= host->probe == PROBE_UNDER_WAY && loop_steady_ms(client->loop) < host->probe_until_ms;
    if (are_left)
        loop_timer_set(&client->probes, PROBE_MS);
    make_room(client);
}

bool http_transfer_may_look_up(http_transfer *transfer)
{
    if (transfer->is_looking_up)
        return true; /* for that it has waited */
    if (!http_lookups_may_begin(&transfer->client->lookups))
        return false;
    transfer->is_looking_up = transfer->is_elsewhere = true;
    http_lookups_begin(&transfer->client->lookups);
    return true;
}

/* The host's own name is not looked up any more. */
static void leave_name(http_transfer *transfer)
{
    transfer->is_looking_up = false;
    if (!transfer->is_elsewhere)
        transfer->host->lookups--;
}

void http_transfer_found_name(http_transfer *transfer)
{
    if (!transfer->is_looking_up)
        return;
    leave_name(transfer);
    if (!transfer->is_elsewhere)
        transfer->host->known_until_ms = loop_steady_ms(transfer->client->loop) + NAME_KNOWN_MS;
    http_lookups_end(&transfer->client->lookups);
}

/* Whether the resolver is still at it is not known; after its own time it is not. */
static void leave_lookup(http_transfer *transfer)
{
    if (!transfer->is_looking_up)
        return;
    leave_name(transfer);
    if (transfer->has_failed_lookup)
        http_lookups_end(&transfer->client->lookups);
    else
        http_lookups_give_up(&transfer->client->lookups);
}

static bool run_transfer(http_transfer *transfer)
{
    http_client *client = transfer->client;
    /* It may wait for a connection that is being made, to go along on it. */
    bool has_one = transfer->may_share && transfer->host->probe == PROBE_CONNECTED;
    curl_easy_setopt(transfer->easy, CURLOPT_PIPEWAIT, has_one ? 1L : 0L);
    if (!transfer->begin(transfer->arg) || !http_multi_add(&client->multi, transfer->easy))
        return false;
    begin_probe(transfer);
    note_begin(client, transfer->host);
    http_client_begin_lookup(transfer);
    transfer->is_running = true;
    transfer->host->running++;
    client->running++;
    return true;
}

static void leave_host(http_client *client, http_host *host)
{
    if (--host->count)
        return;
    HASH_DEL(client->hosts, host);
    mem_free(host->name);
    mem_free(host);
}

/* Those that are not to run any more make place for others. The caller sees to it that the host stays. */
static void run_waiting(http_client *client, http_host *host)
{
    for (http_transfer *first; (first = host->waiting) && may_run(first);) {
        DL_DELETE(host->waiting, first);
        client->waiting--;
        if (run_transfer(first))
            continue;
        first->host = NULL;
        host->count--; /* the caller has it as well */
        first->done(first->arg, CURLE_OUT_OF_MEMORY);
    }
}

/* Takes it off the books. */
static void leave(http_transfer *transfer)
{
    http_client *client = transfer->client;
    http_host *host = transfer->host;
    if (transfer->is_running) {
        http_multi_remove(&client->multi, transfer->easy);
        transfer->is_running = false;
        leave_lookup(transfer);
        end_probe(transfer, PROBE_GONE);
        if (!transfer->is_connected)
            host->probe = PROBE_GONE; /* where nobody can connect, nobody is to wait for another who tries */
        host->running--;
        client->running--;
        host->count++; /* it stays while another is begun */
        run_waiting(client, host);
        host->count--;
    } else {
        DL_DELETE(host->waiting, transfer);
        client->waiting--;
    }
    transfer->host = NULL;
    leave_host(client, host);
}

bool http_transfer_start(http_client *client, http_transfer *transfer, const char *name, int64_t max)
{
    http_host *host = find_host(client, name);
    if (!host)
        return false;
    transfer->client = client;
    transfer->host = host;
    host->count++;
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    transfer->max = max;
    if (host->waiting || !may_run(transfer)) {
        DL_APPEND(host->waiting, transfer);
        client->waiting++;
        return true;
    }
    if (run_transfer(transfer))
        return true;
    transfer->host = NULL;
    leave_host(client, host);
    return false;
}

/* Its name would have to wait for those of others, with a slot that others could use. */
static bool client_lacks_lookups(const http_client *client, const http_host *host, const char *name)
{
    return !http_lookups_may_begin(&client->lookups) && !http_client_is_number(name) &&
           (!host || loop_steady_ms(client->loop) >= host->known_until_ms);
}

int64_t http_client_postpone_ms(http_client *client, const char *name, int64_t max)
{
    http_host *host = NULL;
    HASH_FIND_STR(client->hosts, name, host);
    size_t waiting = host ? host->count - host->running : 0;
    bool is_full = max && (int64_t)waiting >= max;
    if (!is_full && !client_lacks_lookups(client, host, name))
        return 0;
    if (!host)
        return LOOKUP_POSTPONE_MS;
    int64_t now_ms = loop_steady_ms(client->loop), soonest_ms = now_ms + POSTPONE_MIN_MS;
    host->postponed_until_ms += (int64_t)host->pace_ms + 1;
    if (host->postponed_until_ms < soonest_ms)
        host->postponed_until_ms = soonest_ms;
    return host->postponed_until_ms - now_ms;
}

void http_transfer_stop(http_transfer *transfer)
{
    if (transfer->host)
        leave(transfer);
}

static void run_all_waiting(void *arg)
{
    http_client *client = arg;
    http_host *host, *next;
    if (!client->has_room)
        return;
    client->has_room = false;
    HASH_ITER(hh, client->hosts, host, next) {
        host->count++;
        run_waiting(client, host);
        leave_host(client, host);
    }
}

static void transfer_ended(void *arg, CURL *easy, CURLcode result)
{
    (void)arg;
    http_transfer *transfer;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
    transfer->has_failed_lookup = result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY;
    leave(transfer);
    transfer->done(transfer->arg, result);
}

size_t http_client_running(const http_client *client)
{
    return client->running;
}

size_t http_client_waiting(const http_client *client)
{
    return client->waiting;
}

/* ---- rooms ---- */

static bool is_used(void *arg, const char *name)
{
    const http_client *client = arg;
    const http_host *host = NULL;
    HASH_FIND_STR(client->hosts, name, host);
    return host != NULL;
}

asynq_capacity *http_client_join(http_client *client, const char *host, int64_t max)
{
    return http_rooms_join(&client->rooms, host, max);
}

void http_client_leave(http_client *client, const char *host, int64_t max)
{
    http_rooms_leave(&client->rooms, host, max);
}

/* ---- the whole ---- */

CURL *http_client_take_easy(http_client *client)
{
    return http_multi_take_easy(&client->multi);
}

void http_client_give_back_easy(http_client *client, CURL *easy)
{
    http_multi_give_back_easy(&client->multi, easy);
}

http_client *http_client_new(loop *l, log_sink *log, errands *thread)
{
    http_client *client = mem_calloc(1, sizeof *client);
    if (client)
        client->trust = http_trust_new(l, log, thread);
    if (!client || !client->trust ||
        !http_multi_init(&client->multi, l, &(http_multi_events){run_all_waiting, transfer_ended, client})) {
        if (client)
            http_trust_free(client->trust);
        mem_free(client);
        return NULL;
    }
    client->loop = l;
    http_lookups_init(&client->lookups, l, make_room, client);
    http_rooms_init(&client->rooms, l, is_used, client);
    loop_timer_init(l, &client->probes, look_at_probes, client);
    return client;
}

bool http_client_trust_system(http_client *client, CURL *easy)
{
    return http_trust_apply(client->trust, easy);
}

void http_client_free(http_client *client)
{
    if (!client)
        return;
    http_rooms_clear(&client->rooms);
    http_multi_clear(&client->multi);
    http_lookups_clear(&client->lookups);
    http_trust_free(client->trust);
    loop_timer_cancel(&client->probes);
    mem_free(client);
}
