#include "unit.h"

#include "http/http_rooms.h"

static bool is_never_used(void *arg, const char *host)
{
    (void)arg, (void)host;
    return false;
}

/* Routes of the same host and number share one; nothing is left when the last has gone, whatever the order. */
START_TEST(shared)
{
    http_rooms rooms;
    loop *l = loop_new();
    http_rooms_init(&rooms, l, is_never_used, NULL);
    asynq_capacity *a = http_rooms_join(&rooms, "a:80", 2), *b = http_rooms_join(&rooms, "b:80", 2);
    asynq_capacity *more = http_rooms_join(&rooms, "a:80", 3);
    ck_assert(a && b && more && a != b && a != more);
    ck_assert_ptr_eq(http_rooms_join(&rooms, "a:80", 2), a); /* the next generation */
    http_rooms_leave(&rooms, "a:80", 2);
    http_rooms_leave(&rooms, "b:80", 2);
    http_rooms_leave(&rooms, "b:80", 2); /* it has gone */
    http_rooms_leave(&rooms, "c:80", 2);
    http_rooms_begin(&rooms, "a:80"); /* its pace is measured */
    http_rooms_begin(&rooms, "b:80");
    ck_assert_ptr_eq(http_rooms_join(&rooms, "a:80", 2), a);
    http_rooms_leave(&rooms, "a:80", 2);
    http_rooms_leave(&rooms, "a:80", 3);
    http_rooms_leave(&rooms, "a:80", 2);
    ck_assert_ptr_null(rooms.places);
    ck_assert(http_rooms_join(&rooms, "d:80", 1) && http_rooms_join(&rooms, "d:80", 2));
    http_rooms_clear(&rooms);
    ck_assert_ptr_null(rooms.places);
    loop_free(l);
}
END_TEST

Suite *suite_http_rooms(void)
{
    const TTest *const list[] = {shared, NULL};
    return suite_of("rooms at hosts", list);
}
