/* See zone.h. */
#include "schedule/zone.h"

#include "base/alloc.h"
#include "base/error.h"
#include "schedule/zone_rule.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ZONE_MAX_BYTES = 256 << 10, /* the largest file of tzdata has 4 kB */
    ZONE_HEADER = 44,
    ZONE_COUNTS_AT = 20,
    ZONE_KIND_BYTES = 6,
    ZONE_MAX_KINDS = 256,
    ZONE_MAX_OFFSET_S = 26 * 3600
};

struct zone {
    size_t count;   /* of changes */
    int64_t *at;    /* when, in order */
    uint8_t *kinds; /* what begins then, a place in `offsets` */
    int32_t offsets[ZONE_MAX_KINDS];
    bool has_rule; /* for what comes after the last change */
    zone_rule rule;
};

/* ---- the form of a file ---- */

typedef struct zone_block {
    const unsigned char *at; /* behind the header */
    size_t utc_marks, standard_marks, leaps, changes, kinds, letters;
    size_t time_bytes; /* 4 or 8 */
} zone_block;

static uint32_t read_32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t zone_read_time(const unsigned char *at, size_t time_bytes)
{
    return time_bytes == 4 ? (int32_t)read_32(at) : (int64_t)((uint64_t)read_32(at) << 32 | read_32(at + 4));
}

static size_t block_length(const zone_block *b)
{
    return b->changes * (b->time_bytes + 1) + b->kinds * ZONE_KIND_BYTES + b->letters + b->leaps * (b->time_bytes + 4) +
           b->standard_marks + b->utc_marks;
}

/* False: what follows is no such block, or less than the header says. */
static bool read_block(zone_block *b, const unsigned char *at, size_t left, size_t time_bytes)
{
    if (left < ZONE_HEADER || memcmp(at, "TZif", 4) != 0)
        return false;
    size_t *const counts[] = {&b->utc_marks, &b->standard_marks, &b->leaps, &b->changes, &b->kinds, &b->letters};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        *counts[i] = read_32(at + ZONE_COUNTS_AT + 4 * i);
        if (*counts[i] > left)
            return false;
    }
    b->at = at + ZONE_HEADER;
    b->time_bytes = time_bytes;
    return b->kinds >= 1 && b->kinds <= ZONE_MAX_KINDS && block_length(b) <= left - ZONE_HEADER;
}

static bool take_kinds(zone *z, const zone_block *b)
{
    const unsigned char *at = b->at + b->changes * (b->time_bytes + 1);
    for (size_t i = 0; i < b->kinds; i++, at += ZONE_KIND_BYTES) {
        z->offsets[i] = (int32_t)read_32(at);
        if (z->offsets[i] < -ZONE_MAX_OFFSET_S || z->offsets[i] > ZONE_MAX_OFFSET_S)
            return false;
    }
    return true;
}

static bool take_changes(zone *z, const zone_block *b)
{
    const unsigned char *kinds = b->at + b->changes * b->time_bytes;
    for (size_t i = 0; i < b->changes; i++) {
        z->at[i] = zone_read_time(b->at + i * b->time_bytes, b->time_bytes);
        z->kinds[i] = kinds[i];
        if (z->kinds[i] >= b->kinds || (i && z->at[i] <= z->at[i - 1]))
            return false;
    }
    return true;
}

/* "\nCET-1CEST,M3.5.0,M10.5.0/3\n"; nothing between the line ends: nobody knows. */
static bool take_rule(zone *z, const unsigned char *at, size_t left)
{
    const unsigned char *end = left ? memchr(at + 1, '\n', left - 1) : NULL;
    if (!left || *at != '\n' || !end)
        return false;
    z->has_rule = end > at + 1;
    return !z->has_rule || zone_rule_parse(&z->rule, (const char *)at + 1, (size_t)(end - at - 1));
}

static zone *zone_new(size_t changes)
{
    zone *z = mem_calloc(1, sizeof *z);
    if (!z)
        return NULL;
    z->count = changes;
    z->at = mem_calloc(changes + 1, sizeof *z->at);
    z->kinds = mem_calloc(changes + 1, sizeof *z->kinds);
    if (z->at && z->kinds)
        return z;
    zone_free(z);
    return NULL;
}

/* Behind the two headers of a file, of which the second counts. False: it is none. */
static bool find_block(zone_block *block, const unsigned char *data, size_t length, bool *is_long)
{
    if (!read_block(block, data, length, 4))
        return false;
    *is_long = data[4] >= '2'; /* all of it once more, with times of 64 bits, and a rule */
    const unsigned char *second = block->at + block_length(block);
    return !*is_long || read_block(block, second, (size_t)(data + length - second), 8);
}

int zone_parse(zone **parsed, const void *data, size_t length)
{
    const unsigned char *end = (const unsigned char *)data + length;
    zone_block block;
    bool is_long;
    *parsed = NULL;
    if (!find_block(&block, data, length, &is_long))
        return ASYNQ_E_INVALID;
    zone *z = zone_new(block.changes);
    if (!z)
        return ASYNQ_E_NO_MEMORY;
    const unsigned char *foot = block.at + block_length(&block);
    if (!take_kinds(z, &block) || !take_changes(z, &block) || (is_long && !take_rule(z, foot, (size_t)(end - foot)))) {
        zone_free(z);
        return ASYNQ_E_INVALID;
    }
    *parsed = z;
    return ASYNQ_OK;
}

void zone_free(zone *z)
{
    if (!z)
        return;
    mem_free(z->at);
    mem_free(z->kinds);
    mem_free(z);
}

/* ---- files ---- */

static int zone_read_all(int fd, char **data, size_t *length)
{
    struct stat state;
    if (fstat(fd, &state) || !S_ISREG(state.st_mode) || state.st_size > ZONE_MAX_BYTES)
        return ASYNQ_E_NOT_FOUND;
    *data = mem_alloc((size_t)state.st_size + 1);
    if (!*data)
        return ASYNQ_E_NO_MEMORY;
    ssize_t got = read(fd, *data, (size_t)state.st_size);
    *length = got > 0 ? (size_t)got : 0;
    return ASYNQ_OK;
}

/* ASYNQ_E_NOT_FOUND: there is no regular file of a sensible size. */
static int load_file(zone **loaded, const char *path)
{
    char *data = NULL;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ASYNQ_E_NOT_FOUND;
    int status = zone_read_all(fd, &data, &length);
    close(fd);
    if (!status)
        status = zone_parse(loaded, data, length);
    mem_free(data);
    return status;
}

/* False: none of the system's zones can have this name. */
static bool make_path(char *path, size_t size, const char *name)
{
    const char *folder = getenv("TZDIR");
    int length = snprintf(path, size, "%s/%s", folder ? folder : "/usr/share/zoneinfo", name);
    return *name != '/' && !strstr(name, "..") && length > 0 && (size_t)length < size;
}

int zone_load(zone **loaded, const char *name, asynq_error *error)
{
    char path[1024];
    *loaded = NULL;
    if (!*name || strcmp(name, "UTC") == 0)
        return ASYNQ_OK;
    int status = make_path(path, sizeof path, name) ? load_file(loaded, path) : ASYNQ_E_NOT_FOUND;
    if (status == ASYNQ_E_NOT_FOUND)
        return error_set(
            error, ASYNQ_E_INVALID,
            "unknown time zone \"%.100s\"; zones have names such as Europe/Berlin, and come with the package "
            "tzdata",
            name);
    if (status == ASYNQ_E_INVALID)
        return error_set(error, status, "the file of the time zone, %.200s, is malformed", path);
    return status ? error_set_code(error, status) : ASYNQ_OK;
}

/* ---- asking ---- */

/* How many changes there have been until a moment. */
static size_t changes_until(const zone *z, int64_t unix_s)
{
    size_t from = 0, to = z->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (z->at[middle] <= unix_s)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Behind so many changes of the file. */
static int32_t offset_behind(const zone *z, size_t changes)
{
    return z->offsets[changes ? z->kinds[changes - 1] : 0];
}

int32_t zone_offset(const zone *z, int64_t unix_s)
{
    if (!z)
        return 0;
    size_t changes = changes_until(z, unix_s);
    return changes == z->count && z->has_rule ? zone_rule_offset(&z->rule, unix_s) : offset_behind(z, changes);
}

int64_t zone_change_within(const zone *z, int64_t from, int64_t to)
{
    if (!z)
        return to;
    int64_t last = z->count ? z->at[z->count - 1] : from;
    size_t i = changes_until(z, from);
    for (; i < z->count && z->at[i] < to; i++)
        if (offset_behind(z, i) != zone_offset(z, z->at[i]))
            return z->at[i];
    return i == z->count && z->has_rule ? zone_rule_change(&z->rule, last > from ? last : from, to) : to;
}
