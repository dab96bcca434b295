/* SPDX-License-Identifier: MIT */
/*
 * The control group of the thread that runs, in the unified hierarchy (version 2), as programs ask
 * for it. A group's id is its directory's inode number.
 *
 * Anybody may move a thread to another group at any time, and nobody is told. To ask costs several
 * system calls, so an answer serves until the next tick of the clock (CLOCK_MONOTONIC_COARSE, one
 * to ten milliseconds), and in the thread that got it only: a move is seen after a tick at most.
 *
 * From Linux 6.13 on the kernel tells the id by a pidfd. Before, and for the groups above, what
 * /proc/thread-self/cgroup says is looked up below the mounted hierarchy; so ids of groups that
 * cannot be seen from here are 0, and inside a cgroup namespace levels count from its root. Where
 * no such hierarchy was ever mounted all threads are in its root, 1, as to the kernel.
 *
 * On the dispatch path.
 */
#ifndef STA_EBPF_CGROUP_H
#define STA_EBPF_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

uint64_t sta__cgroup_id(void);

/* The group above it at this level, 0: the root. 0: there is none. */
uint64_t sta__cgroup_ancestor(int level);

/* Whether it is this group or one below it. */
bool sta__cgroup_is_under(uint64_t id);

/* Finds where the hierarchy is mounted. Not on the path; any number of times, from any thread. */
void sta__cgroup_prepare(void);

#endif
