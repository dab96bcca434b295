/* SPDX-License-Identifier: MIT */
/*
 * What the events are called, without reading a file: names and targets, the built-in ids, and
 * ids written in decimal.
 */
#ifndef STA_SYSCALLS_EVENT_H
#define STA_SYSCALLS_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include <sta/syscalls.h>

/* "raw_syscalls" or "syscalls": the directory under events/ and the word before the colon. */
const char *sta__event_category(const struct sta_target *target);

/*
 * Writes the kernel's name of the event, "sys_enter_newstat" for the entry of stat. Returns false
 * if the number is unknown.
 */
bool sta__event_name(const struct sta_target *target, char name[STA_TRACEPOINT_NAME_SIZE]);

/* The way back, for events of single calls; false if the kernel calls no event of theirs so. */
bool sta__event_target(const char *name, struct sta_target *target);

/*
 * The target that an event's name stands for; every form of sta_tracepoint_by_name(). -EINVAL if
 * it has none of these forms, -ENOENT if it has but nothing is called so.
 */
int sta__event_parse(const char *text, struct sta_target *target);

/*
 * The built-in id of a target, and the target of a built-in id: false if there is none. Such ids
 * may be stored by users, so the formula stays as it is:
 *
 *   STA_BUILTIN_ID_BASE + 2 * (sys_nr + 1) + (is_enter ? 0 : 1)      STA_ALL_SYSCALLS is -1
 */
int sta__builtin_id(const struct sta_target *target);
bool sta__builtin_target(int id, struct sta_target *target);

/*
 * The value of a positive decimal number without sign, spaces or leading zeros. -EINVAL if it is
 * not of this form or larger than INT_MAX.
 */
int sta__id_parse(const char *text, size_t length);

#endif
