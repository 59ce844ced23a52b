/* See unit.h. Prints a line per failure and "N passed, N failed" at the end. */
#include "unit.h"

#include <stdio.h>

Suite *suite_of(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *list = tcase_create(name);
    tcase_set_timeout(list, 60);
    for (; *tests; tests++)
        tcase_add_test(list, *tests);
    suite_add_tcase(suite, list);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite_keys());
    Suite *(*const others[])(void) = {suite_cron,  suite_lease, suite_memory, suite_mux, suite_plan,  suite_public,
                                      suite_reply, suite_text,  suite_tick,   suite_uri, suite_watch, suite_wire};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        srunner_add_suite(runner, others[i]());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner);
    srunner_free(runner);
    printf("%d passed, %d failed\n", run - failed, failed);
    return failed ? 1 : 0;
}
