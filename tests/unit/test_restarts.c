#include "unit.h"

#include "daemon/restarts.h"

#include <string.h>

typedef struct heard {
    loop *loop;
    int a, b;
} heard;

static void note_restart(void *arg, const char *pool)
{
    heard *own = arg;
    own->a += strcmp(pool, "a") == 0;
    own->b += strcmp(pool, "b") == 0;
    loop_stop(own->loop);
}

static void say(restarts *r, const char *text)
{
    restarts_take(r, text, strlen(text));
}

/* Orders that come at once are one; a later one is another. */
START_TEST(orders)
{
    heard own = {.loop = loop_new()};
    restarts *r = restarts_new(own.loop, note_restart, &own);
    say(r, "restart-pool a");
    say(r, "restart-pool b");
    say(r, "restart-pool a");
    say(r, "restart a");
    loop_run(own.loop);
    ck_assert_int_eq(own.a, 1);
    ck_assert_int_eq(own.b, 1);
    say(r, "restart-pool a");
    loop_run(own.loop);
    ck_assert_int_eq(own.a, 2);
    restarts_free(r);
    loop_free(own.loop);
}
END_TEST

Suite *suite_restarts(void)
{
    const TTest *const list[] = {orders, NULL};
    return suite_of("orders to restart pools", list);
}
