/* See duration.h. */
#include "base/duration.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* unit, ms */
static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"ms", 1},        {"s", 1000},           {"m", 60 * 1000},
             {"h", 3600000LL}, {"d", 24 * 3600000LL}, {"w", 7 * 24 * 3600000LL}};

/* One "90s" of a duration. Returns what is behind it, or NULL. Not by strtod(), which obeys the locale. */
static const char *read_part(const char *text, int64_t *ms)
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
    size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == length && strncmp(units[i].name, at, length) == 0) {
            double sum = (double)*ms + number * (double)units[i].ms;
            if (sum > 9e15)
                return NULL;
            *ms = (int64_t)(sum + 0.5);
            return at + length;
        }
    return NULL;
}

bool duration_read(const char *text, int64_t *ms)
{
    *ms = 0;
    if (strcmp(text, "0") == 0)
        return true;
    if (!*text)
        return false;
    while (text && *text)
        text = read_part(text, ms);
    return text != NULL;
}
