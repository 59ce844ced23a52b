/* The tests of asynqd's modules. */
#include "unit.h"

#include <stddef.h>

int main(void)
{
    Suite *(*const suites[])(void) = {suite_frame, suite_json_text, suite_pg_conn,  suite_scale, suite_scale_sample,
                                      suite_spool, suite_target,    suite_template, NULL};
    return unit_run(suites);
}
