/* See line_limit.h. */
#include "handler/line_limit.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ALL_AT_ONCE = 2000, /* some milliseconds of the loop */
    ALL_PER_SECOND = 20000,
    LINE = 1000, /* as a second has so many milliseconds */
    TELL_MS = 1000
};

static line_room line_room_of_all;

/* What is used comes back as time goes by. */
static bool line_limit_has_room(line_room *room, int64_t now_ms, int64_t at_once, int64_t per_second)
{
    int64_t back = now_ms - room->at_ms < TELL_MS * LINE ? (now_ms - room->at_ms) * per_second : room->used;
    room->used = room->used > back ? room->used - back : 0;
    room->at_ms = now_ms;
    return room->used + LINE <= at_once * LINE;
}

static void tell_left_out(void *arg)
{
    line_limit *limit = arg;
    if (limit->left_out)
        log_event(limit->log, LOG_LINES_DROPPED, "%s: %" PRIu64 " lines, as there are more than %d in a second",
                  limit->who, limit->left_out, LINES_PER_SECOND);
    limit->left_out = 0;
}

void line_limit_init(line_limit *limit, loop *l, log_sink *log, const char *who)
{
    *limit = (line_limit){.log = log};
    snprintf(limit->who, sizeof limit->who, "%s", who);
    loop_timer_init(l, &limit->tell, tell_left_out, limit);
}

bool line_limit_pass(line_limit *limit)
{
    int64_t now_ms = loop_steady_ms(limit->tell.loop);
    if (line_limit_has_room(&limit->room, now_ms, LINES_AT_ONCE, LINES_PER_SECOND) &&
        line_limit_has_room(&line_room_of_all, now_ms, ALL_AT_ONCE, ALL_PER_SECOND)) {
        limit->room.used += LINE;
        line_room_of_all.used += LINE;
        return true;
    }
    if (!limit->left_out++)
        loop_timer_set(&limit->tell, TELL_MS);
    return false;
}

void line_limit_end(line_limit *limit)
{
    loop_timer_cancel(&limit->tell);
    tell_left_out(limit);
}
