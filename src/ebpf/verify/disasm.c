/* SPDX-License-Identifier: MIT */
/* Instructions as text, as the kernel's log and bpftool write them. */
#include <stdio.h>

#include "ebpf/verify/verifier.h"

static const char *size_text(const struct bpf_insn *insn)
{
    static const char *const texts[] = {"u32", "u16", "u8", "u64"};

    return texts[BPF_SIZE(insn->code) >> 3];
}

const char *sta__alu_text(uint8_t op)
{
    static const char *const texts[] = {"+=",  "-=", "*=", "/=", "|=",   "&=",     "<<=", ">>=",
                                        "neg", "%=", "^=", "=",  "s>>=", "endian", "?",   "?"};

    return texts[op >> 4];
}

static const char *jump_text(uint8_t op)
{
    static const char *const texts[] = {"jmp",  "==",   ">", ">=", "&",  "!=",  "s>", "s>=",
                                        "call", "exit", "<", "<=", "s<", "s<=", "?",  "?"};

    return texts[op >> 4];
}

static int alu(char *out, size_t size, const struct bpf_insn *insn)
{
    char reg = sta__insn_class(insn) == BPF_ALU ? 'w' : 'r';
    uint8_t op = BPF_OP(insn->code);
    const char *is_signed = (op == BPF_DIV || op == BPF_MOD) && insn->off == 1 ? "s" : "";

    if (op == BPF_END && sta__insn_class(insn) == BPF_ALU64)
        return snprintf(out, size, "(%02x) r%d = bswap%d r%d", insn->code, insn->dst_reg, insn->imm,
                        insn->dst_reg);
    if (op == BPF_END)
        return snprintf(out, size, "(%02x) r%d = %s%d r%d", insn->code, insn->dst_reg,
                        BPF_SRC(insn->code) == BPF_TO_BE ? "be" : "le", insn->imm, insn->dst_reg);
    if (op == BPF_NEG)
        return snprintf(out, size, "(%02x) %c%d = -%c%d", insn->code, reg, insn->dst_reg, reg,
                        insn->dst_reg);
    if (op == BPF_MOV && insn->off)
        return snprintf(out, size, "(%02x) %c%d = (s%d)%c%d", insn->code, reg, insn->dst_reg,
                        insn->off, reg, insn->src_reg);
    if (BPF_SRC(insn->code) == BPF_X)
        return snprintf(out, size, "(%02x) %c%d %s%s %c%d", insn->code, reg, insn->dst_reg,
                        is_signed, sta__alu_text(op), reg, insn->src_reg);
    return snprintf(out, size, "(%02x) %c%d %s%s %d", insn->code, reg, insn->dst_reg, is_signed,
                    sta__alu_text(op), insn->imm);
}

static int atomic(char *out, size_t size, const struct bpf_insn *insn)
{
    const char *width = BPF_SIZE(insn->code) == BPF_DW ? "64" : "";
    const char *name = sta__alu_text((uint8_t)(insn->imm & ~BPF_FETCH));

    if (insn->imm == BPF_LOAD_ACQ)
        return snprintf(out, size, "(%02x) r%d = load_acquire((%s *)(r%d %+d))", insn->code,
                        insn->dst_reg, size_text(insn), insn->src_reg, insn->off);
    if (insn->imm == BPF_STORE_REL)
        return snprintf(out, size, "(%02x) store_release((%s *)(r%d %+d), r%d)", insn->code,
                        size_text(insn), insn->dst_reg, insn->off, insn->src_reg);
    if (insn->imm == BPF_CMPXCHG)
        return snprintf(out, size, "(%02x) r0 = atomic%s_cmpxchg((%s *)(r%d %+d), r0, r%d)",
                        insn->code, width, size_text(insn), insn->dst_reg, insn->off,
                        insn->src_reg);
    if (insn->imm == BPF_XCHG)
        return snprintf(out, size, "(%02x) r%d = atomic%s_xchg((%s *)(r%d %+d), r%d)", insn->code,
                        insn->src_reg, width, size_text(insn), insn->dst_reg, insn->off,
                        insn->src_reg);
    if (insn->imm & BPF_FETCH)
        return snprintf(out, size, "(%02x) r%d = atomic%s_fetch(%s)((%s *)(r%d %+d), r%d)",
                        insn->code, insn->src_reg, width, name, size_text(insn), insn->dst_reg,
                        insn->off, insn->src_reg);
    return snprintf(out, size, "(%02x) lock *(%s *)(r%d %+d) %s r%d", insn->code, size_text(insn),
                    insn->dst_reg, insn->off, name, insn->src_reg);
}

static int memory(char *out, size_t size, const struct bpf_insn *insn)
{
    const char *text = size_text(insn);

    if (sta__insn_is_atomic(insn))
        return atomic(out, size, insn);
    if (sta__insn_class(insn) == BPF_LDX)
        return snprintf(out, size, "(%02x) r%d = *(%c%s *)(r%d %+d)", insn->code, insn->dst_reg,
                        BPF_MODE(insn->code) == BPF_MEMSX ? 's' : 'u', text + 1, insn->src_reg,
                        insn->off);
    if (sta__insn_class(insn) == BPF_STX)
        return snprintf(out, size, "(%02x) *(%s *)(r%d %+d) = r%d", insn->code, text, insn->dst_reg,
                        insn->off, insn->src_reg);
    return snprintf(out, size, "(%02x) *(%s *)(r%d %+d) = %d", insn->code, text, insn->dst_reg,
                    insn->off, insn->imm);
}

static int jump(char *out, size_t size, const struct bpf_insn *insn)
{
    char reg = sta__insn_class(insn) == BPF_JMP32 ? 'w' : 'r';
    const char *helper;

    if (insn->code == STA__OP_JA)
        return snprintf(out, size, "(%02x) goto pc%+d", insn->code, insn->off);
    if (insn->code == STA__OP_JA32)
        return snprintf(out, size, "(%02x) gotol pc%+d", insn->code, insn->imm);
    if (sta__insn_is_exit(insn))
        return snprintf(out, size, "(%02x) exit", insn->code);
    if (sta__insn_is_subprog_call(insn))
        return snprintf(out, size, "(%02x) call pc%+d", insn->code, insn->imm);
    if (insn->code == STA__OP_CALL) {
        helper = sta__helper_name(insn->imm);
        return snprintf(out, size, "(%02x) call %s%s#%d", insn->code, helper ? "bpf_" : "unknown",
                        helper ? helper : "", insn->imm);
    }
    if (BPF_SRC(insn->code) == BPF_X)
        return snprintf(out, size, "(%02x) if %c%d %s %c%d goto pc%+d", insn->code, reg,
                        insn->dst_reg, jump_text(BPF_OP(insn->code)), reg, insn->src_reg,
                        insn->off);
    return snprintf(out, size, "(%02x) if %c%d %s 0x%x goto pc%+d", insn->code, reg, insn->dst_reg,
                    jump_text(BPF_OP(insn->code)), (unsigned)insn->imm, insn->off);
}

static int wide(char *out, size_t size, const struct sta__code *code, uint32_t index)
{
    const struct bpf_insn *insn = &code->insns[index];
    const struct sta__wide *w = sta__code_wide(code, index);

    if (!w)
        return snprintf(out, size, "(18) r%d = 0x%llx", insn->dst_reg,
                        (unsigned long long)sta__insn_wide_value(insn));
    if (!w->map)
        return snprintf(out, size, "(18) r%d = func[%u]", insn->dst_reg, w->subprog);
    if (insn->src_reg == BPF_PSEUDO_MAP_VALUE || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE)
        return snprintf(out, size, "(18) r%d = map[%d][0]+%u", insn->dst_reg, insn->imm, w->offset);
    return snprintf(out, size, "(18) r%d = map[%d]", insn->dst_reg, insn->imm);
}

int sta__disasm(char *out, size_t size, const struct sta__code *code, uint32_t index)
{
    const struct bpf_insn *insn = &code->insns[index];

    if (sta__insn_is_wide(insn))
        return wide(out, size, code, index);
    if (sta__insn_is_alu(insn))
        return alu(out, size, insn);
    if (sta__insn_is_jmp(insn))
        return jump(out, size, insn);
    return memory(out, size, insn);
}
