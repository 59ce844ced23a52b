/* See answer.h. */
#include "redis/answer.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* How an error is recognized. */
typedef enum answer_match {
    MATCH_WORD,   /* its first word */
    MATCH_START,  /* how its text begins */
    MATCH_SCRIPT, /* a sentence about a script that ran, wherever it stands */
} answer_match;

typedef struct answer_row {
    const char *text;
    answer_match match;
    redis_answer answer;
    const char *meaning;
} answer_row;

/* clang-format off */
static const answer_row answer_rows[] = {
    {"NOSCRIPT",    MATCH_WORD, REDIS_ANSWER_NO_SCRIPT, "Redis had lost the scripts; they are loaded again"},
    {"LOADING",     MATCH_WORD, REDIS_ANSWER_NOT_NOW, "Redis is loading its data"},
    {"BUSY",        MATCH_WORD, REDIS_ANSWER_NOT_NOW, "a script or function keeps Redis busy"},
    {"MISCONF",     MATCH_WORD, REDIS_ANSWER_NOT_NOW, "Redis cannot save to its disk and takes no writes"},
    {"NOREPLICAS",  MATCH_WORD, REDIS_ANSWER_NOT_NOW, "Redis has too few good replicas and takes no writes"},
    {"CLUSTERDOWN", MATCH_WORD, REDIS_ANSWER_NOT_NOW, "the Redis Cluster is down"},
    {"TRYAGAIN",    MATCH_WORD, REDIS_ANSWER_NOT_NOW, "Redis is moving the queue's slot"},
    {"Script attempted to access a non local key", MATCH_SCRIPT, REDIS_ANSWER_NOT_NOW, "Redis is moving the queue's slot"},
    {"ERR max number of clients", MATCH_START, REDIS_ANSWER_NOT_NOW, "Redis has too many clients (maxclients)"},
    {"Script killed by user",     MATCH_SCRIPT, REDIS_ANSWER_NOT_NOW, "somebody ended the script in Redis"},
    {"READONLY",    MATCH_WORD, REDIS_ANSWER_NOT_HERE, "this Redis is a read-only replica now"},
    {"MASTERDOWN",  MATCH_WORD, REDIS_ANSWER_NOT_HERE, "this Redis is a replica that has lost its master"},
    {"MOVED",       MATCH_WORD, REDIS_ANSWER_NOT_HERE, "the queue's slot is on another node of a Redis Cluster, which redis-cluster:// finds"},
    {"ASK",         MATCH_WORD, REDIS_ANSWER_NOT_HERE, "the queue's slot is moving to another node of a Redis Cluster"},
    {"OOM",         MATCH_WORD, REDIS_ANSWER_FULL, "Redis is out of memory (maxmemory)"},
    {"WRONGPASS",   MATCH_WORD, REDIS_ANSWER_REFUSED, "Redis refused the credentials"},
    {"NOAUTH",      MATCH_WORD, REDIS_ANSWER_REFUSED, "Redis wants a password in the URI (redis://:password@host)"},
    {"NOPERM",      MATCH_WORD, REDIS_ANSWER_REFUSED, "the Redis user lacks a right"},
    {"DENIED",      MATCH_WORD, REDIS_ANSWER_REFUSED, "Redis is in protected mode"},
    {"The user executing the script", MATCH_SCRIPT, REDIS_ANSWER_REFUSED, "the Redis user lacks a right"},
    {"ERR AUTH",               MATCH_START, REDIS_ANSWER_REFUSED, "Redis refused the credentials"},
    {"ERR Client sent AUTH",   MATCH_START, REDIS_ANSWER_REFUSED, "Redis refused the credentials"},
    {"ERR invalid password",   MATCH_START, REDIS_ANSWER_REFUSED, "Redis refused the credentials"},
    {"ERR DB index",           MATCH_START, REDIS_ANSWER_NO_DATABASE, "cannot use that database"},
    {"ERR invalid DB index",   MATCH_START, REDIS_ANSWER_NO_DATABASE, "cannot use that database"},
    {"ERR SELECT is not allowed", MATCH_START, REDIS_ANSWER_NO_DATABASE, "cannot use that database"},
};
/* clang-format on */

static const answer_row answer_row_of_others = {"", MATCH_START, REDIS_ANSWER_WRONG, ""};
static const answer_row answer_row_of_success = {"", MATCH_START, REDIS_ANSWER_FINE, ""};

/* The status that a caller gets for a class, and what its text begins with. */
static const struct {
    int status;
    const char *intro;
} answer_status[] = {
    [REDIS_ANSWER_FINE] = {ASYNQ_OK, ""},
    [REDIS_ANSWER_NO_SCRIPT] = {ASYNQ_E_UNAVAILABLE, "Redis had lost the scripts"},
    [REDIS_ANSWER_NOT_NOW] = {ASYNQ_E_UNAVAILABLE, "Redis cannot do it now"},
    [REDIS_ANSWER_NOT_HERE] = {ASYNQ_E_UNAVAILABLE, "this Redis cannot do it"},
    [REDIS_ANSWER_FULL] = {ASYNQ_E_REDIS_FULL, "Redis is out of memory (maxmemory)"},
    [REDIS_ANSWER_REFUSED] = {ASYNQ_E_AUTH, "Redis refused"},
    [REDIS_ANSWER_NO_DATABASE] = {ASYNQ_E_INVALID, "cannot use that database"},
    [REDIS_ANSWER_WRONG] = {ASYNQ_E_REDIS, "Redis answered"},
};

static bool answer_starts(bytes text, const char *start)
{
    size_t length = strlen(start);
    return text.length >= length && memcmp(text.data, start, length) == 0;
}

static bool answer_contains(bytes text, const char *part)
{
    return memmem(text.data, text.length, part, strlen(part)) != NULL;
}

/* Redis 6.2 wraps an error that came up inside a script in a sentence of its own. */
static bool answer_is_of_script(bytes text)
{
    return answer_starts(text, "ERR Error running script");
}

static bool answer_has_word(bytes text, const char *word)
{
    char inside[32];
    size_t length = strlen(word);
    if (answer_starts(text, word) && (text.length == length || text.data[length] == ' '))
        return true;
    snprintf(inside, sizeof inside, " -%s ", word);
    return answer_is_of_script(text) && answer_contains(text, inside);
}

static bool answer_matches(bytes text, const answer_row *row)
{
    switch (row->match) {
    case MATCH_WORD:
        return answer_has_word(text, row->text);
    case MATCH_START:
        return answer_starts(text, row->text);
    case MATCH_SCRIPT: /* only where Redis itself speaks: "ERR <sentence>", or around a script's error */
        return answer_is_of_script(text)
                   ? answer_contains(text, row->text)
                   : answer_starts(text, "ERR ") && answer_starts((bytes){text.data + 4, text.length - 4}, row->text);
    }
    return false;
}

static const answer_row *answer_find_row(const redis_value *reply)
{
    if (reply->type != REDIS_ERROR)
        return &answer_row_of_success;
    for (size_t i = 0; i < sizeof answer_rows / sizeof *answer_rows; i++)
        if (answer_matches(reply->text, &answer_rows[i]))
            return &answer_rows[i];
    return &answer_row_of_others;
}

redis_answer redis_answer_of(const redis_value *reply)
{
    return answer_find_row(reply)->answer;
}

const char *redis_answer_meaning(const redis_value *reply)
{
    return answer_find_row(reply)->meaning;
}

/* The rule that gives a missing right, by Redis's words about it; 6.2, 7.0 and 7.2 each have their own. */
static void answer_name_rule(bytes text, const char *key_prefix, char *rule, size_t size)
{
    const char *quote = memchr(text.data, '\'', text.length);
    const char *end = quote ? memchr(quote + 1, '\'', text.length - (size_t)(quote + 1 - text.data)) : NULL;
    rule[0] = '\0';
    if (end && answer_contains(text, " run the '"))
        snprintf(rule, size, "+%.*s", (int)(end - quote - 1), quote + 1);
    else if (answer_contains(text, "channel"))
        snprintf(rule, size, "&%s:* &__redis__:invalidate", key_prefix);
    else if (answer_contains(text, "key"))
        snprintf(rule, size, "~%s:*", key_prefix);
    else if (answer_contains(text, "run this command"))
        snprintf(rule, size, "the commands that docs/access.md lists");
}

void redis_answer_describe(const redis_value *reply, const char *key_prefix, char *text, size_t size)
{
    char rule[160] = "";
    if (redis_answer_of(reply) == REDIS_ANSWER_REFUSED && !answer_has_word(reply->text, "WRONGPASS"))
        answer_name_rule(reply->text, key_prefix, rule, sizeof rule);
    snprintf(text, size, "%.*s%s%s", BYTES_ARGS(reply->text), rule[0] ? "; the ACL rule for it: " : "", rule);
}

int redis_result_check(const redis_result *result, asynq_error *error)
{
    char text[sizeof error->text];
    if (result->outcome == REDIS_NOT_RUN)
        return error_set(error, ASYNQ_E_UNAVAILABLE, "%s", result->reason);
    if (result->outcome == REDIS_UNKNOWN)
        return error_set(error, ASYNQ_E_OUTCOME_UNKNOWN, "%s before Redis answered", result->reason);
    redis_answer answer = redis_answer_of(result->reply);
    if (answer == REDIS_ANSWER_FINE)
        return ASYNQ_OK;
    redis_answer_describe(result->reply, result->key_prefix, text, sizeof text);
    return error_set(error, answer_status[answer].status, "%s: %s", answer_status[answer].intro, text);
}

bool redis_error_is_passing(int status)
{
    return status == ASYNQ_E_UNAVAILABLE || status == ASYNQ_E_OUTCOME_UNKNOWN;
}

bool redis_error_is_unsure(int status)
{
    return status == ASYNQ_E_OUTCOME_UNKNOWN || status == ASYNQ_E_MALFORMED;
}

bool redis_error_is_final(int status)
{
    return status == ASYNQ_E_AUTH || status == ASYNQ_E_VERSION || status == ASYNQ_E_INVALID;
}
