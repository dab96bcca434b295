/* SPDX-License-Identifier: MIT */
/*
 * The threads of this process, as /proc/self/task lists them. Not for the dispatch path.
 */
#ifndef STA_TRANSFORM_TASKS_H
#define STA_TRANSFORM_TASKS_H

/* The threads that were visited already. */
struct sta__task_set;

/* NULL if there is no memory. */
struct sta__task_set *sta__task_set_new(void);
void sta__task_set_free(struct sta__task_set *set);

/* Calls `visit` for every thread but the caller's that is not in `set` yet, and adds it. Returns
 * how many those were. */
unsigned sta__tasks_visit_new(struct sta__task_set *set, void (*visit)(int tid, void *data),
                              void *data);

/* How many threads of `set` block a signal now. */
unsigned sta__tasks_blocking(const struct sta__task_set *set, int signal);

#endif
