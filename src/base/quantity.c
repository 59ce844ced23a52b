/* See quantity.h. */
#include "base/quantity.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

typedef struct unit {
    const char *name;
    int64_t worth;
} unit;

/* From the smallest to the largest, and none but these where a quantity is written. */
static const unit time_units[] = {{"ms", 1},        {"s", 1000},           {"m", 60 * 1000},
                                  {"h", 3600000LL}, {"d", 24 * 3600000LL}, {"w", 7 * 24 * 3600000LL},
                                  {NULL, 0}};
static const unit size_units[] = {
    {"", 1},          {"B", 1},           {"kB", 1000},       {"KiB", 1 << 10}, {"MB", 1000 * 1000},
    {"MiB", 1 << 20}, {"GB", 1000000000}, {"GiB", 1LL << 30}, {NULL, 0},
};

/* One "90s" of a quantity. Returns what is behind it, or NULL. Not by strtod(), which obeys the locale. */
static const char *read_part(const char *text, const unit *units, int64_t *sum)
{
    double number = 0, place = 1;
    const char *at = text;
    for (; isdigit((unsigned char)*at); at++)
        number = number * 10 + (*at - '0');
    if (at == text)
        return NULL;
    if (*at == '.')
        for (at++; isdigit((unsigned char)*at); at++)
            number += (*at - '0') * (place /= 10);
    size_t length = 0;
    while (isalpha((unsigned char)at[length]))
        length++;
    for (; units->name; units++)
        if (strlen(units->name) == length && strncmp(units->name, at, length) == 0) {
            double total = (double)*sum + number * (double)units->worth;
            if (total > 9e15)
                return NULL;
            *sum = (int64_t)total;
            *sum += total - (double)*sum > 1e-6; /* never less than was written, but for inexact fractions */
            return at + length;
        }
    return NULL;
}

static bool read_quantity(const char *text, const unit *units, int64_t *sum)
{
    *sum = 0;
    if (strcmp(text, "0") == 0)
        return true;
    if (!*text)
        return false;
    while (text && *text)
        text = read_part(text, units, sum);
    return text != NULL;
}

/* In the largest unit that leaves no rest. */
static void append_quantity(buf *out, int64_t sum, const unit *units)
{
    const unit *best = units;
    for (; units->name; units++)
        if (sum % units->worth == 0)
            best = units;
    if (sum)
        buf_append_format(out, "%" PRId64 "%s", sum / best->worth, best->name);
    else
        buf_append_text(out, "0");
}

bool duration_read(const char *text, int64_t *ms)
{
    return read_quantity(text, time_units, ms);
}

bool size_read(const char *text, int64_t *bytes)
{
    return read_quantity(text, size_units, bytes);
}

void duration_append(buf *out, int64_t ms)
{
    append_quantity(out, ms, time_units);
}

void size_append(buf *out, int64_t bytes)
{
    append_quantity(out, bytes, size_units);
}
