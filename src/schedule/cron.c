/*
 * From a cron specification to times. A time is found by stepping: as long as some unit does not match, to the first
 * second in which that unit is another one. A step never crosses a change of the clocks, so that between two looks
 * at the calendar the offset is the same; thus skipped and repeated hours need no rules of their own.
 */
#include "schedule/cron.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { CRON_YEARS_MAX = 5, SECONDS_PER_MINUTE = 60, SECONDS_PER_HOUR = 3600, SECONDS_PER_DAY = 86400 };

typedef struct cron_range {
    const char *what;
    const char *const *names; /* of min and those that follow; NULL: numbers only */
    unsigned min, max;
} cron_range;

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const cron_range ranges[CRON_UNIT_COUNT] = {
    [CRON_MINUTE] = {"minute", NULL, 0, 59},
    [CRON_HOUR] = {"hour", NULL, 0, 23},
    [CRON_DAY] = {"day of the month", NULL, 1, 31},
    [CRON_MONTH] = {"month", month_names, 1, 12},
    [CRON_WEEKDAY] = {"day of the week", weekday_names, 0, 6},
};

static const struct {
    const char *name;
    const char *fields;
} descriptors[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

static const char blanks[] = " \t\n\v\f\r";

/* ---- fields ---- */

/* What is being read, for messages. */
typedef struct cron_place {
    const cron_range *range;
    bytes item;
    asynq_error *error;
} cron_place;

static int item_wrong(const cron_place *place, const char *why)
{
    return error_set(place->error, ASYNQ_E_INVALID, "%s \"%.*s\": %s", place->range->what, BYTES_ARGS(place->item),
                     why);
}

/* Cuts `text` at the first `separator`; what follows it goes to `rest`. False: there is none. */
static bool cut_at(bytes *text, char separator, bytes *rest)
{
    const char *at = text->length ? memchr(text->data, separator, text->length) : NULL;
    if (!at)
        return false;
    *rest = (bytes){at + 1, (size_t)(text->data + text->length - at - 1)};
    text->length = (size_t)(at - text->data);
    return true;
}

/* Digits, with a plus sign before them if one likes. What is beyond any range saturates. */
static bool cron_read_number(bytes text, unsigned *number)
{
    if (text.length && text.data[0] == '+')
        text = (bytes){text.data + 1, text.length - 1};
    *number = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *number = *number > 100000 ? *number : *number * 10 + (unsigned)(text.data[i] - '0');
    }
    return text.length > 0;
}

static int cron_read_value(const cron_place *place, bytes text, unsigned *value)
{
    const char *const *names = place->range->names;
    for (unsigned i = 0; names && names[i]; i++) {
        if (text.length == 3 && strncasecmp(text.data, names[i], 3) == 0) {
            *value = place->range->min + i;
            return ASYNQ_OK;
        }
    }
    if (!cron_read_number(text, value))
        return item_wrong(place, names ? "no number and no name of three letters" : "no number");
    char why[80];
    snprintf(why, sizeof why, "the values go from %u to %u", place->range->min, place->range->max);
    return *value < place->range->min || *value > place->range->max ? item_wrong(place, why) : ASYNQ_OK;
}

/* What stands before the step. */
static int read_span(const cron_place *place, bytes text, unsigned *low, unsigned *high, bool *is_star)
{
    bytes end = {0};
    bool is_range = cut_at(&text, '-', &end);
    *is_star = text.length == 1 && (*text.data == '*' || *text.data == '?');
    *low = place->range->min;
    *high = place->range->max;
    if (*is_star)
        return ASYNQ_OK; /* Asynq does not look at what follows a hyphen here */
    int status = cron_read_value(place, text, low);
    *high = *low;
    if (!status && is_range)
        status = cron_read_value(place, end, high);
    if (!status && *low > *high)
        status = item_wrong(place, "the range ends before it begins");
    return status;
}

static int read_item(asynq_cron *cron, cron_unit unit, const cron_place *place)
{
    bytes span = place->item, after = {0};
    unsigned low, high, step = 1;
    bool is_star, has_step = cut_at(&span, '/', &after);
    bool is_range = span.length && memchr(span.data, '-', span.length);
    int status = read_span(place, span, &low, &high, &is_star);
    if (status)
        return status;
    if (has_step && !cron_read_number(after, &step))
        return item_wrong(place, "the step behind \"/\" is no number");
    if (!step)
        return item_wrong(place, "the step behind \"/\" is 0");
    if (has_step && !is_range)
        high = place->range->max;
    cron->is_open[unit] |= is_star && step == 1;
    for (unsigned value = low; value <= high; value += step)
        cron->values[unit] |= UINT64_C(1) << value;
    return ASYNQ_OK;
}

static int cron_read_field(asynq_cron *cron, cron_unit unit, bytes field, asynq_error *error)
{
    int status = ASYNQ_OK;
    bool more = true;
    while (more && !status) {
        bytes item = field;
        more = cut_at(&item, ',', &field);
        if (item.length)
            status = read_item(cron, unit, &(cron_place){&ranges[unit], item, error});
    }
    return status;
}

static int read_fields(asynq_cron *cron, const char *text, asynq_error *error)
{
    bytes fields[CRON_UNIT_COUNT];
    size_t count = 0;
    for (const char *at = text + strspn(text, blanks); *at; at += strspn(at, blanks), count++) {
        size_t length = strcspn(at, blanks);
        if (count < CRON_UNIT_COUNT)
            fields[count] = (bytes){at, length};
        at += length;
    }
    if (count != CRON_UNIT_COUNT)
        return error_set(error, ASYNQ_E_INVALID,
                         "\"%.200s\" has %zu fields; five are wanted: minute, hour, day of the month, month, day of "
                         "the week",
                         text, count);
    int status = ASYNQ_OK;
    for (int unit = 0; unit < CRON_UNIT_COUNT && !status; unit++)
        status = cron_read_field(cron, (cron_unit)unit, fields[unit], error);
    return status;
}

/* ---- descriptors and zones ---- */

static const struct {
    const char *name;
    double ns;
} duration_units[] = {{"ns", 1},   {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3},
                      {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},      {"h", 3600e9}};

/* One number and its unit; `at` moves behind them. */
static bool read_duration_part(const char **at, double *ns)
{
    size_t digits = strspn(*at, "0123456789");
    size_t fraction = (*at)[digits] == '.' ? 1 + strspn(*at + digits + 1, "0123456789") : 0;
    if (digits + (fraction ? fraction - 1 : 0) == 0)
        return false;
    double number = 0, scale = 1;
    for (size_t i = 0; i < digits + fraction; i++) {
        if ((*at)[i] == '.')
            continue;
        number = number * 10 + ((*at)[i] - '0');
        scale *= i > digits ? 10 : 1;
    }
    *at += digits + fraction;
    size_t length = strcspn(*at, "0123456789.");
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (length == strlen(duration_units[i].name) && strncmp(*at, duration_units[i].name, length) == 0) {
            *ns += number / scale * duration_units[i].ns;
            *at += length;
            return true;
        }
    }
    return false;
}

/* A duration as Go writes it. */
static bool cron_read_duration(const char *text, double *ns)
{
    bool is_negative = *text == '-';
    text += *text == '-' || *text == '+';
    *ns = 0;
    if (strcmp(text, "0") == 0)
        return true;
    do
        if (!read_duration_part(&text, ns))
            return false;
    while (*text);
    if (*ns >= 9223372036854775807.0)
        return false; /* 292 years: more than Go's type holds */
    *ns = is_negative ? -*ns : *ns;
    return true;
}

static int cron_read_moment(asynq_cron *cron, const char *text, asynq_error *error)
{
    int64_t at_ms;
    if (!clock_read_time(text, &at_ms) || at_ms < MS_PER_SECOND)
        return error_set(error, ASYNQ_E_INVALID, "\"@at %.100s\": times look like 2006-01-02T15:04:05Z", text);
    cron->at_s = at_ms / MS_PER_SECOND;
    return ASYNQ_OK;
}

static int read_descriptor(asynq_cron *cron, const char *text, asynq_error *error)
{
    static const char every[] = "@every ", at[] = "@at ";
    double ns;
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (strcmp(text, descriptors[i].name) == 0)
            return read_fields(cron, descriptors[i].fields, error);
    if (strncmp(text, at, strlen(at)) == 0)
        return cron_read_moment(cron, text + strlen(at), error);
    if (strncmp(text, every, strlen(every)) != 0)
        return error_set(error, ASYNQ_E_INVALID,
                         "unknown descriptor \"%.100s\"; there are @yearly, @monthly, @weekly, @daily, @hourly, "
                         "@every DURATION and @at TIME",
                         text);
    if (!cron_read_duration(text + strlen(every), &ns))
        return error_set(error, ASYNQ_E_INVALID, "\"%.100s\": durations look like 90s, 1h30m or 1.5h", text);
    cron->every_s = ns < NS_PER_SECOND ? 1 : (int64_t)(ns / NS_PER_SECOND);
    return ASYNQ_OK;
}

/* Finds the zone, and moves `text` behind its name. */
static int read_zone(asynq_cron *cron, const char **text, const char *zone_name, asynq_error *error)
{
    static const char *const prefixes[] = {"TZ=", "CRON_TZ="};
    char *name = cron->zone_name;
    const size_t size = sizeof cron->zone_name;
    snprintf(name, size, "%s", zone_name && *zone_name ? zone_name : "UTC");
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(*text, prefixes[i], length) != 0)
            continue;
        const char *space = strchr(*text, ' ');
        if (!space)
            return error_set(error, ASYNQ_E_INVALID, "\"%.200s\": a space and the schedule must follow the zone",
                             *text);
        if ((size_t)(space - *text) - length >= size)
            return error_set(error, ASYNQ_E_INVALID, "the name of the zone in \"%.200s\" is too long", *text);
        if (strncmp(*text + length, "Local ", 6) != 0)
            snprintf(name, size, "%.*s", (int)((size_t)(space - *text) - length), *text + length);
        *text = space + strspn(space, blanks);
        break;
    }
    return zone_load(&cron->zone, name, error);
}

static int read_schedule(asynq_cron *cron, const char *text, asynq_error *error)
{
    return *text == '@' ? read_descriptor(cron, text, error) : read_fields(cron, text, error);
}

static int cron_read(asynq_cron *cron, const char *spec, const char *zone_name, asynq_error *error)
{
    if (!spec || !*spec)
        return error_set(error, ASYNQ_E_INVALID, "the schedule is empty");
    const char *rest = spec;
    int status = read_zone(cron, &rest, zone_name, error);
    if (status || rest == spec)
        return status ? status : read_schedule(cron, spec, error);
    size_t length = strlen(rest);
    while (length && strchr(blanks, rest[length - 1]))
        length--;
    char *trimmed = mem_dup(rest, length);
    status = trimmed ? read_schedule(cron, trimmed, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    mem_free(trimmed);
    return status;
}

asynq_cron *asynq_cron_new(const char *spec, const char *zone_name, asynq_error *error)
{
    error_clear(error);
    asynq_cron *cron = mem_calloc(1, sizeof *cron);
    if (!cron) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    if (!cron_read(cron, spec, zone_name, error))
        return cron;
    asynq_cron_free(cron);
    return NULL;
}

void asynq_cron_free(asynq_cron *cron)
{
    if (!cron)
        return;
    zone_free(cron->zone);
    mem_free(cron);
}

const char *asynq_cron_zone(const asynq_cron *cron)
{
    return *cron->zone_name ? cron->zone_name : "UTC";
}

/* ---- times ---- */

static bool unit_matches(const asynq_cron *cron, cron_unit unit, int value)
{
    return cron->values[unit] >> value & 1;
}

static bool day_matches(const asynq_cron *cron, const struct tm *at)
{
    bool day = unit_matches(cron, CRON_DAY, at->tm_mday);
    bool weekday = unit_matches(cron, CRON_WEEKDAY, at->tm_wday);
    if (cron->is_open[CRON_DAY] || cron->is_open[CRON_WEEKDAY])
        return day && weekday;
    return day || weekday;
}

/* Seconds from `at` to the beginning of the next month. */
static int64_t rest_of_month(const struct tm *at)
{
    struct tm now = *at, next = {.tm_year = at->tm_year, .tm_mon = at->tm_mon + 1, .tm_mday = 1};
    return (int64_t)timegm(&next) - (int64_t)timegm(&now);
}

/* How long the largest unit that does not match will stay as it is; 0: all match. */
static int64_t mismatch_s(const asynq_cron *cron, const struct tm *at)
{
    int of_hour = at->tm_min * SECONDS_PER_MINUTE + at->tm_sec;
    if (!unit_matches(cron, CRON_MONTH, at->tm_mon + 1))
        return rest_of_month(at);
    if (!day_matches(cron, at))
        return SECONDS_PER_DAY - at->tm_hour * SECONDS_PER_HOUR - of_hour;
    if (!unit_matches(cron, CRON_HOUR, at->tm_hour))
        return SECONDS_PER_HOUR - of_hour;
    if (!unit_matches(cron, CRON_MINUTE, at->tm_min) || at->tm_sec)
        return SECONDS_PER_MINUTE - at->tm_sec;
    return 0;
}

static bool local_time(const asynq_cron *cron, int64_t at_s, struct tm *local)
{
    time_t shifted = (time_t)(at_s + zone_offset(cron->zone, at_s));
    return gmtime_r(&shifted, local) != NULL;
}

static int64_t next_match(const asynq_cron *cron, int64_t at_s)
{
    struct tm local;
    if (!local_time(cron, at_s, &local))
        return ASYNQ_NONE;
    int last_year = local.tm_year + CRON_YEARS_MAX;
    int64_t step_s;
    while ((step_s = mismatch_s(cron, &local))) {
        at_s = zone_change_within(cron->zone, at_s, at_s + step_s);
        if (!local_time(cron, at_s, &local) || local.tm_year > last_year)
            return ASYNQ_NONE;
    }
    return at_s;
}

int64_t asynq_cron_next_ms(const asynq_cron *cron, int64_t after_ms)
{
    int64_t after_s = floor_div(after_ms, MS_PER_SECOND);
    int64_t next_s;
    if (cron->at_s)
        next_s = cron->at_s > after_s ? cron->at_s : ASYNQ_NONE;
    else
        next_s = cron->every_s ? saturating_add(after_s, cron->every_s) : next_match(cron, after_s + 1);
    bool is_time = next_s != ASYNQ_NONE && next_s <= INT64_MAX / MS_PER_SECOND;
    return is_time ? ms_of_seconds(next_s) : ASYNQ_NONE;
}
