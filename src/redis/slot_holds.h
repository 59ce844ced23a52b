/*
 * Slots of a cluster whose commands were refused a moment ago: nothing is sent to them until a pause is over, which
 * grows with each refusal. Hardly ever are there any. Thread: loop.
 */
#ifndef REDIS_SLOT_HOLDS_H
#define REDIS_SLOT_HOLDS_H

#include "event/timer.h"

typedef struct slot_hold slot_hold;

typedef struct slot_holds {
    loop *loop;
    slot_hold *table;   /* uthash by slot */
    loop_timer timer;   /* the end of the first pause, */
    int64_t over_at_ms; /* which is then */
    loop_cb over;       /* one has ended */
    void *arg;
} slot_holds;

void slot_holds_init(slot_holds *holds, loop *l, loop_cb over, void *arg);
void slot_holds_clear(slot_holds *holds);

/* A command was refused; `is_moving`: because the slot is moving, or nobody has it. */
void slot_holds_begin(slot_holds *holds, int slot, bool is_moving);
/* The slot has another node now. */
void slot_holds_end(slot_holds *holds, int slot);

bool slot_holds_is_held(const slot_holds *holds, int slot);
/* It was moving a few seconds ago. */
bool slot_holds_is_moving(const slot_holds *holds, int slot);

#endif
