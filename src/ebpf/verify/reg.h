/* SPDX-License-Identifier: MIT */
/*
 * What is known of registers and of the stack at one place of one path.
 */
#ifndef STA_EBPF_VERIFY_REG_H
#define STA_EBPF_VERIFY_REG_H

#include "ebpf/code.h"
#include "ebpf/verify/range.h"

enum sta__reg_type {
    STA__REG_NONE, /* never written: must not be read */
    STA__REG_SCALAR,
    STA__REG_CTX,
    STA__REG_STACK,
    STA__REG_MAP,
    STA__REG_MAP_KEY, /* read-only: a callback's argument */
    STA__REG_MAP_VALUE,
    STA__REG_MAP_VALUE_OR_NULL,
    STA__REG_MEM, /* `size` bytes */
    STA__REG_MEM_OR_NULL,
    STA__REG_RECORD, /* `size` bytes that have to be given back */
    STA__REG_RECORD_OR_NULL,
    STA__REG_FUNC,
    STA__REG_DYNPTR, /* of slots only: see dynptr.c */
};

/* Set in `id` of a number that is its group's plus `off`. */
#define STA__ID_DELTA (1u << 31)

struct sta__reg {
    uint8_t type;              /* enum sta__reg_type */
    uint8_t frame;             /* STACK: whose */
    int32_t off;               /* pointers: the fixed part of the offset; see also STA__ID_DELTA */
    const struct sta_map *map; /* MAP, MAP_KEY, MAP_VALUE */
    uint32_t size;             /* MEM, RECORD */
    uint32_t subprog;          /* FUNC */
    /* SCALAR: the number. Pointers: the unknown part of the offset. */
    struct sta__range n;
    /* SCALAR: equal ids are equal numbers. OR_NULL: equal ids are NULL together, or not.
     * MAP_VALUE with a lock: whose it is. 0: none */
    uint32_t id;
    uint32_t ref;    /* RECORD: what was acquired */
    uint32_t dynptr; /* MEM: of which dynptr; 0: of none */
    uint32_t value;  /* SCALAR: see values.c */
};

/* Bytes of a stack slot. */
enum sta__byte {
    STA__BYTE_NONE, /* never written */
    STA__BYTE_MISC, /* something */
    STA__BYTE_ZERO,
    STA__BYTE_SPILL,  /* of `spilled` */
    STA__BYTE_DYNPTR, /* `spilled` says of which; so are all bytes of the slot */
};

/* Eight bytes of stack. bytes[7] has the lowest address, so that what is spilled of a register of
 * n bytes is in the last n. */
struct sta__slot {
    uint8_t bytes[8];
    uint32_t value; /* whether it is read: see values.c */
    struct sta__reg spilled;
};

struct sta__frame {
    struct sta__reg regs[11];
    struct sta__slot *slots; /* slot 0 is at fp-8 */
    uint32_t slot_count;
    uint32_t subprog;
    uint32_t callsite;       /* the call that led here */
    uint32_t callback_depth; /* calls of a callback that a helper call here has made so far */
    bool in_callback;
    uint8_t callback_max; /* what it may return at most */
};

struct sta__ref {
    uint32_t id, insn;
};

struct sta__state {
    struct sta__frame *frames[STA__CALL_DEPTH];
    uint32_t frame; /* the current one; those above it are NULL */
    struct sta__ref *refs;
    uint32_t ref_count;
    uint32_t unroll_depth; /* calls of callbacks on the way here */
    /* The lock that is held: see spin_lock.c. NULL: none. */
    const struct sta_map *lock_map;
    uint32_t lock_id;

    /* Of stored states. */
    struct sta__state *parent;        /* the last one on the way here; of the walked state, too */
    struct sta__state *next;          /* of the same instruction */
    struct sta__state *newer, *older; /* all that there are */
    /* The state of a loop, still being walked, that a path from here was cut off at: until that
     * one is done, what this state's proof depends on is not known. */
    struct sta__state *loop;
    /* At a call that calls back: states of its rounds have the number of the first one. */
    uint32_t rounds;
    uint32_t insn;
    uint32_t depth;    /* number of parents */
    uint32_t branches; /* paths from here that are still to be walked */
    uint32_t hits, misses;
    bool is_listed, is_pinned;
};

static inline struct sta__frame *sta__frame_of(const struct sta__state *state)
{
    return state->frames[state->frame];
}

static inline struct sta__reg *sta__reg_of(const struct sta__state *state, int number)
{
    return &sta__frame_of(state)->regs[number];
}

static inline bool sta__is_or_null(uint8_t type)
{
    return type == STA__REG_MAP_VALUE_OR_NULL || type == STA__REG_MEM_OR_NULL ||
           type == STA__REG_RECORD_OR_NULL;
}

static inline bool sta__is_pointer(const struct sta__reg *reg)
{
    return reg->type > STA__REG_SCALAR;
}

static inline bool sta__is_zero(const struct sta__reg *reg)
{
    return reg->type == STA__REG_SCALAR && sta__range_is_const(&reg->n) && reg->n.bits.value == 0;
}

static inline bool sta__is_const(const struct sta__reg *reg)
{
    return reg->type == STA__REG_SCALAR && sta__range_is_const(&reg->n);
}

/* A slot that holds what a register held (or its lower bytes). */
static inline bool sta__is_spill(const struct sta__slot *slot)
{
    return slot->bytes[7] == STA__BYTE_SPILL;
}

static inline bool sta__is_dynptr(const struct sta__slot *slot)
{
    return slot->bytes[7] == STA__BYTE_DYNPTR;
}

static inline bool sta__is_scalar_spill(const struct sta__slot *slot)
{
    return sta__is_spill(slot) && slot->spilled.type == STA__REG_SCALAR;
}

#endif
