/* SPDX-License-Identifier: MIT */
#ifndef STA_TRANSFORM_MOVED_ON_H
#define STA_TRANSFORM_MOVED_ON_H

/* Waits until each other thread of this process has executed something since this was called, or is
 * asleep in a system call: no thread is then still about to execute the instruction at which it was
 * when this was called. 0; -ETIMEDOUT, some thread has not for two seconds;
 * another -errno, it cannot be found out. */
int sta__wait_until_moved_on(void);

#endif
