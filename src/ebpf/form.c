/* SPDX-License-Identifier: MIT */
/*
 * The form of single instructions. What is not in the table of opcodes is no instruction, and what
 * the table does not list as a field of one has to be zero; the rest is here, class by class.
 */
#include "ebpf/form.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "ebpf/isa.h"

bool sta__refuse(struct sta__refusal *why, int err, const char *format, ...)
{
    va_list args;

    why->err = err;
    va_start(args, format);
    vsnprintf(why->reason, sizeof(why->reason), format, args);
    va_end(args);
    return false;
}

#define KNOWN 0x80

/* For each opcode KNOWN and its STA__FIELDS_*. */
static const uint8_t opcode_fields[256] = {
#define X(name, code, fields) [code] = KNOWN | STA__FIELDS_##fields,
    STA__OPCODES(X)
#undef X
};

/* The word that the kernel's messages have for an instruction's kind. */
static const char *kind_of(const struct bpf_insn *insn)
{
    switch (sta__insn_class(insn)) {
    case BPF_LD:
        return "BPF_LD_IMM64";
    case BPF_LDX:
        return "BPF_LDX";
    case BPF_ST:
        return "BPF_ST";
    case BPF_STX:
        return sta__insn_is_atomic(insn) ? "BPF_ATOMIC" : "BPF_STX";
    case BPF_ALU:
    case BPF_ALU64:
        switch (BPF_OP(insn->code)) {
        case BPF_NEG:
            return "BPF_NEG";
        case BPF_END:
            return "BPF_END";
        case BPF_MOV:
            return "BPF_MOV";
        default:
            return "BPF_ALU";
        }
    default:
        switch (BPF_OP(insn->code)) {
        case BPF_JA:
            return "BPF_JA";
        case BPF_CALL:
            return "BPF_CALL";
        case BPF_EXIT:
            return "BPF_EXIT";
        default:
            return "BPF_JMP/JMP32";
        }
    }
}

static bool reserved(const struct bpf_insn *insn, struct sta__refusal *why)
{
    return sta__refuse(why, -EINVAL, "%s uses reserved fields", kind_of(insn));
}

static bool is_packet_load(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_LD && BPF_SIZE(insn->code) != BPF_DW &&
           (BPF_MODE(insn->code) == BPF_ABS || BPF_MODE(insn->code) == BPF_IND);
}

static bool check_opcode(const struct bpf_insn *insn, struct sta__refusal *why)
{
    if (opcode_fields[insn->code] & KNOWN)
        return true;
    if (is_packet_load(insn))
        return sta__refuse(why, -EINVAL,
                           "BPF_LD_[ABS|IND] instructions not allowed for this program type: "
                           "there is no packet");
    if (insn->code == (BPF_JMP | BPF_JCOND))
        return sta__refuse(why, -EINVAL, "may_goto is not offered");
    return sta__refuse(why, -EINVAL, "unknown opcode %02x", insn->code);
}

static bool check_fields(const struct bpf_insn *insn, struct sta__refusal *why)
{
    unsigned fields = opcode_fields[insn->code];

    if (insn->dst_reg >= STA__REG_COUNT)
        return sta__refuse(why, -EINVAL, "R%d is invalid", insn->dst_reg);
    if (insn->src_reg >= STA__REG_COUNT && !sta__insn_is_wide(insn) && insn->code != STA__OP_CALL)
        return sta__refuse(why, -EINVAL, "R%d is invalid", insn->src_reg);
    if ((insn->dst_reg && !(fields & STA__FIELDS_D)) ||
        (insn->src_reg && !(fields & STA__FIELDS_S)) || (insn->off && !(fields & STA__FIELDS_O)) ||
        (insn->imm && !(fields & STA__FIELDS_I)))
        return reserved(insn, why);
    return true;
}

static bool check_written(unsigned reg, struct sta__refusal *why)
{
    if (reg == BPF_REG_10)
        return sta__refuse(why, -EACCES, "frame pointer is read only");
    return true;
}

/* off of BPF_MOV: how many bits are sign-extended; 0: all are copied. */
static bool check_move(const struct bpf_insn *insn, struct sta__refusal *why)
{
    bool is_64 = sta__insn_class(insn) == BPF_ALU64;

    if (BPF_SRC(insn->code) == BPF_K || insn->off == 0 || insn->off == 8 || insn->off == 16 ||
        (insn->off == 32 && is_64))
        return true;
    if (insn->off == 1 && is_64)
        return sta__refuse(why, -EINVAL, "addr_space_cast insn: there are no arenas");
    return reserved(insn, why);
}

static int width_of(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_ALU64 ? 64 : 32;
}

static bool is_immediate_shift(const struct bpf_insn *insn)
{
    return sta__insn_is_alu(insn) && BPF_SRC(insn->code) == BPF_K &&
           (BPF_OP(insn->code) == BPF_LSH || BPF_OP(insn->code) == BPF_RSH ||
            BPF_OP(insn->code) == BPF_ARSH);
}

void sta__form_mask_shift(struct bpf_insn *insn)
{
    if (is_immediate_shift(insn))
        insn->imm &= width_of(insn) - 1;
}

static bool check_immediate_operand(const struct bpf_insn *insn, struct sta__refusal *why)
{
    if (is_immediate_shift(insn) && (insn->imm < 0 || insn->imm >= width_of(insn)))
        return sta__refuse(why, -EINVAL, "invalid shift %d", insn->imm);
    if ((BPF_OP(insn->code) == BPF_DIV || BPF_OP(insn->code) == BPF_MOD) && insn->imm == 0)
        return sta__refuse(why, -EINVAL, "div by zero");
    return true;
}

static bool check_alu(const struct bpf_insn *insn, struct sta__refusal *why)
{
    switch (BPF_OP(insn->code)) {
    case BPF_END:
        if (insn->imm != 16 && insn->imm != 32 && insn->imm != 64)
            return reserved(insn, why);
        break;
    case BPF_MOV:
        if (!check_move(insn, why))
            return false;
        break;
    case BPF_DIV:
    case BPF_MOD:
        if (insn->off != 0 && insn->off != 1)
            return reserved(insn, why);
        break;
    default:
        break;
    }
    if (BPF_SRC(insn->code) == BPF_K && !check_immediate_operand(insn, why))
        return false;
    return check_written(insn->dst_reg, why);
}

static bool check_atomic(const struct bpf_insn *insn, struct sta__refusal *why)
{
    switch (insn->imm) {
    case BPF_LOAD_ACQ:
        return check_written(insn->dst_reg, why);
    case BPF_STORE_REL:
        return true;
    case BPF_ADD:
    case BPF_OR:
    case BPF_AND:
    case BPF_XOR:
        break;
    case BPF_ADD | BPF_FETCH:
    case BPF_OR | BPF_FETCH:
    case BPF_AND | BPF_FETCH:
    case BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
        if (!check_written(insn->src_reg, why))
            return false;
        break;
    case BPF_CMPXCHG:
        break;
    default:
        return sta__refuse(why, -EINVAL, "BPF_ATOMIC uses invalid atomic opcode %02x", insn->imm);
    }
    if (sta__insn_size(insn) < 4)
        return sta__refuse(why, -EINVAL, "invalid atomic operand size");
    return true;
}

static bool check_call(const struct bpf_insn *insn, struct sta__refusal *why)
{
    switch (insn->src_reg) {
    case 0:
    case BPF_PSEUDO_CALL:
        return true;
    case BPF_PSEUDO_KFUNC_CALL:
        return sta__refuse(why, -EINVAL, "calling kernel function #%d: there are none here",
                           insn->imm);
    default:
        return reserved(insn, why);
    }
}

static bool check_wide(const struct bpf_insn *insn, struct sta__refusal *why)
{
    switch (insn->src_reg) {
    case 0:
    case BPF_PSEUDO_MAP_FD:
    case BPF_PSEUDO_MAP_VALUE:
    case BPF_PSEUDO_FUNC:
    case BPF_PSEUDO_MAP_IDX:
    case BPF_PSEUDO_MAP_IDX_VALUE:
        return check_written(insn->dst_reg, why);
    case BPF_PSEUDO_BTF_ID:
        return sta__refuse(why, -EINVAL,
                           "the address of kernel variable btf_id %d: there is none here",
                           insn->imm);
    default:
        return sta__refuse(why, -EINVAL, "unrecognized bpf_ld_imm64 insn");
    }
}

bool sta__form_check(const struct bpf_insn *insn, struct sta__refusal *why)
{
    if (!check_opcode(insn, why) || !check_fields(insn, why))
        return false;
    switch (sta__insn_class(insn)) {
    case BPF_ALU:
    case BPF_ALU64:
        return check_alu(insn, why);
    case BPF_LD:
        return check_wide(insn, why);
    case BPF_LDX:
        return check_written(insn->dst_reg, why);
    case BPF_STX:
        return !sta__insn_is_atomic(insn) || check_atomic(insn, why);
    default:
        return insn->code != STA__OP_CALL || check_call(insn, why);
    }
}
