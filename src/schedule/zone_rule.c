/* See zone_rule.h. */
#include "schedule/zone_rule.h"

#include <ctype.h>
#include <string.h>

enum { HOUR_S = 3600, DAY_S = 86400, MAX_HOURS = 167, MAX_OFFSET_HOURS = 25 };

/* ---- reading ---- */

typedef struct rule_text {
    const char *at, *end;
} rule_text;

static bool takes(rule_text *text, char sign)
{
    bool is_there = text->at < text->end && *text->at == sign;
    text->at += is_there;
    return is_there;
}

static bool zone_rule_read_number(rule_text *text, int min, int max, int *number)
{
    const char *begin = text->at;
    *number = 0;
    for (; text->at < text->end && isdigit((unsigned char)*text->at) && text->at - begin < 4; text->at++)
        *number = *number * 10 + (*text->at - '0');
    return text->at > begin && *number >= min && *number <= max;
}

/* "CEST" or "<+0330>". */
static bool read_name(rule_text *text)
{
    const char *begin = text->at;
    if (takes(text, '<')) {
        while (text->at < text->end && *text->at != '>')
            text->at++;
        return takes(text, '>');
    }
    while (text->at < text->end && isalpha((unsigned char)*text->at))
        text->at++;
    return text->at - begin >= 3;
}

/* "[+-]h[:mm[:ss]]" in seconds. */
static bool zone_rule_read_time(rule_text *text, int max_hours, int32_t *seconds)
{
    int hours, minutes = 0, rest = 0;
    bool is_negative = takes(text, '-');
    if (!is_negative)
        takes(text, '+');
    bool is_valid = zone_rule_read_number(text, 0, max_hours, &hours);
    if (is_valid && takes(text, ':'))
        is_valid = zone_rule_read_number(text, 0, 59, &minutes);
    if (is_valid && takes(text, ':'))
        is_valid = zone_rule_read_number(text, 0, 59, &rest);
    *seconds = (hours * 60 + minutes) * 60 + rest;
    if (is_negative)
        *seconds = -*seconds;
    return is_valid;
}

static bool read_day(rule_text *text, zone_date *date)
{
    if (takes(text, 'M')) {
        date->form = 'M';
        return zone_rule_read_number(text, 1, 12, &date->month) && takes(text, '.') &&
               zone_rule_read_number(text, 1, 5, &date->week) && takes(text, '.') &&
               zone_rule_read_number(text, 0, 6, &date->day);
    }
    date->form = takes(text, 'J') ? 'J' : 'n';
    return zone_rule_read_number(text, date->form == 'J', 365, &date->day);
}

static bool read_date(rule_text *text, zone_date *date)
{
    date->time_s = 2 * HOUR_S;
    return takes(text, ',') && read_day(text, date) &&
           (!takes(text, '/') || zone_rule_read_time(text, MAX_HOURS, &date->time_s));
}

/* Offsets are west of UTC there. */
static bool read_offset(rule_text *text, int32_t *east_s)
{
    int32_t west_s;
    bool is_valid = zone_rule_read_time(text, MAX_OFFSET_HOURS, &west_s);
    *east_s = -west_s;
    return is_valid;
}

bool zone_rule_parse(zone_rule *rule, const char *text, size_t length)
{
    rule_text rest = {text, text + length};
    *rule = (zone_rule){0};
    if (!read_name(&rest) || !read_offset(&rest, &rule->standard_s))
        return false;
    if (rest.at == rest.end)
        return true;
    rule->has_summer = true;
    rule->summer_s = rule->standard_s + HOUR_S;
    return read_name(&rest) && ((rest.at < rest.end && *rest.at == ',') || read_offset(&rest, &rule->summer_s)) &&
           read_date(&rest, &rule->start) && read_date(&rest, &rule->end) && rest.at == rest.end;
}

/* ---- days ---- */

static int64_t floor_quotient(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* From 1970-01-01 to the first of January of a year. */
static int64_t days_to_year(int64_t year)
{
    int64_t before = year - 1;
    return 365 * (year - 1970) + floor_quotient(before, 4) - floor_quotient(before, 100) + floor_quotient(before, 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t year_of(int64_t local_s)
{
    int64_t day = floor_quotient(local_s, DAY_S);
    int64_t year = 1970 + floor_quotient(day * 400, 146097);
    while (days_to_year(year) > day)
        year--;
    while (days_to_year(year + 1) <= day)
        year++;
    return year;
}

static int month_length(int64_t year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return lengths[month - 1] + (month == 2 && is_leap(year));
}

/* Days from the first of January to the week's day in that month. */
static int64_t weekday_in(int64_t year, const zone_date *date)
{
    int64_t first = 0;
    for (int month = 1; month < date->month; month++)
        first += month_length(year, month);
    int weekday = (int)(((days_to_year(year) + first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    int day = (date->day - weekday + 7) % 7 + (date->week - 1) * 7;
    if (day >= month_length(year, date->month))
        day -= 7;
    return first + day;
}

/* When it is that local time, seconds after the beginning of 1970 in the same local time. */
static int64_t moment_in(int64_t year, const zone_date *date)
{
    int64_t day = date->day;
    if (date->form == 'M')
        day = weekday_in(year, date);
    else if (date->form == 'J')
        day = date->day - 1 + (is_leap(year) && date->day > 59);
    return (days_to_year(year) + day) * DAY_S + date->time_s;
}

/* ---- asking ---- */

int32_t zone_rule_offset(const zone_rule *rule, int64_t unix_s)
{
    if (!rule->has_summer)
        return rule->standard_s;
    int64_t year = year_of(unix_s + rule->standard_s);
    int64_t start = moment_in(year, &rule->start) - rule->standard_s,
            end = moment_in(year, &rule->end) - rule->summer_s;
    bool is_summer = start < end ? unix_s >= start && unix_s < end : unix_s >= start || unix_s < end;
    return is_summer ? rule->summer_s : rule->standard_s;
}

/* Nearer than `best`, after `from`, and a change. */
static int64_t nearer(const zone_rule *rule, int64_t moment, int64_t from, int64_t best)
{
    bool is_change =
        moment > from && moment < best && zone_rule_offset(rule, moment) != zone_rule_offset(rule, moment - 1);
    return is_change ? moment : best;
}

int64_t zone_rule_change(const zone_rule *rule, int64_t from, int64_t to)
{
    if (!rule->has_summer)
        return to;
    int64_t last = year_of(to + rule->standard_s) + 1, best = to;
    for (int64_t year = year_of(from + rule->standard_s) - 1; year <= last && best == to; year++) {
        best = nearer(rule, moment_in(year, &rule->start) - rule->standard_s, from, best);
        best = nearer(rule, moment_in(year, &rule->end) - rule->summer_s, from, best);
    }
    return best;
}
