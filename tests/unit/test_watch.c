#include "unit.h"

#include "server/key_watch.h"

/* The table at the head of key_watch.h, row by row. */
START_TEST(table)
{
    const struct {
        watch_state state;
        watch_event event;
        watch_state next;
        watch_action action;
    } rows[] = {
        {WATCH_UNARMED, WATCH_ARM, WATCH_ARMING, WATCH_SEND_READ},
        {WATCH_UNARMED, WATCH_MESSAGE, WATCH_UNARMED, WATCH_NOTHING},
        {WATCH_UNARMED, WATCH_REPLY, WATCH_UNARMED, WATCH_NOTHING},
        {WATCH_UNARMED, WATCH_LOST, WATCH_UNARMED, WATCH_NOTHING},
        {WATCH_ARMING, WATCH_ARM, WATCH_ARMING, WATCH_NOTHING},
        {WATCH_ARMING, WATCH_MESSAGE, WATCH_DIRTY, WATCH_NOTHING}, /* the message overtook the reply */
        {WATCH_ARMING, WATCH_REPLY, WATCH_ARMED, WATCH_GIVE_VALUE},
        {WATCH_ARMING, WATCH_LOST, WATCH_UNARMED, WATCH_CHANGED},
        {WATCH_DIRTY, WATCH_ARM, WATCH_DIRTY, WATCH_NOTHING},
        {WATCH_DIRTY, WATCH_MESSAGE, WATCH_DIRTY, WATCH_NOTHING},
        {WATCH_DIRTY, WATCH_REPLY, WATCH_UNARMED, WATCH_CHANGED},
        {WATCH_DIRTY, WATCH_LOST, WATCH_UNARMED, WATCH_CHANGED},
        {WATCH_ARMED, WATCH_ARM, WATCH_ARMED, WATCH_NOTHING},
        {WATCH_ARMED, WATCH_MESSAGE, WATCH_UNARMED, WATCH_CHANGED},
        {WATCH_ARMED, WATCH_REPLY, WATCH_ARMED, WATCH_NOTHING},
        {WATCH_ARMED, WATCH_LOST, WATCH_UNARMED, WATCH_CHANGED},
    };
    ck_assert_uint_eq(sizeof rows / sizeof *rows, WATCH_STATE_COUNT * WATCH_EVENT_COUNT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        watch_step step = watch_next(rows[i].state, rows[i].event);
        ck_assert_int_eq(step.next, rows[i].next);
        ck_assert_int_eq(step.action, rows[i].action);
    }
}
END_TEST

Suite *suite_watch(void)
{
    const TTest *const list[] = {table, NULL};
    return suite_of("watch", list);
}
