/* SPDX-License-Identifier: MIT */
/* Programs in the words of the table of opcodes. */
#include <stdio.h>

#include "ebpf/isa.h"
#include "vm/random_program.h"

static const char *const names[256] = {
#define X(name, code, fields) [code] = #name,
    STA__OPCODES(X)
#undef X
};

void random_program_print(const struct bpf_insn *insns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct bpf_insn *insn = &insns[i];
        const char *name = insn->code ? names[insn->code] : "";

        printf("%4u: %-9s dst r%-2u src r%-2u off %-6d imm %#x (%d)\n", i, name ? name : "?",
               insn->dst_reg, insn->src_reg, insn->off, (unsigned)insn->imm, insn->imm);
    }
}
