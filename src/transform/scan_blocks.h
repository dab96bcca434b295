/* SPDX-License-Identifier: MIT */
/*
 * Looking for a few bytes in blocks of code, quickly. The byte behind the last block must be
 * readable, too. All vector registers are as before.
 */
#ifndef STA_TRANSFORM_SCAN_BLOCKS_H
#define STA_TRANSFORM_SCAN_BLOCKS_H

#include <stdint.h>

#define STA__SCAN_BLOCK_SIZE 64

/* The first block from `at` on that has a place with the bytes 0f 05, or `end`. */
uintptr_t sta__scan_blocks_for_syscall(uintptr_t at, uintptr_t end);

/* For each block, behind which of its places the last byte of an opcode may lie that is followed by
 * a distance of four bytes (e9, 0f 80 to 0f 8f): a bit a place. */
void sta__scan_blocks_for_branches(uintptr_t at, uintptr_t end, uint64_t *bits);

#endif
