/* SPDX-License-Identifier: MIT */
/*
 * Names of system calls as the kernel's events spell them.
 */
#ifndef STA_SYSCALLS_NAMES_H
#define STA_SYSCALLS_NAMES_H

/* "newstat" for 4, where sta_syscall_name() says "stat". NULL if the number is unknown. */
const char *sta__syscall_event_name(int sys_nr);

#endif
