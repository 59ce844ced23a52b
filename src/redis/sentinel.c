/* See sentinel.h. */
#include "redis/sentinel.h"

#include "base/alloc.h"
#include "base/error.h"
#include "event/timer.h"
#include "redis/answer.h"
#include "redis/dial.h"
#include "redis/stream.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

enum { SENTINEL_SOON_MS = 300, SENTINEL_LIMIT_MS = 3000, SENTINEL_MIN_PERIOD_MS = 200 /* however often it rings */ };

typedef enum vote_state {
    VOTE_NONE,
    VOTE_AWAITED,
    VOTE_UNREACHABLE,
    VOTE_REFUSED,
    VOTE_UNKNOWN_NAME,
    VOTE_GIVEN
} vote_state;

/* What one sentinel says. */
typedef struct sentinel_vote {
    redis_sentinel *sentinel;
    redis_uri uri; /* where this one is; its texts are the whole URI's */
    redis_dial dial;
    redis_stream stream;
    int answers_left; /* the last one is to SENTINEL MASTER, the one before names the address */
    vote_state state;
    char host[NI_MAXHOST];
    int port;
    int64_t epoch; /* of the election; 0: it would not say */
    asynq_error error;
} sentinel_vote;

struct redis_sentinel {
    loop *loop;
    const redis_uri *uri;
    log_sink *log;
    redis_sentinel_events events;
    bool is_asking;
    int64_t asked_at_ms;
    /* To decide, or to ask again after a message: also at once, but not in a callback of a connection that is closed by
     * it. */
    loop_timer time;
    loop_hook write_hook;
    char host[NI_MAXHOST];
    int port; /* the last that was found: with as many votes as another it stays, if it is good */
    bool is_distrusted;
    sentinel_vote *bell; /* subscribed; NULL: none */
    log_limit complaint;
    size_t count;
    sentinel_vote votes[];
};

/* ---- one sentinel ---- */

static void vote_hang_up(sentinel_vote *vote)
{
    redis_dial_cancel(&vote->dial);
    redis_stream_close(&vote->stream, false);
    if (vote->sentinel->bell == vote)
        vote->sentinel->bell = NULL;
}

static void vote_ends(sentinel_vote *vote, vote_state state)
{
    vote->state = state;
    if (state != VOTE_GIVEN) /* else it may become the bell */
        vote_hang_up(vote);
    if (vote->sentinel->is_asking)
        loop_timer_set(&vote->sentinel->time, 0);
}

/* What was given before counts all the same. */
static void vote_failed(void *arg, const asynq_error *error)
{
    sentinel_vote *vote = arg;
    if (vote->state == VOTE_GIVEN) {
        vote_hang_up(vote);
        return;
    }
    vote->error = *error;
    vote_ends(vote, VOTE_UNREACHABLE);
}

static bool vote_send(sentinel_vote *vote, int count, const char *const *argv)
{
    size_t lengths[3];
    for (int i = 0; i < count; i++)
        lengths[i] = strlen(argv[i]);
    vote->answers_left++;
    return redis_stream_queue(&vote->stream, count, argv, lengths) != 0;
}

static bool vote_send_words(sentinel_vote *vote)
{
    const char *master = vote->sentinel->uri->sentinels.master, *auth[REDIS_AUTH_WORDS];
    int auth_count = redis_uri_auth(&vote->uri, auth);
    const char *const address[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", master};
    const char *const state[] = {"SENTINEL", "MASTER", master};
    return (!auth_count || vote_send(vote, auth_count, auth)) && vote_send(vote, 3, address) &&
           vote_send(vote, 3, state);
}

static void vote_connected(void *arg, int fd)
{
    sentinel_vote *vote = arg;
    asynq_error error;
    int status = redis_stream_open(&vote->stream, fd, &vote->uri, &error);
    if (!status && !vote_send_words(vote))
        status = error_set_code(&error, ASYNQ_E_NO_MEMORY);
    if (status)
        vote_failed(vote, &error);
}

static void vote_refused(sentinel_vote *vote, const redis_value *reply)
{
    bool is_right = redis_answer_of(reply) == REDIS_ANSWER_REFUSED;
    const char *meaning = redis_answer_meaning(reply);
    error_set(&vote->error, is_right ? ASYNQ_E_AUTH : ASYNQ_E_UNAVAILABLE, "%s%s%.*s", meaning, meaning[0] ? ": " : "",
              BYTES_ARGS(reply->text));
    vote_ends(vote, is_right ? VOTE_REFUSED : VOTE_UNREACHABLE);
}

/* Two texts. A port that is none, or a host that cannot be one, is no answer. */
static bool vote_read_address(sentinel_vote *vote, const redis_value *reply)
{
    const redis_value *host = redis_value_at(reply, 0), *port = redis_value_at(reply, 1);
    if (reply->count != 2 || host->type != REDIS_STRING || port->type != REDIS_STRING || !host->text.length ||
        host->text.length >= sizeof vote->host || strlen(host->text.data) < host->text.length)
        return false;
    snprintf(vote->host, sizeof vote->host, "%s", host->text.data);
    int64_t number = redis_value_integer(port);
    vote->port = (int)(number > 0 && number < 65536 ? number : 0);
    return vote->port > 0;
}

/* Names and values in turns. */
static int64_t vote_read_epoch(const redis_value *reply)
{
    for (size_t i = 0; reply->type == REDIS_ARRAY && i + 1 < reply->count; i += 2)
        if (redis_value_is_text(redis_value_at(reply, i), "config-epoch"))
            return redis_value_integer(redis_value_at(reply, i + 1));
    return 0;
}

static void vote_take_address(sentinel_vote *vote, const redis_value *reply)
{
    if (reply->type == REDIS_ERROR) {
        vote_refused(vote, reply);
    } else if (reply->type == REDIS_NIL) {
        vote_ends(vote, VOTE_UNKNOWN_NAME);
    } else if (reply->type != REDIS_ARRAY || !vote_read_address(vote, reply)) {
        error_set(&vote->error, ASYNQ_E_MALFORMED, "it answered with something else than an address");
        vote_ends(vote, VOTE_UNREACHABLE);
    }
}

/* "NAME old-host old-port new-host new-port": of our master, or of another one that they watch. */
static void sentinel_rings(redis_sentinel *sentinel, const redis_value *message)
{
    const redis_value *text = redis_value_at(message, 2);
    const char *master = sentinel->uri->sentinels.master;
    size_t length = strlen(master);
    bool is_ours =
        text->text.length > length && memcmp(text->text.data, master, length) == 0 && text->text.data[length] == ' ';
    int64_t since_ms = loop_steady_ms(sentinel->loop) - sentinel->asked_at_ms;
    if (is_ours && !sentinel->is_asking && !loop_timer_is_set(&sentinel->time))
        loop_timer_set(&sentinel->time, SENTINEL_MIN_PERIOD_MS - since_ms);
}

static void vote_answered(void *arg, const redis_value *reply)
{
    sentinel_vote *vote = arg;
    if (vote->sentinel->bell == vote && redis_value_is_message(reply))
        sentinel_rings(vote->sentinel, reply);
    if (vote->state != VOTE_AWAITED)
        return;
    vote->answers_left--;
    if (vote->answers_left == 1) {
        vote_take_address(vote, reply);
    } else if (vote->answers_left == 0) {
        vote->epoch = vote_read_epoch(reply); /* it may be refused */
        vote_ends(vote, VOTE_GIVEN);
    } else if (reply->type == REDIS_ERROR) {
        vote_refused(vote, reply);
    }
}

static void vote_ask(sentinel_vote *vote)
{
    vote_hang_up(vote);
    vote->state = VOTE_AWAITED;
    vote->answers_left = 0;
    error_clear(&vote->error);
    redis_dial_start(&vote->dial, SENTINEL_LIMIT_MS);
}

static void vote_become_bell(sentinel_vote *vote)
{
    const char *const words[] = {"SUBSCRIBE", "+switch-master"};
    if (vote->stream.fd >= 0 && vote_send(vote, 2, words))
        vote->sentinel->bell = vote;
}

static void vote_init(sentinel_vote *vote, redis_sentinel *sentinel, const redis_place *place)
{
    const redis_uri *all = sentinel->uri;
    vote->sentinel = sentinel;
    vote->uri = *all;
    vote->uri.sentinels = (redis_sentinels){0};
    vote->uri.host = place->host;
    vote->uri.port = place->port;
    vote->uri.user = all->sentinels.user;
    vote->uri.password = all->sentinels.password;
    vote->uri.tls = all->sentinels.tls;
    /* A dial without sentinels needs no memory. */
    (void)!redis_dial_init(&vote->dial, sentinel->loop, &vote->uri, sentinel->log,
                           &(redis_dial_events){.connected = vote_connected, .failed = vote_failed, .arg = vote});
    redis_stream_init(&vote->stream, sentinel->loop,
                      &(redis_stream_events){.reply = vote_answered, .lost = vote_failed, .arg = vote});
}

/* ---- all of them ---- */

static bool vote_is_for(const sentinel_vote *vote, const char *host, int port)
{
    return vote->state == VOTE_GIVEN && vote->port == port && strcmp(vote->host, host) == 0;
}

static size_t sentinel_count(const redis_sentinel *sentinel, vote_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < sentinel->count; i++)
        count += sentinel->votes[i].state == state;
    return count;
}

static size_t sentinel_votes_for(const redis_sentinel *sentinel, const sentinel_vote *like)
{
    size_t count = 0;
    for (size_t i = 0; i < sentinel->count; i++)
        count += vote_is_for(&sentinel->votes[i], like->host, like->port) && sentinel->votes[i].epoch == like->epoch;
    return count;
}

/* Above 0: `vote` counts more than `other`. */
static int64_t sentinel_compare(const redis_sentinel *sentinel, const sentinel_vote *vote, const sentinel_vote *other)
{
    if (vote->epoch != other->epoch)
        return vote->epoch > other->epoch ? 1 : -1;
    int64_t more = (int64_t)sentinel_votes_for(sentinel, vote) - (int64_t)sentinel_votes_for(sentinel, other);
    int64_t is_last = (int64_t)vote_is_for(vote, sentinel->host, sentinel->port) -
                      (int64_t)vote_is_for(other, sentinel->host, sentinel->port);
    return more ? more : sentinel->is_distrusted ? -is_last : is_last;
}

/* NULL: none has been given yet. */
static sentinel_vote *sentinel_winner(redis_sentinel *sentinel)
{
    sentinel_vote *winner = NULL;
    for (size_t i = 0; i < sentinel->count; i++) {
        sentinel_vote *vote = &sentinel->votes[i];
        if (vote->state == VOTE_GIVEN && (!winner || sentinel_compare(sentinel, vote, winner) > 0))
            winner = vote;
    }
    return winner;
}

/* Two masters of one election are a fault; that not all know of the latest one is usual for a moment. */
static void sentinel_tell_disagreement(redis_sentinel *sentinel, const sentinel_vote *winner)
{
    for (size_t i = 0; i < sentinel->count; i++) {
        const sentinel_vote *vote = &sentinel->votes[i];
        if (vote->state != VOTE_GIVEN || vote->epoch != winner->epoch || vote_is_for(vote, winner->host, winner->port))
            continue;
        log_event_repeated(sentinel->log, &sentinel->complaint, LOG_SENTINELS_DISAGREE,
                           "where the master \"%s\" is: %s:%d says %s:%d, but %zu of %zu say %s:%d, which is taken",
                           sentinel->uri->sentinels.master, vote->uri.host, vote->uri.port, vote->host, vote->port,
                           sentinel_votes_for(sentinel, winner), sentinel->count, winner->host, winner->port);
    }
}

static void sentinel_end_question(redis_sentinel *sentinel)
{
    sentinel->is_asking = false;
    loop_timer_cancel(&sentinel->time);
    for (size_t i = 0; i < sentinel->count; i++)
        if (&sentinel->votes[i] != sentinel->bell)
            vote_hang_up(&sentinel->votes[i]);
}

void redis_sentinel_cancel(redis_sentinel *sentinel)
{
    if (sentinel->is_asking)
        sentinel_end_question(sentinel);
}

void redis_sentinel_distrust(redis_sentinel *sentinel)
{
    sentinel->is_distrusted = true;
}

bool redis_sentinel_is_subscribed(const redis_sentinel *sentinel)
{
    return sentinel->bell != NULL;
}

static void sentinel_found(redis_sentinel *sentinel, sentinel_vote *winner)
{
    sentinel_tell_disagreement(sentinel, winner);
    snprintf(sentinel->host, sizeof sentinel->host, "%s", winner->host);
    sentinel->port = winner->port;
    sentinel->is_distrusted = false;
    vote_become_bell(winner);
    sentinel_end_question(sentinel);
    sentinel->events.found(sentinel->events.arg, sentinel->host, sentinel->port);
}

/* Each says why, as far as there is room. */
static void sentinel_describe_failure(const redis_sentinel *sentinel, asynq_error *error)
{
    const char *master = sentinel->uri->sentinels.master;
    char text[sizeof error->text];
    size_t unknown = sentinel_count(sentinel, VOTE_UNKNOWN_NAME), refused = sentinel_count(sentinel, VOTE_REFUSED);
    int status = refused ? ASYNQ_E_AUTH : unknown ? ASYNQ_E_INVALID : ASYNQ_E_UNAVAILABLE;
    int length = snprintf(text, sizeof text, "no sentinel says where the master \"%.60s\" is", master);
    for (size_t i = 0; i < sentinel->count && (size_t)length < sizeof text; i++) {
        const sentinel_vote *vote = &sentinel->votes[i];
        length += snprintf(text + length, sizeof text - (size_t)length, "%s %.60s:%d: %s", i ? ";" : ":",
                           vote->uri.host, vote->uri.port,
                           vote->state == VOTE_UNKNOWN_NAME ? "it watches no master of this name (master=)"
                           : vote->error.code               ? vote->error.text
                                                            : "no answer");
    }
    error_set(error, status, "%s", text);
}

static void sentinel_fail(redis_sentinel *sentinel)
{
    asynq_error error;
    sentinel_describe_failure(sentinel, &error);
    sentinel_end_question(sentinel);
    sentinel->events.failed(sentinel->events.arg, &error);
}

static void sentinel_decide(redis_sentinel *sentinel)
{
    size_t awaited = sentinel_count(sentinel, VOTE_AWAITED);
    int64_t waited_ms = loop_steady_ms(sentinel->loop) - sentinel->asked_at_ms;
    sentinel_vote *winner = sentinel_winner(sentinel);
    if (winner && (!awaited || waited_ms >= SENTINEL_SOON_MS))
        sentinel_found(sentinel, winner);
    else if (!awaited || waited_ms >= SENTINEL_LIMIT_MS)
        sentinel_fail(sentinel);
    else
        loop_timer_set(&sentinel->time,
                       (waited_ms < SENTINEL_SOON_MS ? SENTINEL_SOON_MS : SENTINEL_LIMIT_MS) - waited_ms);
}

static void sentinel_time_has_come(void *arg)
{
    redis_sentinel *sentinel = arg;
    if (sentinel->is_asking)
        sentinel_decide(sentinel);
    else
        redis_sentinel_ask(sentinel);
}

static void sentinel_write(void *arg)
{
    redis_sentinel *sentinel = arg;
    for (size_t i = 0; i < sentinel->count; i++)
        redis_stream_write(&sentinel->votes[i].stream);
}

void redis_sentinel_ask(redis_sentinel *sentinel)
{
    if (sentinel->is_asking)
        return;
    sentinel->is_asking = true;
    sentinel->asked_at_ms = loop_steady_ms(sentinel->loop);
    loop_timer_set(&sentinel->time, SENTINEL_SOON_MS);
    for (size_t i = 0; i < sentinel->count; i++)
        vote_ask(&sentinel->votes[i]);
}

redis_sentinel *redis_sentinel_new(loop *l, const redis_uri *uri, log_sink *log, const redis_sentinel_events *events)
{
    const redis_places *all = &uri->sentinels.places;
    redis_sentinel *sentinel = mem_calloc(1, sizeof *sentinel + all->count * sizeof sentinel->votes[0]);
    if (!sentinel)
        return NULL;
    sentinel->loop = l;
    sentinel->uri = uri;
    sentinel->log = log;
    sentinel->events = *events;
    loop_timer_init(l, &sentinel->time, sentinel_time_has_come, sentinel);
    loop_hook_add(l, LOOP_WRITE, &sentinel->write_hook, sentinel_write, sentinel);
    for (; sentinel->count < all->count; sentinel->count++)
        vote_init(&sentinel->votes[sentinel->count], sentinel, &all->at[sentinel->count]);
    return sentinel;
}

void redis_sentinel_free(redis_sentinel *sentinel)
{
    if (!sentinel)
        return;
    loop_timer_cancel(&sentinel->time);
    loop_hook_remove(sentinel->loop, LOOP_WRITE, &sentinel->write_hook);
    for (size_t i = 0; i < sentinel->count; i++) {
        redis_dial_clear(&sentinel->votes[i].dial);
        redis_stream_clear(&sentinel->votes[i].stream);
    }
    mem_free(sentinel);
}
