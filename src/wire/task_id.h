/* Ids for tasks whose creator gives none. */
#ifndef WIRE_TASK_ID_H
#define WIRE_TASK_ID_H

enum { TASK_ID_RANDOM_SIZE = 37 };

/* A random UUID (version 4) as text with its NUL. Thread: any. */
void task_id_make_random(char text[TASK_ID_RANDOM_SIZE]);

#endif
