/* SPDX-License-Identifier: MIT */
/*
 * Dynptrs: memory with its size, in 16 bytes of a program's stack that only helpers look into. The
 * verifier keeps programs from writing there (verify/dynptr.c); what it does not know, where the
 * memory ends, is looked at here, at each call.
 */
#ifndef STA_EBPF_DYNPTR_H
#define STA_EBPF_DYNPTR_H

#include <stdint.h>

#define STA__DYNPTR_SIZE     16                /* sizeof(struct bpf_dynptr) */
#define STA__DYNPTR_MEM_SIZE ((1u << 24) - 1u) /* how large the memory may be: DYNPTR_MAX_SIZE */

struct sta__dynptr {
    uint64_t data; /* 0: there is none; all helpers fail */
    uint32_t size;
    uint32_t unused;
};

_Static_assert(sizeof(struct sta__dynptr) == STA__DYNPTR_SIZE, "it is what programs declare");

#endif
