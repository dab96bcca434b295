/* SPDX-License-Identifier: MIT */
/* The application's memory, which may not be there. */
#ifndef STA_BPFCALL_USER_H
#define STA_BPFCALL_USER_H

#include <stddef.h>
#include <stdint.h>

/* 0 or -EFAULT; how much was copied then is not known. */
int sta__user_read(void *to, uint64_t from, size_t size);
int sta__user_write(uint64_t to, const void *from, size_t size);

/* A string of at most `size` - 1 characters, cut off where it is longer, and always ended. Returns
 * its length, or -EFAULT. */
long sta__user_read_string(char *to, uint64_t from, size_t size);

/* A copy in memory of its own, for free(3). NULL and *error -EFAULT or -ENOMEM. */
void *sta__user_copy(uint64_t from, size_t size, int *error);

#endif
