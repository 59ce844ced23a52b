/* See handshake.h. */
#include "redis/handshake.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HANDSHAKE_MAX_WORDS = 4, HANDSHAKE_MIN_VERSION = 602 /* Redis 6.2 */ };

static void handshake_second_part(redis_handshake *handshake);

/* ---- asking ---- */

static int handshake_ask(redis_handshake *handshake, redis_result_cb cb, int count, ...)
{
    const char *argv[HANDSHAKE_MAX_WORDS];
    va_list words;
    va_start(words, count);
    for (int i = 0; i < count; i++)
        argv[i] = va_arg(words, const char *);
    va_end(words);
    handshake->answers_left++;
    return handshake->send(handshake->arg, count, argv, cb, handshake);
}

/* ---- answers ---- */

/* The first thing that goes wrong is the reason for all that follow. */
static void handshake_fail(redis_handshake *handshake, int status, const char *what, const char *words)
{
    if (!handshake->error.code)
        error_set(&handshake->error, status, "%s%s%s", what, words[0] ? ": " : "", words);
}

/* What cannot be done without failed. Only what the server says about rights or databases lasts: anything else, also
 * the words of a proxy that we do not know, may pass. */
static void handshake_fail_by(redis_handshake *handshake, const redis_value *reply)
{
    char words[200];
    redis_answer answer = redis_answer_of(reply);
    int status = answer == REDIS_ANSWER_REFUSED       ? ASYNQ_E_AUTH
                 : answer == REDIS_ANSWER_NO_DATABASE ? ASYNQ_E_INVALID
                                                      : ASYNQ_E_UNAVAILABLE;
    const char *meaning = redis_answer_meaning(reply);
    redis_answer_describe(reply, handshake->key_prefix, words, sizeof words);
    handshake_fail(handshake, status, meaning[0] ? meaning : "Redis answered", words);
}

static bool handshake_has_passing_trouble(const redis_value *reply)
{
    redis_answer answer = redis_answer_of(reply);
    return answer == REDIS_ANSWER_NOT_NOW || answer == REDIS_ANSWER_NOT_HERE;
}

/* One answer less to wait for. */
static void handshake_count_down(redis_handshake *handshake)
{
    if (!handshake->is_active || --handshake->answers_left)
        return;
    if (!handshake->error.code && !handshake->is_second_part)
        handshake_second_part(handshake);
    if (handshake->answers_left)
        return;
    handshake->is_active = false;
    handshake->done(handshake->arg);
}

/* The reply to read; NULL: there is none, which is dealt with. */
static const redis_value *handshake_reply(redis_handshake *handshake, const redis_result *result)
{
    if (handshake->is_active && result->outcome != REDIS_REPLIED)
        handshake_fail(handshake, ASYNQ_E_UNAVAILABLE, result->reason, "");
    return handshake->is_active && result->outcome == REDIS_REPLIED ? result->reply : NULL;
}

static void handshake_on_required(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    if (reply && reply->type == REDIS_ERROR)
        handshake_fail_by(handshake, reply);
    handshake_count_down(handshake);
}

/* Some services have no SELECT, and database 0 only. */
static void handshake_on_select(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    bool is_needless = reply && !handshake->uri->database && reply->type == REDIS_ERROR &&
                       redis_answer_of(reply) == REDIS_ANSWER_WRONG;
    if (reply && reply->type == REDIS_ERROR && !is_needless)
        handshake_fail_by(handshake, reply);
    handshake_count_down(handshake);
}

/* Redis may refuse this without harm. */
static void handshake_on_optional(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    if (reply && handshake_has_passing_trouble(reply))
        handshake_fail_by(handshake, reply);
    handshake_count_down(handshake);
}

/* Where ROLE is refused, the first write tells. */
static void handshake_on_role(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    const redis_value *role = reply ? redis_value_at(reply, 0) : NULL;
    if (role && role->type == REDIS_STRING && !redis_value_is_text(role, "master"))
        handshake_fail(handshake, ASYNQ_E_UNAVAILABLE, "the sentinels named a Redis that is no master; its role is",
                       role->text.data);
    handshake_on_optional(handshake, result);
}

/* Who does not tell, for lack of rights or because it is a proxy, is taken for the right one. */
static void handshake_on_node_id(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    if (reply && reply->type == REDIS_ERROR && strstr(reply->text.data, "cluster support disabled"))
        handshake_fail(handshake, ASYNQ_E_UNAVAILABLE, "another Redis has the address of this node", reply->text.data);
    else if (reply && reply->type == REDIS_STRING && handshake->node_id[0] &&
             !redis_value_is_text(reply, handshake->node_id))
        handshake_fail(handshake, ASYNQ_E_UNAVAILABLE, "another node has the address of this one", reply->text.data);
    handshake_on_optional(handshake, result);
}

static void handshake_on_client_id(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    if (reply)
        handshake->session.client_id = redis_value_integer(reply);
    handshake_on_optional(handshake, result);
}

static void handshake_info_value(const redis_value *info, const char *field, char *value, size_t size)
{
    const char *at = info->text.data ? strstr(info->text.data, field) : NULL;
    snprintf(value, size, "%.*s", at ? (int)strcspn(at + strlen(field), "\r\n") : 0, at ? at + strlen(field) : "");
}

static void handshake_on_info(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    char version[32], text[128];
    int major = 0, minor = 0;
    if (reply && reply->type == REDIS_STRING) {
        handshake_info_value(reply, "redis_version:", version, sizeof version);
        handshake_info_value(reply, "run_id:", handshake->session.run_id, sizeof handshake->session.run_id);
        snprintf(text, sizeof text, "Redis %s is too old: taking several tasks at once needs Redis 6.2 or newer",
                 version);
        if (sscanf(version, "%d.%d", &major, &minor) == 2 && major * 100 + minor < HANDSHAKE_MIN_VERSION)
            handshake_fail(handshake, ASYNQ_E_VERSION, text, "");
    }
    handshake_on_optional(handshake, result);
}

static void handshake_on_scripts(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    for (size_t i = 0; reply && i < SCRIPT_COUNT; i++) /* not told: it is loaded, which does no harm */
        handshake->is_missing[i] = redis_value_integer(redis_value_at(reply, i)) == 0;
    handshake_on_optional(handshake, result);
}

static void handshake_on_kill(void *arg, const redis_result *result)
{
    redis_handshake *handshake = arg;
    const redis_value *reply = handshake_reply(handshake, result);
    if (reply && !handshake_has_passing_trouble(reply)) {
        char words[160];
        redis_answer_describe(reply, handshake->key_prefix, words, sizeof words);
        if (reply->type == REDIS_ERROR)
            error_set(&handshake->kill_error, ASYNQ_E_AUTH, "%s", words);
        handshake->has_predecessor = false;
    }
    handshake_on_optional(handshake, result);
}

/* ---- the two parts ---- */

static int handshake_ask_for_scripts(redis_handshake *handshake)
{
    const char *argv[2 + SCRIPT_COUNT] = {"SCRIPT", "EXISTS"};
    for (size_t i = 0; i < SCRIPT_COUNT; i++)
        argv[2 + i] = redis_scripts[i].sha1;
    handshake->answers_left++;
    return handshake->send(handshake->arg, 2 + SCRIPT_COUNT, argv, handshake_on_scripts, handshake);
}

static int handshake_authenticate(redis_handshake *handshake)
{
    const char *words[REDIS_AUTH_WORDS];
    int count = redis_uri_auth(handshake->uri, words);
    if (!count)
        return ASYNQ_OK;
    handshake->answers_left++;
    return handshake->send(handshake->arg, count, words, handshake_on_required, handshake);
}

int redis_handshake_start(redis_handshake *handshake)
{
    char database[16];
    snprintf(database, sizeof database, "%d", handshake->uri->database);
    handshake->session = (redis_session){0};
    error_clear(&handshake->error);
    error_clear(&handshake->kill_error);
    handshake->is_active = true;
    handshake->is_second_part = false;
    handshake->answers_left = 0;
    int status = handshake_authenticate(handshake);
    if (!status && handshake->uri->sentinels.places.count)
        status = handshake_ask(handshake, handshake_on_role, 1, "ROLE");
    if (!status && handshake->node_id && handshake->node_id[0])
        status = handshake_ask(handshake, handshake_on_node_id, 2, "CLUSTER", "MYID");
    /* SELECT also when it is database 0: it is the cheapest command that tells a missing password. */
    if (!status)
        status = handshake_ask(handshake, handshake_on_select, 2, "SELECT", database);
    if (!status)
        status = handshake_ask(handshake, handshake_on_optional, 3, "CLIENT", "SETNAME", handshake->name);
    if (!status)
        status = handshake_ask(handshake, handshake_on_client_id, 2, "CLIENT", "ID");
    if (!status && handshake->with_scripts)
        status = handshake_ask_for_scripts(handshake);
    if (!status)
        status = handshake_ask(handshake, handshake_on_info, 2, "INFO", "server");
    return status;
}

/*
 * What the connection before had sent and Redis had not yet executed must not run after its sender has looked again.
 * Only on the same run of the same server: elsewhere the id is somebody else's, and the bytes are not there.
 */
static int handshake_kill_predecessor(redis_handshake *handshake)
{
    const redis_session *old = &handshake->predecessor, *now = &handshake->session;
    char id[24];
    if (!handshake->has_predecessor)
        return ASYNQ_OK;
    bool is_known = old->client_id && old->run_id[0] && now->run_id[0];
    if (is_known && strcmp(old->run_id, now->run_id) == 0) {
        snprintf(id, sizeof id, "%" PRId64, old->client_id);
        return handshake_ask(handshake, handshake_on_kill, 4, "CLIENT", "KILL", "ID", id);
    }
    if (!is_known)
        error_set(&handshake->kill_error, ASYNQ_E_AUTH, "Redis does not answer INFO server and CLIENT ID");
    handshake->has_predecessor = false;
    return ASYNQ_OK;
}

static void handshake_second_part(redis_handshake *handshake)
{
    handshake->is_second_part = true;
    int status = handshake_kill_predecessor(handshake);
    for (size_t i = 0; !status && handshake->with_scripts && i < SCRIPT_COUNT; i++)
        if (handshake->is_missing[i])
            status = handshake_ask(handshake, handshake_on_required, 3, "SCRIPT", "LOAD", redis_scripts[i].text);
    if (status) {
        handshake_fail(handshake, status, asynq_status_text(status), "");
        handshake->answers_left = 0; /* those that were sent go with the connection */
    }
}

void redis_handshake_abandon(redis_handshake *handshake)
{
    handshake->is_active = false;
}
