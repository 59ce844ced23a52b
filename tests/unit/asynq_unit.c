/* The tests of the library's modules. */
#include "unit.h"

#include <stddef.h>

int main(void)
{
    Suite *(*const suites[])(void) = {
        suite_answer, suite_conn,     suite_cron, suite_hooks,  suite_keys,  suite_lease, suite_log,     suite_memory,
        suite_mux,    suite_plan,     suite_pool, suite_public, suite_reply, suite_slots, suite_setting, suite_structs,
        suite_text,   suite_terminal, suite_tick, suite_uri,    suite_watch, suite_wire,  suite_zone,    NULL};
    return unit_run(suites);
}
