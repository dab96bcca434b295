/* SPDX-License-Identifier: MIT */
/* A call of a helper: what helper_call.c finds out of its arguments, and helper_result.c does. */
#ifndef STA_EBPF_VERIFY_HELPER_CALL_H
#define STA_EBPF_VERIFY_HELPER_CALL_H

#include "ebpf/verify/verifier.h"

struct sta__helper_call {
    const struct sta__helper *helper;
    int32_t id;
    const struct sta_map *map;
    uint32_t subprog;     /* of the callback */
    uint64_t alloc_size;  /* STA__ARG_CONST_ALLOC_SIZE */
    uint64_t memory_size; /* the largest that the last size can be */
    uint64_t key;         /* of an array */
    bool key_is_known;
    uint32_t released;
    struct sta__fill fill;
    uint32_t dynptr;    /* that an argument is */
    uint8_t dynptr_reg; /* of an argument that is made one, or given back; 0: none */
};

/* What r0 is. */
int sta__helper_set_result(struct sta__verifier *v, const struct sta__helper_call *call);
/* What was acquired is given back. */
int sta__helper_release(struct sta__verifier *v, uint32_t id);
/* Bytes that the helper filled. */
int sta__helper_fill(struct sta__verifier *v, const struct sta__fill *fill);
/* Makes a dynptr, or ends one. */
int sta__helper_change_dynptr(struct sta__verifier *v, struct sta__helper_call *call);

#endif
