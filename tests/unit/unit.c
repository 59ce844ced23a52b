/* See unit.h. */
#include "unit.h"

#include "wire/keys.h"

#include <stdio.h>
#include <stdlib.h>

Suite *suite_of(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *list = tcase_create(name);
    tcase_set_timeout(list, 300); /* for a machine that does much else */
    for (; *tests; tests++)
        tcase_add_test(list, *tests);
    suite_add_tcase(suite, list);
    return suite;
}

const key_space *unit_space(void)
{
    static key_space space;
    if (!space.storage && key_space_init(&space, NULL, NULL))
        abort();
    return &space;
}

int unit_run(Suite *(*const *suites)(void))
{
    SRunner *runner = srunner_create(NULL);
    for (; *suites; suites++)
        srunner_add_suite(runner, (*suites)());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner);
    srunner_free(runner);
    printf("%d passed, %d failed\n", run - failed, failed);
    return failed ? 1 : 0;
}
