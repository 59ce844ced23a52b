/* See zone.h. */
#include "schedule/zone.h"

#include "base/error.h"

#include <glib.h>
#include <string.h>

/* GLib also takes rules ("EST5EDT,M3.2.0") and offsets ("+01:00") for zones; Asynq takes the names of files alone. */
static bool is_file_name(const char *name)
{
    if (name[0] == '/' || strstr(name, "..") || strpbrk(name, ",<>\\"))
        return false;
    const char *folder = g_getenv("TZDIR");
    char *path = g_build_filename(folder ? folder : "/usr/share/zoneinfo", name, NULL);
    bool exists = g_file_test(path, G_FILE_TEST_IS_REGULAR);
    g_free(path);
    return exists;
}

int zone_load(zone **loaded, const char *name, asynq_error *error)
{
    *loaded = NULL;
    if (!*name || strcmp(name, "UTC") == 0)
        return ASYNQ_OK;
    if (is_file_name(name))
        *loaded = (zone *)g_time_zone_new_identifier(name);
    if (*loaded)
        return ASYNQ_OK;
    return error_set(error, ASYNQ_E_INVALID,
                     "unknown time zone \"%.100s\"; zones have names such as Europe/Berlin, and come with the package "
                     "tzdata",
                     name);
}

void zone_unref(zone *z)
{
    if (z)
        g_time_zone_unref((GTimeZone *)z);
}

static GTimeZone *glib_zone(const zone *z)
{
    return (GTimeZone *)(uintptr_t)z; /* GLib does not know const; what is called here does not change it */
}

static int interval_at(const zone *z, int64_t unix_s)
{
    return g_time_zone_find_interval(glib_zone(z), G_TIME_TYPE_UNIVERSAL, unix_s);
}

int32_t zone_offset(const zone *z, int64_t unix_s)
{
    return z ? g_time_zone_get_offset(glib_zone(z), interval_at(z, unix_s)) : 0;
}

int64_t zone_change_within(const zone *z, int64_t from, int64_t to)
{
    if (!z)
        return to;
    int before = interval_at(z, from);
    if (interval_at(z, to) == before)
        return to;
    while (to - from > 1) { /* `from` lies before the change, `to` does not */
        int64_t middle = from + (to - from) / 2;
        if (interval_at(z, middle) == before)
            from = middle;
        else
            to = middle;
    }
    return to;
}
