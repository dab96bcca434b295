/* SPDX-License-Identifier: MIT */
#ifndef STA_TRANSFORM_NEAR_H
#define STA_TRANSFORM_NEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pages.h"

/* Maps `size` bytes (whole pages) for reading and executing, so near to `code` that a jump of 32
 * bits leads from each byte of one to each of the other. Returns the address; 0: no memory is free
 * there. No libc. */
uintptr_t sta__near_alloc(const struct sta__range *code, size_t size);

/* Whether the memory from `start` to `end` is that near. */
bool sta__near_reaches(const struct sta__range *code, uintptr_t start, uintptr_t end);

#endif
