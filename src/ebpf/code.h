/* SPDX-License-Identifier: MIT */
/*
 * A program's instructions once they are known to be well formed. The verifier, the interpreter and
 * the JIT read this and never the bytes that were given.
 *
 *     sta_program_load ─► sta__code_decode ─► sta__verify ─► sta__jit_compile ─► run
 *                                                  └────────► sta__interpret ──► run
 */
#ifndef STA_EBPF_CODE_H
#define STA_EBPF_CODE_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "maps/map.h"

/* Limits, the kernel's own where it has them. */
#define STA__INSN_MAX      1000000 /* BPF_COMPLEXITY_LIMIT_INSNS: instructions of a program */
#define STA__SUBPROG_MAX   256     /* BPF_MAX_SUBPROGS */
#define STA__STACK_SIZE    512     /* MAX_BPF_STACK: bytes, of all frames of a call chain */
#define STA__CALL_DEPTH    8       /* MAX_CALL_FRAMES */
#define STA__PROG_MAPS_MAX 64      /* MAX_USED_MAPS */

/* One byte for each instruction. */
#define STA__MARK_TARGET   1  /* something jumps here, or a subprogram begins */
#define STA__MARK_TAIL     2  /* second half of a wide immediate: no instruction */
#define STA__MARK_DEAD     4  /* no path leads here (verifier); trusted programs have none */
#define STA__MARK_ALWAYS   8  /* this conditional jump is always taken (verifier) */
#define STA__MARK_NEVER    16 /* never taken */
#define STA__MARK_CALLBACK 32 /* BPF_PSEUDO_FUNC: a subprogram's address is loaded */
#define STA__MARK_SUBPROG  64 /* a subprogram begins */

struct sta__subprog {
    uint32_t start, end; /* instructions; the first subprogram is the program */
    /* Bytes below r10 that it uses, a multiple of 8: all of STA__STACK_SIZE, until the verifier
     * knows better. */
    uint32_t stack_depth;
    bool is_callback; /* called by a helper: arguments in r1 to r5, result in r0 */
};

/* What a wide immediate stands for, beside plain numbers. */
struct sta__wide {
    struct sta_map *map; /* BPF_PSEUDO_MAP_FD, _VALUE and their _IDX forms; else NULL */
    uint32_t offset;     /* into the map's value: BPF_PSEUDO_MAP_VALUE */
    uint32_t subprog;    /* BPF_PSEUDO_FUNC */
};

struct sta__code {
    struct bpf_insn *insns; /* as given; imm of BPF_PSEUDO_CALL is still relative */
    uint8_t *marks;         /* STA__MARK_*, one for each */
    uint32_t *wides;        /* for the first half of a wide immediate with a source: index + 1 */
    uint32_t count;
    struct sta__wide *wide; /* table for `wides` */
    uint32_t wide_count;
    struct sta__subprog *subprogs;
    uint32_t subprog_count;
    struct sta_map **maps; /* that it uses, each once; it holds them */
    uint32_t map_count;
};

/* Finds maps for wide immediates: see sta_program_options. */
struct sta__map_finder {
    int (*find)(void *data, int fd_or_index, int is_index, struct sta_map **out);
    void *data;
};

/*
 * Copies and checks instructions. Refuses, with the index of the instruction and the reason: what
 * is no instruction, fields that have to be zero and are not, jumps out of the program or into a
 * wide immediate, subprograms that overlap or do not end, unknown maps.
 *
 * Whether code is reachable is the verifier's business; so are the numbers of helpers, since what
 * is never reached may call one that does not exist (libbpf puts such calls in the place of what
 * CO-RE could not relocate).
 *
 * Returns 0, -EINVAL, -E2BIG, -ENOMEM, or the error of the map finder. On error *out is untouched.
 */
int sta__code_decode(struct sta__code *out, const struct bpf_insn *insns, size_t count,
                     const struct sta__map_finder *finder, const struct sta__log *log);

/* The same for trusted programs. They follow the standard where the kernel is stricter: immediate
 * shifts may be as wide as the operand or wider, and count modulo its width; so they are in the
 * code. */
int sta__code_decode_trusted(struct sta__code *out, const struct bpf_insn *insns, size_t count,
                             const struct sta__map_finder *finder, const struct sta__log *log);

void sta__code_free(struct sta__code *code);

/* The subprogram that begins at this instruction; UINT32_MAX: none does. A call at `index` leads to
 * sta__code_subprog_at(code, sta__insn_target(insn, index)), isa.h. */
uint32_t sta__code_subprog_at(const struct sta__code *code, uint32_t insn);

/* What the wide immediate at this instruction stands for; NULL: a plain number. */
static inline const struct sta__wide *sta__code_wide(const struct sta__code *code, uint32_t insn)
{
    return code->wides[insn] ? &code->wide[code->wides[insn] - 1] : NULL;
}

#endif
