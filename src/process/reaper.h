/*
 * Children of children that were left behind. They become ours where we are the first process of a container, or the
 * subreaper of our tree, and stay zombies until somebody asks for their ends. Thread: that of the loop.
 */
#ifndef PROCESS_REAPER_H
#define PROCESS_REAPER_H

#include "event/timer.h"

typedef struct reaper {
    loop_timer look;
} reaper;

/* Looks each second, if they become ours at all. */
void reaper_start(reaper *r, loop *l);
void reaper_stop(reaper *r);

/*
 * While a part of this process has a child that child_is_ours() does not know, nothing is reaped. Calls come in pairs.
 * Thread: any.
 */
void reaper_hold(void);
void reaper_release(void);

#endif
