/*
 * "asynqctl top" from inside: what is known of Redis (top_model.c), what is drawn of it (top_view.c), what keys do
 * (top_keys.c), and the loop around them (command_top.c).
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/commands.h"

enum { TOP_HISTORY = 30, TOP_PAGE_MAX = 200 };

typedef struct top_queue {
    char *name;
    asynq_queue_info info;
    bool is_new, is_there;
    double done_per_s, failed_per_s;
    double history[TOP_HISTORY]; /* of done_per_s, newest last; below 0: not yet known */
} top_queue;

typedef enum top_view { TOP_QUEUES, TOP_TASKS, TOP_TASK, TOP_SERVERS, TOP_VIEWS } top_view;

typedef struct top {
    const cli_run *cli;
    asynq_inspector *inspector;
    const char *place; /* where Redis is */

    /* What is known. The lists are those of the last look; what is not shown is empty. */
    top_queue *queues; /* sorted by name */
    size_t queue_count;
    int64_t sampled_at_ms; /* steady clock; 0: not yet */
    asynq_task_list tasks;
    asynq_group_list groups;
    asynq_task_list task;
    asynq_server_list servers;
    asynq_error lost; /* code 0: Redis answers */
    int64_t lost_at_ms;

    /* What is looked at. */
    top_view view, before_task;
    size_t selected[TOP_VIEWS]; /* row */
    size_t rows;                /* that the view has */
    char *queue, *group, *id;   /* group NULL: the groups are shown, not the tasks of one */
    asynq_state state;
    int64_t page;
    int page_size;

    /* The last line. */
    char message[256];
    bool is_complaint;
    char question[256];               /* waits for y or n, not empty */
    void (*if_agreed)(struct top *t); /* then */
    bool ends;
} top;

/* ---- top_model.c ---- */

/* Looks at everything that the view shows. */
void top_look(top *t);
void top_forget(top *t);
/* The selected row; NULL: there is none, or it is of another sort. */
const top_queue *top_selected_queue(const top *t);
const asynq_task_info *top_selected_task(const top *t);
const asynq_group_info *top_selected_group(const top *t);
const asynq_worker_info *top_selected_worker(const top *t);

/* ---- top_view.c ---- */

void top_draw(top *t);

/* ---- top_keys.c ---- */

void top_key(top *t, int key);
/* A line for the bottom of the screen: what keys do in this view. */
const char *top_help(const top *t);

#endif
