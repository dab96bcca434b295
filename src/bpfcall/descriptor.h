/* SPDX-License-Identifier: MIT */
/* What is asked of the kernel about descriptors of an object's memfd: see fds.h. */
#ifndef STA_BPFCALL_DESCRIPTOR_H
#define STA_BPFCALL_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

/* A description of its own of the same memfd, locked, close-on-exec; O_RDWR, O_RDONLY or O_WRONLY.
 */
int sta__fd_open(int own_fd, int flags);

/* Whether a description that was given out is there yet, anywhere. */
bool sta__fd_is_open_somewhere(int own_fd);

/* Of one that stands for no object: -EBADF (not open), 0 (for one of the kernel's, by what /proc
 * shows of it), -EINVAL. */
int sta__fd_why_not_ours(int fd);

/* A duplicate out of the application's way; an error where the limit does not allow that. */
int64_t sta__fd_copy_own(int fd);

#endif
