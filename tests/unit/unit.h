/*
 * Unit tests: one suite per module, in one program for the library and one for asynqd. Each test runs in a process of
 * its own.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

Suite *suite_answer(void);
Suite *suite_api_body(void);
Suite *suite_child(void);
Suite *suite_conn(void);
Suite *suite_cron(void);
Suite *suite_frame(void);
Suite *suite_generation(void);
Suite *suite_hooks(void);
Suite *suite_http_rooms(void);
Suite *suite_json_text(void);
Suite *suite_keys(void);
Suite *suite_lease(void);
Suite *suite_log(void);
Suite *suite_log_writer(void);
Suite *suite_logger(void);
Suite *suite_memory(void);
Suite *suite_mux(void);
Suite *suite_pg_conn(void);
Suite *suite_plan(void);
Suite *suite_pool(void);
Suite *suite_public(void);
Suite *suite_reply(void);
Suite *suite_restarts(void);
Suite *suite_scale(void);
Suite *suite_scale_sample(void);
Suite *suite_slots(void);
Suite *suite_spool(void);
Suite *suite_setting(void);
Suite *suite_structs(void);
Suite *suite_argv_code(void);
Suite *suite_target(void);
Suite *suite_template(void);
Suite *suite_untold(void);
Suite *suite_terminal(void);
Suite *suite_text(void);
Suite *suite_tick(void);
Suite *suite_uri(void);
Suite *suite_watch(void);
Suite *suite_wire(void);
Suite *suite_zone(void);

/* Asynq's own keys. */
struct key_space;
const struct key_space *unit_space(void);

/* Runs them all, prints a line per failure and "N passed, N failed" at the end. Returns the exit status. */
int unit_run(Suite *(*const *suites)(void));

/* A suite with one case that holds the given tests. */
Suite *suite_of(const char *name, const TTest *const *tests);

#endif
