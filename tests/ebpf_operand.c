/* SPDX-License-Identifier: MIT */
#include "ebpf_operand.h"

#include <ctype.h>
#include <string.h>

#include "ebpf/isa.h"

bool asm_read_dst(struct assembler *as, struct bpf_insn *insn)
{
    unsigned reg = 0;

    if (!scan_register(&as->scan, &reg))
        return false;
    insn->dst_reg = reg & 15;
    return true;
}

bool asm_read_src(struct assembler *as, struct bpf_insn *insn)
{
    unsigned reg = 0;

    if (!scan_register(&as->scan, &reg))
        return false;
    insn->src_reg = reg & 15;
    return true;
}

/* [%r1+8]; *reg is the base. */
static bool read_memory(struct assembler *as, unsigned *reg, int16_t *off)
{
    uint64_t value = 0;

    if (!scan_expect(&as->scan, '[') || !scan_register(&as->scan, reg))
        return false;
    scan_spaces(&as->scan);
    if (*as->scan.at != ']' && !scan_number(&as->scan, &value))
        return false;
    if ((int64_t)value != (int16_t)value)
        return scan_fail(&as->scan, "offset does not fit into 16 bits");
    *off = (int16_t)value;
    return scan_expect(&as->scan, ']');
}

bool asm_read_memory_at_dst(struct assembler *as, struct bpf_insn *insn)
{
    unsigned reg = 0;
    int16_t off = 0;

    if (!read_memory(as, &reg, &off))
        return false;
    insn->dst_reg = reg & 15;
    insn->off = off;
    return scan_expect(&as->scan, ',');
}

bool asm_read_memory_at_src(struct assembler *as, struct bpf_insn *insn)
{
    unsigned reg = 0;
    int16_t off = 0;

    if (!read_memory(as, &reg, &off))
        return false;
    insn->src_reg = reg & 15;
    insn->off = off;
    return true;
}

/* A register, or a number: then BPF_K. */
bool asm_read_source(struct assembler *as, struct bpf_insn *insn)
{
    int32_t imm;

    if (scan_is_register(&as->scan)) {
        insn->code |= BPF_X;
        return asm_read_src(as, insn);
    }
    if (!scan_imm(&as->scan, &imm))
        return false;
    insn->imm = imm;
    return true;
}

/* A label, or the distance itself. */
bool asm_read_target(struct assembler *as, struct bpf_insn *insn, bool in_imm)
{
    struct reference *reference = &as->references[as->reference_count];
    uint64_t value;

    scan_spaces(&as->scan);
    if (*as->scan.at == '+' || *as->scan.at == '-' || isdigit((unsigned char)*as->scan.at)) {
        if (!scan_number(&as->scan, &value))
            return false;
        if (in_imm)
            insn->imm = (int32_t)value;
        else
            insn->off = (int16_t)value;
        return true;
    }
    if (as->reference_count == LABELS_MAX)
        return scan_fail(&as->scan, "too many jumps");
    if (!scan_word(&as->scan, reference->name))
        return false;
    reference->insn = as->count;
    reference->line = as->scan.line;
    reference->in_imm = in_imm;
    as->reference_count++;
    return true;
}

bool asm_emit(struct assembler *as, const struct bpf_insn *insn)
{
    if (as->count == as->room)
        return scan_fail(&as->scan, "too many instructions");
    as->insns[as->count++] = *insn;
    return true;
}

bool asm_define_label(struct assembler *as, const char *name)
{
    if (as->label_count == LABELS_MAX)
        return scan_fail(&as->scan, "too many labels");
    strcpy(as->labels[as->label_count].name, name);
    as->labels[as->label_count++].insn = as->count;
    return true;
}

/* The first exit has the label `exit`, if nothing else does. */
void asm_label_exit(struct assembler *as)
{
    for (size_t i = 0; i < as->count; i++) {
        if (as->insns[i].code == STA__OP_EXIT && as->label_count < LABELS_MAX) {
            strcpy(as->labels[as->label_count].name, "exit");
            as->labels[as->label_count++].insn = i;
            break;
        }
    }
}

bool asm_resolve(struct assembler *as, const struct reference *reference)
{
    for (size_t i = 0; i < as->label_count; i++) {
        if (strcmp(as->labels[i].name, reference->name) == 0) {
            long distance = (long)as->labels[i].insn - (long)reference->insn - 1;

            if (reference->in_imm)
                as->insns[reference->insn].imm = (int32_t)distance;
            else
                as->insns[reference->insn].off = (int16_t)distance;
            return true;
        }
    }
    as->scan.line = reference->line;
    return scan_fail(&as->scan, "no label '%s'", reference->name);
}
