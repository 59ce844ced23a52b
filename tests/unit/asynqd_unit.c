/* The tests of asynqd's modules. */
#include "unit.h"

#include <stddef.h>

int main(void)
{
    Suite *(*const suites[])(void) = {
        suite_api_body,   suite_child,  suite_frame,   suite_generation, suite_http_rooms, suite_json_text,
        suite_log_writer, suite_logger, suite_pg_conn, suite_restarts,   suite_scale,      suite_scale_sample,
        suite_argv_code,  suite_spool,  suite_target,  suite_template,   suite_untold,     NULL};
    return unit_run(suites);
}
