/* Unit tests: one suite per module, all in one program. Each test runs in a process of its own. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

Suite *suite_cron(void);
Suite *suite_keys(void);
Suite *suite_lease(void);
Suite *suite_memory(void);
Suite *suite_mux(void);
Suite *suite_plan(void);
Suite *suite_public(void);
Suite *suite_reply(void);
Suite *suite_text(void);
Suite *suite_tick(void);
Suite *suite_uri(void);
Suite *suite_watch(void);
Suite *suite_wire(void);

/* A suite with one case that holds the given tests. */
Suite *suite_of(const char *name, const TTest *const *tests);

#endif
