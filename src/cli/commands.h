/* The functions behind the table of commands, in the files command_*.c, manual.c and completion.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

/* What the flags of a command say of tasks (command_task.c). */
const char *cli_queue_of(const cli_run *cli);
asynq_task_set cli_set_of(const cli_run *cli);
asynq_task_filter cli_filter_of(const cli_run *cli);

/* A table of tasks of one state, a row, and a description of one task (command_task.c). */
cli_table *cli_task_table(asynq_state state);
void cli_add_task(cli_table *table, const asynq_task_info *task);
void cli_describe_task(const asynq_task_info *task, FILE *out);

int run_stats(cli_run *cli);
int run_metrics(cli_run *cli);
int run_queue_ls(cli_run *cli);
int run_queue_inspect(cli_run *cli);
int run_queue_history(cli_run *cli);
int run_queue_nodes(cli_run *cli);
int run_queue_pause(cli_run *cli);
int run_queue_unpause(cli_run *cli);
int run_queue_rm(cli_run *cli);
int run_task_ls(cli_run *cli);
int run_task_find(cli_run *cli);
int run_task_inspect(cli_run *cli);
int run_task_run(cli_run *cli);
int run_task_archive(cli_run *cli);
int run_task_delete(cli_run *cli);
int run_task_runall(cli_run *cli);
int run_task_archiveall(cli_run *cli);
int run_task_deleteall(cli_run *cli);
int run_task_cancel(cli_run *cli);
int run_task_enqueue(cli_run *cli);
int run_task_update(cli_run *cli);
int run_task_wait(cli_run *cli);
int run_server_ls(cli_run *cli);
int run_pool_restart(cli_run *cli);
int run_cron_ls(cli_run *cli);
int run_cron_history(cli_run *cli);
int run_cron_next(cli_run *cli);
int run_cron_check(cli_run *cli);
int run_group_ls(cli_run *cli);
int run_export(cli_run *cli);
int run_import(cli_run *cli);
int run_fsck(cli_run *cli);
int run_quarantine_ls(cli_run *cli);
int run_quarantine_export(cli_run *cli);
int run_quarantine_rm(cli_run *cli);
int run_top(cli_run *cli);
int run_manual(cli_run *cli);
int run_completion(cli_run *cli);

#endif
