/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the JIT share while one program is compiled:
 *
 *     jit.c        the steps              jit_plan.c     what each subprogram needs
 *     jit_body.c   one pass over it       jit_frame.c    its beginning and end
 *     jit_alu.c, jit_div.c, jit_memory.c, jit_atomic.c, jit_jump.c, jit_call.c,
 *     jit_map.c    instructions
 *     jit_entry.c  ways in from outside   jit_seal.c, jit_perf.c                 the finished code
 *
 * The passes run the same functions twice. The first one, measuring, throws the code away and
 * notes where each instruction would lie with every jump and call in its longest form. So no
 * distance is greater in the second, writing pass, which can choose the short form by it at once.
 *
 * Registers, as the kernel's, so that a helper's arguments are where the C ABI wants them:
 *
 *      r0   r1   r2   r3   r4   r5   r6   r7   r8   r9   r10
 *      rax  rdi  rsi  rdx  rcx  r8   rbx  r13  r14  r15  rbp, or at a distance from rsp
 *
 * r10 and r11 are free within one instruction. r9 is what is handed from subprogram to subprogram,
 * see `sta__jit_home`. r12 is not used.
 */
#ifndef STA_EBPF_JIT_WORK_H
#define STA_EBPF_JIT_WORK_H

#include "base/compiler.h"
#include "ebpf/code.h"
#include "ebpf/isa.h"
#include "ebpf/jit.h"
#include "ebpf/x86.h"

/* Bytes that one instruction of eBPF takes at most, with a frame's beginning or end. */
#define STA__JIT_INSN_MAX 256

/* Where the program keeps the address at which its result goes, which it got in rdx. */
enum sta__jit_home {
    STA__HOME_NONE, /* a subprogram: it returns it */
    STA__HOME_RDX,
    STA__HOME_R9,
    STA__HOME_STACK,
};

/* What a subprogram needs, from its instructions; dead ones do not count. */
struct sta__jit_frame {
    uint16_t regs;    /* bit r: it names register r */
    bool calls;       /* anything */
    bool divides;     /* uses rax and rdx besides */
    bool pins_frame;  /* has r10 where only a register can be */
    bool makes_tail;  /* calls of other programs or of subprograms that may make them: it keeps the
                         struct sta__tail_run that it got in r9 */
    bool has_pointer; /* rbp is r10; else it is rsp + bias */
    enum sta__jit_home home;
    uint32_t stack;   /* bytes below r10 */
    uint32_t lowered; /* by how much rsp is lowered for them */
    int32_t bias;
};

/* Something in the code that points forward. */
struct sta__jit_patch {
    uint32_t end;    /* offset behind the distance that is to be filled in */
    uint32_t target; /* instruction; or, of calls and addresses, subprogram */
    enum { STA__PATCH_SHORT, STA__PATCH_LONG, STA__PATCH_SUBPROG, STA__PATCH_CALLBACK } kind;
};

/* One of a program's subprograms. */
struct sta__jit_subprog {
    struct sta__jit_frame frame;
    uint32_t entry;    /* offset of its first byte */
    uint32_t callback; /* offset of its struct sta__callback */
    bool is_callback;
};

struct sta__jit_work {
    const struct sta__code *code;
    const struct sta__log *log;
    bool has_shiftx;
    bool makes_tails; /* some subprogram calls other programs */
    bool is_called;   /* the program calls itself as a subprogram */
    struct sta__jit_subprog *subprogs;

    struct sta__x86 x;
    bool is_measuring;
    uint8_t *buffer;    /* what `x.at` counts from: all code, or when measuring one instruction's */
    uint32_t base;      /* offset of the buffer */
    uintptr_t address;  /* where the code will run; 0 when measuring */
    uint32_t *measured; /* offset of each instruction in the first pass, and of what follows */
    uint32_t *offsets;  /* in the second */
    struct sta__jit_patch *patches;
    uint32_t patch_count;
    uint32_t enter; /* offset of the way in for tail calls */

    /* While the instruction `index` of `frame` is written. */
    const struct sta__jit_frame *frame;
    uint32_t index;
    /* The register whose value the processor's flags tell of, if anything follows that looks at it:
     * after the last instruction, and after the one before. */
    int flags, flags_before;
    bool flags_wide, flags_before_wide;
    int err;
};

#define STA__NO_REG (-1)

/* Scratch registers. */
#define STA__TEMP  STA__R11
#define STA__TEMP2 STA__R10

extern STA__HIDDEN const uint8_t sta__jit_regs[STA__REG_COUNT];

STA__INLINE bool sta__jit_uses(const struct sta__jit_frame *frame, unsigned reg)
{
    return frame->regs >> reg & 1;
}

/* The register of an eBPF register that is written, or is not r10. */
STA__INLINE enum sta__x86_reg sta__jit_reg(unsigned reg)
{
    return sta__jit_regs[reg];
}

/* A register that has the value; of r10 perhaps the scratch register. */
enum sta__x86_reg sta__jit_value(struct sta__jit_work *work, unsigned reg);
/* [reg + off] */
struct sta__x86_mem sta__jit_mem(const struct sta__jit_work *work, unsigned reg, int32_t off);

/* Bytes from the beginning of the code to here. */
STA__INLINE uint32_t sta__jit_here(const struct sta__jit_work *work)
{
    return work->base + (uint32_t)(work->x.at - work->buffer);
}

STA__INLINE void sta__jit_set_flags(struct sta__jit_work *work, unsigned reg, bool wide)
{
    work->flags = (int)reg;
    work->flags_wide = wide;
}

/* Short jumps within one instruction: the place behind one, and to fill it in. */
STA__INLINE uint8_t *sta__jit_skip(struct sta__jit_work *work, enum sta__x86_cond cond)
{
    sta__x86_jcc(&work->x, cond, true, 0);
    return work->x.at;
}

STA__INLINE void sta__jit_land(struct sta__jit_work *work, uint8_t *from)
{
    from[-1] = (uint8_t)(work->x.at - from);
}

/* Whether the next `count` instructions follow, can only be reached from this one and are to be
 * written: then they can be taken together with it. */
bool sta__jit_follow(const struct sta__jit_work *work, uint32_t count);

/* Notes that the distance of `size` bytes just written is to be filled in. */
void sta__jit_patch(struct sta__jit_work *work, int kind, uint32_t target);

/* jit_plan.c: fills work->subprogs, makes_tails, is_called. */
void sta__jit_plan(struct sta__jit_work *work);
/* Whether the whole program is compiled as a subprogram and entered through another function. */
STA__INLINE bool sta__jit_is_wrapped(const struct sta__jit_work *work)
{
    return work->makes_tails || work->is_called;
}

/* jit_body.c: writes everything once. */
void sta__jit_pass(struct sta__jit_work *work);

/* jit_frame.c */
void sta__jit_layout(struct sta__jit_frame *frame);
void sta__jit_enter_frame(struct sta__jit_work *work);
/* All but the return. */
void sta__jit_leave_frame(struct sta__jit_work *work);
void sta__jit_return(struct sta__jit_work *work);
/* [rsp]: where the address of the struct sta__tail_run is in a frame that keeps it. */
#define STA__JIT_TAIL_SLOT ((struct sta__x86_mem){STA__RSP, 0})

/* jit_entry.c: before and behind the subprograms. */
void sta__jit_write_run(struct sta__jit_work *work);
void sta__jit_write_enter(struct sta__jit_work *work);
void sta__jit_write_callbacks(struct sta__jit_work *work);

/* Instructions, a class each. They return how many were written. */
uint32_t sta__jit_alu(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_div(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_load(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_store(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_wide(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_atomic(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_goto(struct sta__jit_work *work, uint32_t target);
void sta__jit_branch(struct sta__jit_work *work, const struct bpf_insn *insn);
void sta__jit_call(struct sta__jit_work *work, const struct bpf_insn *insn);
/* A C function, by the shortest way; rax is lost before it. */
void sta__jit_call_c(struct sta__jit_work *work, uintptr_t function);
/* A call of a helper with a map that is known here. False: nothing is, and nothing was written. */
bool sta__jit_map_call(struct sta__jit_work *work, int32_t helper);
/* Whether the helper is written in place, without a call. */
bool sta__jit_is_inlined(int32_t helper);

/* jit_seal.c: memory that is first written to and then run, never both. */
struct sta__jit_memory {
    void *start;
    size_t size;
};
/* Memory for `size` bytes, if it can be near to the library. 0 or -errno. */
int sta__jit_memory_alloc(struct sta__jit_memory *out, size_t size);
int sta__jit_memory_seal(const struct sta__jit_memory *memory);
void sta__jit_memory_free(const struct sta__jit_memory *memory);

/* jit_perf.c: one line for each subprogram. */
void sta__jit_perf_note(const struct sta__jit_work *work, const char *name, uint32_t size);

#endif
