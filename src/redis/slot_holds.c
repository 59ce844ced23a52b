/* See slot_holds.h. */
#include "redis/slot_holds.h"

#include "base/backoff.h"
#include "base/hash.h"
#include "event/loop.h"

enum {
    HOLD_MIN_MS = 20,
    HOLD_MAX_MS = 1000,
    HOLD_LASTING_MS = 2000,
    HOLD_MEMORY_MS = 10000, /* of a slot that was refused */
    HOLD_LACK_MS = 100      /* without memory to note a hold */
};

struct slot_hold {
    UT_hash_handle hh;
    int slot;
    bool is_moving;
    backoff trouble;
    int64_t until_ms, refused_at_ms;
};

static slot_hold *hold_find(const slot_holds *holds, int slot)
{
    slot_hold *hold;
    HASH_FIND_INT(holds->table, &slot, hold);
    return hold;
}

static void hold_remove(slot_holds *holds, slot_hold *hold)
{
    HASH_DEL(holds->table, hold);
    mem_free(hold);
}

static void holds_set_timer(slot_holds *holds, int64_t now_ms, int64_t at_ms)
{
    holds->over_at_ms = at_ms;
    loop_timer_set(&holds->timer, at_ms - now_ms);
}

/* Forgets old ones, and sets the timer for the next pause that ends. */
static void holds_tidy(slot_holds *holds)
{
    int64_t now_ms = loop_steady_ms(holds->loop), next_ms = INT64_MAX;
    slot_hold *hold, *following;
    HASH_ITER(hh, holds->table, hold, following) {
        if (hold->until_ms > now_ms && hold->until_ms < next_ms)
            next_ms = hold->until_ms;
        if (now_ms - hold->refused_at_ms > HOLD_MEMORY_MS)
            hold_remove(holds, hold);
    }
    if (next_ms < INT64_MAX)
        holds_set_timer(holds, now_ms, next_ms);
}

static void holds_over(void *arg)
{
    slot_holds *holds = arg;
    holds_tidy(holds);
    holds->over(holds->arg);
}

void slot_holds_init(slot_holds *holds, loop *l, loop_cb over, void *arg)
{
    *holds = (slot_holds){.loop = l, .over = over, .arg = arg};
    loop_timer_init(l, &holds->timer, holds_over, holds);
}

void slot_holds_clear(slot_holds *holds)
{
    slot_hold *hold, *following;
    loop_timer_cancel(&holds->timer);
    HASH_ITER(hh, holds->table, hold, following)
        hold_remove(holds, hold);
}

static slot_hold *hold_add(slot_holds *holds, int slot)
{
    slot_hold *hold = mem_calloc(1, sizeof *hold);
    if (!hold)
        return NULL;
    hold->slot = slot;
    hold->trouble = (backoff){HOLD_MIN_MS, HOLD_MAX_MS, HOLD_LASTING_MS, 0, 0};
    HASH_ADD_INT(holds->table, slot, hold);
    if (HASH_HAS(hold))
        return hold;
    mem_free(hold);
    return NULL;
}

void slot_holds_begin(slot_holds *holds, int slot, bool is_moving)
{
    int64_t now_ms = loop_steady_ms(holds->loop);
    slot_hold *hold = hold_find(holds, slot);
    if (!hold)
        hold = hold_add(holds, slot);
    if (hold && hold->until_ms <= now_ms) { /* else it was sent before the pause */
        hold->until_ms = now_ms + backoff_pause_ms(&hold->trouble, now_ms);
        hold->refused_at_ms = now_ms;
        hold->is_moving = is_moving;
    }
    int64_t until_ms = hold ? hold->until_ms : now_ms + HOLD_LACK_MS;
    if (!loop_timer_is_set(&holds->timer) || until_ms < holds->over_at_ms)
        holds_set_timer(holds, now_ms, until_ms);
}

void slot_holds_end(slot_holds *holds, int slot)
{
    slot_hold *hold = hold_find(holds, slot);
    if (hold)
        hold_remove(holds, hold);
}

bool slot_holds_is_held(const slot_holds *holds, int slot)
{
    const slot_hold *hold = hold_find(holds, slot);
    return hold && hold->until_ms > loop_steady_ms(holds->loop);
}

bool slot_holds_is_moving(const slot_holds *holds, int slot)
{
    const slot_hold *hold = hold_find(holds, slot);
    return hold && hold->is_moving;
}
