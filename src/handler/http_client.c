/* See http_client.h. */
#include "handler/http_client.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "event/timer.h"
#include "event/watch.h"
#include "handler/http_lookups.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <utlist.h>

enum {
    MOST_SPARE = 256,
    MOST_KEPT_CONNECTIONS = 1024,
    FIRST_PACE_MS = 20,
    PACE_MAX_MS = 5000,
    PUT_OFF_MIN_MS = 100,
    NAME_KNOWN_MS = 50000, /* below libcurl's minute */
    LOOKUP_PUT_OFF_MS = 1000
};

/* A host and port that transfers go to. */
typedef struct http_host {
    UT_hash_handle hh;
    char *name;
    size_t running;
    size_t count; /* with those that wait */
    http_transfer *waiting;
    size_t lookups;                        /* of its name, at present */
    int64_t known_until_ms;                /* so long libcurl remembers its address; steady clock */
    int64_t begun_at_ms, put_off_until_ms; /* the last one; steady clock */
    double pace_ms;                        /* between two that begin */
} http_host;

/* A socket of libcurl's. */
typedef struct http_socket {
    http_client *client;
    loop_watch watch;
} http_socket;

/* What routes with a host of their own take up, by host and `most`. */
typedef struct http_room {
    http_client *client;
    char *host;
    int64_t most;
    admission admission;
    struct http_room *next;
} http_room;

struct http_client {
    loop *loop;
    CURLM *multi;
    loop_timer timer;
    http_host *hosts;
    http_room *rooms;
    CURL *spare[MOST_SPARE];
    size_t spare_count, running, waiting;
    loop_deferred look;
    bool will_look, has_room; /* some that wait may begin */
    http_lookups lookups;
};

static void take_finished(void *arg);

/* ---- what libcurl wants of the loop ---- */

/* Not from inside of libcurl, which may have called us. */
static void look_later(http_client *client)
{
    if (client->will_look)
        return;
    client->will_look = true;
    loop_defer(client->loop, &client->look, take_finished, client);
}

static void act(http_client *client, curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(client->multi, fd, what, &running);
    look_later(client);
}

static void socket_ready(void *arg, bool can_read, bool can_write)
{
    http_socket *own = arg;
    act(own->client, own->watch.fd, (can_read ? CURL_CSELECT_IN : 0) | (can_write ? CURL_CSELECT_OUT : 0));
}

static void timer_fired(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    http_client *client = arg;
    http_socket *own = known;
    if (what == CURL_POLL_REMOVE) {
        if (own)
            loop_watch_clear(&own->watch);
        mem_free(own);
        return 0;
    }
    if (!own) {
        own = mem_calloc(1, sizeof *own);
        if (!own)
            return -1;
        own->client = client;
        loop_watch_init(client->loop, &own->watch, fd, socket_ready, own);
        curl_multi_assign(client->multi, fd, own);
    }
    loop_watch_set(&own->watch, what & CURL_POLL_IN, what & CURL_POLL_OUT);
    return 0;
}

static int set_timer(CURLM *multi, long delay_ms, void *arg)
{
    (void)multi;
    http_client *client = arg;
    if (delay_ms < 0)
        loop_timer_cancel(&client->timer);
    else
        loop_timer_set(&client->timer, delay_ms);
    return 0;
}

/* ---- hosts ---- */

/* Of "host:port". */
static bool is_number(const char *place)
{
    char name[INET6_ADDRSTRLEN + 1], room[sizeof(struct in6_addr)];
    size_t length = (size_t)(strrchr(place, ':') - place);
    if (length > INET6_ADDRSTRLEN)
        return false;
    memcpy(name, place, length);
    name[length] = '\0';
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
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
        host->known_until_ms = is_number(name) ? INT64_MAX : 0;
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
    http_room *room;
    int64_t now_ms = loop_steady_ms(client->loop), since_ms = now_ms - host->begun_at_ms;
    if (host->begun_at_ms)
        host->pace_ms = 0.8 * host->pace_ms + 0.2 * (double)(since_ms < PACE_MAX_MS ? since_ms : PACE_MAX_MS);
    host->begun_at_ms = now_ms;
    LL_FOREACH(client->rooms, room)
        if (strcmp(room->host, host->name) == 0)
            admission_begin(&room->admission);
}

static bool is_known(const http_transfer *transfer)
{
    return loop_steady_ms(transfer->client->loop) < transfer->host->known_until_ms;
}

static bool may_run(const http_transfer *transfer)
{
    const http_host *host = transfer->host;
    bool may_look_up = host->lookups < LOOKUPS_HOST_MAX && http_lookups_may_begin(&transfer->client->lookups);
    return (!transfer->most || (int64_t)host->running < transfer->most) && (may_look_up || is_known(transfer));
}

static void begin_lookup(http_transfer *transfer)
{
    if (is_known(transfer))
        return;
    transfer->is_looking_up = true;
    transfer->host->lookups++;
    http_lookups_begin(&transfer->client->lookups);
}

/* More transfers may begin; not at once, as libcurl is on the stack. */
static void make_room(void *arg)
{
    http_client *client = arg;
    client->has_room = true;
    look_later(client);
}

void http_transfer_found_name(http_transfer *transfer)
{
    if (!transfer->is_looking_up)
        return;
    transfer->is_looking_up = false;
    transfer->host->lookups--;
    transfer->host->known_until_ms = loop_steady_ms(transfer->client->loop) + NAME_KNOWN_MS;
    http_lookups_end(&transfer->client->lookups);
}

/* Whether the resolver is still at it is not known; after its own time it is not. */
static void leave_lookup(http_transfer *transfer)
{
    if (!transfer->is_looking_up)
        return;
    transfer->is_looking_up = false;
    transfer->host->lookups--;
    if (transfer->has_failed_lookup)
        http_lookups_end(&transfer->client->lookups);
    else
        http_lookups_give_up(&transfer->client->lookups);
}

static bool run_transfer(http_transfer *transfer)
{
    http_client *client = transfer->client;
    if (!transfer->begin(transfer->arg) || curl_multi_add_handle(client->multi, transfer->easy))
        return false;
    note_begin(client, transfer->host);
    begin_lookup(transfer);
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
        curl_multi_remove_handle(client->multi, transfer->easy);
        transfer->is_running = false;
        leave_lookup(transfer);
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

bool http_transfer_start(http_client *client, http_transfer *transfer, const char *name, int64_t most)
{
    http_host *host = find_host(client, name);
    if (!host)
        return false;
    transfer->client = client;
    transfer->host = host;
    host->count++;
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    transfer->most = most;
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
    return !http_lookups_may_begin(&client->lookups) && !is_number(name) &&
           (!host || loop_steady_ms(client->loop) >= host->known_until_ms);
}

int64_t http_client_put_off_ms(http_client *client, const char *name, int64_t most)
{
    http_host *host = NULL;
    HASH_FIND_STR(client->hosts, name, host);
    size_t waiting = host ? host->count - host->running : 0;
    bool is_full = most && (int64_t)waiting >= most;
    if (!is_full && !client_lacks_lookups(client, host, name))
        return 0;
    if (!host)
        return LOOKUP_PUT_OFF_MS;
    int64_t now_ms = loop_steady_ms(client->loop), soonest_ms = now_ms + PUT_OFF_MIN_MS;
    host->put_off_until_ms += (int64_t)host->pace_ms + 1;
    if (host->put_off_until_ms < soonest_ms)
        host->put_off_until_ms = soonest_ms;
    return host->put_off_until_ms - now_ms;
}

void http_transfer_stop(http_transfer *transfer)
{
    if (transfer->host)
        leave(transfer);
}

static void run_all_waiting(http_client *client)
{
    http_host *host, *next;
    client->has_room = false;
    HASH_ITER(hh, client->hosts, host, next) {
        host->count++;
        run_waiting(client, host);
        leave_host(client, host);
    }
}

static void take_finished(void *arg)
{
    http_client *client = arg;
    CURLMsg *message;
    int left;
    client->will_look = false;
    if (client->has_room)
        run_all_waiting(client);
    while ((message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        http_transfer *transfer;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->has_failed_lookup = result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY;
        leave(transfer);
        transfer->done(transfer->arg, result);
    }
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

static bool room_is_used(void *arg)
{
    const http_room *room = arg;
    const http_host *host = NULL;
    HASH_FIND_STR(room->client->hosts, room->host, host);
    return host != NULL;
}

static void room_free(http_room *room)
{
    admission_clear(&room->admission);
    mem_free(room->host);
    mem_free(room);
}

asynq_capacity *http_client_capacity(http_client *client, const char *host, int64_t most)
{
    http_room *room;
    LL_FOREACH(client->rooms, room)
        if (room->most == most && strcmp(room->host, host) == 0)
            return room->admission.capacity;
    room = mem_calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->client = client;
    room->most = most;
    room->host = mem_strdup(host);
    if (!room->host || admission_init(&room->admission, client->loop, (size_t)most, room_is_used, room)) {
        room_free(room);
        return NULL;
    }
    LL_PREPEND(client->rooms, room);
    return room->admission.capacity;
}

/* ---- handles ---- */

CURL *http_client_take_easy(http_client *client)
{
    return client->spare_count ? client->spare[--client->spare_count] : curl_easy_init();
}

void http_client_give_back_easy(http_client *client, CURL *easy)
{
    if (client->spare_count == MOST_SPARE) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    client->spare[client->spare_count++] = easy;
}

/* Connections that nobody uses are not to take the descriptors that others lack. */
static long http_client_kept(void)
{
    enum { KEPT_MIN = 4, KEPT_SHARE = 8 };
    struct rlimit limit;
    rlim_t share = getrlimit(RLIMIT_NOFILE, &limit) ? KEPT_MIN : limit.rlim_cur / KEPT_SHARE;
    return share < KEPT_MIN ? KEPT_MIN : share > MOST_KEPT_CONNECTIONS ? MOST_KEPT_CONNECTIONS : (long)share;
}

http_client *http_client_new(loop *l)
{
    http_client *client = mem_calloc(1, sizeof *client);
    if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) || !(client->multi = curl_multi_init())) {
        mem_free(client);
        return NULL;
    }
    client->loop = l;
    http_lookups_init(&client->lookups, l, make_room, client);
    loop_timer_init(l, &client->timer, timer_fired, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, http_client_kept());
    return client;
}

void http_client_free(http_client *client)
{
    if (!client)
        return;
    for (http_room *room; (room = client->rooms);) {
        LL_DELETE(client->rooms, room);
        room_free(room);
    }
    while (client->spare_count)
        curl_easy_cleanup(client->spare[--client->spare_count]);
    curl_multi_cleanup(client->multi);
    http_lookups_clear(&client->lookups);
    loop_timer_cancel(&client->timer);
    mem_free(client);
}
