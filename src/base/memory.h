/* SPDX-License-Identifier: MIT */
/*
 * Memory that the application names and that may not be there. The kernel does the copying
 * (process_vm_readv(2) on this very process), so that a fault is an error and not a signal.
 * Async-signal-safe.
 */
#ifndef STA_BASE_MEMORY_H
#define STA_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Copies all of `size` bytes. 0; -EFAULT if they are not all there; another -errno if the kernel
 * does not offer or allow this. */
int sta__memory_read_checked(void *to, const void *from, size_t size);
int sta__memory_write_checked(void *to, const void *from, size_t size);

/* Copies all of `size` bytes; false if they are not all there. Where the kernel does not check it,
 * that is found out the hard way, as without libsta. */
bool sta__memory_read(void *to, const void *from, size_t size);
bool sta__memory_write(void *to, const void *from, size_t size);

/* Copies, or compares, memory that is known to be there. Not memcpy and memcmp, which are libc's.
 */
void sta__memory_copy(void *to, const void *from, size_t size);
bool sta__memory_is_equal(const void *a, const void *b, size_t size);

#endif
