/* SPDX-License-Identifier: MIT */
#include "ebpf_asm.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/isa.h"
#include "ebpf_operand.h"

struct name {
    const char *name;
    int value;
};

/* The value of a name; -1: it is none of these. */
static int find(const struct name *names, const char *name)
{
    for (; names->name; names++) {
        if (strcmp(names->name, name) == 0)
            return names->value;
    }
    return -1;
}

/* Cuts a trailing 32 or 64 off; returns the width that it stands for, 64 if there is none. */
static unsigned cut_width(char *word)
{
    size_t length = strlen(word);

    if (length > 2 && strcmp(word + length - 2, "32") == 0) {
        word[length - 2] = '\0';
        return 32;
    }
    if (length > 2 && strcmp(word + length - 2, "64") == 0)
        word[length - 2] = '\0';
    return 64;
}

/* The value of a name that may end in a width; -1: it is none of these. */
static int find_of_width(const struct name *names, const char *mnemonic, unsigned *width)
{
    char word[SCAN_WORD_MAX];

    strcpy(word, mnemonic);
    *width = cut_width(word);
    return find(names, word);
}

static const struct name alu_names[] = {
    {"add", BPF_ADD},  {"sub", BPF_SUB},   {"mul", BPF_MUL},  {"div", BPF_DIV},
    {"sdiv", BPF_DIV}, {"or", BPF_OR},     {"and", BPF_AND},  {"lsh", BPF_LSH},
    {"rsh", BPF_RSH},  {"mod", BPF_MOD},   {"smod", BPF_MOD}, {"xor", BPF_XOR},
    {"mov", BPF_MOV},  {"arsh", BPF_ARSH}, {"neg", BPF_NEG},  {NULL, 0},
};

/* 1: assembled, 0: not of this kind, -1: failed. */
static int alu(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn = {0};
    unsigned width;
    int op = find_of_width(alu_names, mnemonic, &width);

    if (op < 0)
        return 0;
    insn.code = (uint8_t)((width == 64 ? BPF_ALU64 : BPF_ALU) | op);
    if (mnemonic[0] == 's' && (op == BPF_DIV || op == BPF_MOD))
        insn.off = 1;
    if (!asm_read_dst(as, &insn))
        return -1;
    if (op != BPF_NEG && (!scan_expect(&as->scan, ',') || !asm_read_source(as, &insn)))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int sign_extending_move(struct assembler *as, const char *mnemonic)
{
    static const struct name names[] = {{"movsx864", 8}, {"movsx1664", 16}, {"movsx3264", 32},
                                        {"movsx832", 8}, {"movsx1632", 16}, {"movsx3232", 32},
                                        {NULL, 0}};
    struct bpf_insn insn = {0};
    int bits = find(names, mnemonic);

    if (bits < 0)
        return 0;
    insn.code = BPF_MOV | BPF_X |
                (strcmp(mnemonic + strlen(mnemonic) - 2, "64") == 0 ? BPF_ALU64 : BPF_ALU);
    insn.off = (int16_t)bits;
    if (!asm_read_dst(as, &insn) || !scan_expect(&as->scan, ',') || !asm_read_src(as, &insn))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int byte_order(struct assembler *as, const char *mnemonic)
{
    static const struct name names[] = {{"le", STA__OP_LE},
                                        {"be", STA__OP_BE},
                                        {"bswap", STA__OP_BSWAP},
                                        {"swap", STA__OP_BSWAP},
                                        {NULL, 0}};
    struct bpf_insn insn = {0};
    char word[SCAN_WORD_MAX];
    int code;

    strcpy(word, mnemonic);
    word[strcspn(word, "0123456789")] = '\0';
    code = find(names, word);
    if (code < 0)
        return 0;
    insn.code = (uint8_t)code;
    insn.imm = atoi(mnemonic + strlen(word));
    if (!asm_read_dst(as, &insn))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static const struct name load_names[] = {
    {"ldxb", STA__OP_LDXB},   {"ldxh", STA__OP_LDXH},
    {"ldxw", STA__OP_LDXW},   {"ldxdw", STA__OP_LDXDW},
    {"ldxsb", STA__OP_LDSXB}, {"ldxsh", STA__OP_LDSXH},
    {"ldxsw", STA__OP_LDSXW}, {NULL, 0},
};
static const struct name store_names[] = {
    {"stb", STA__OP_STB},   {"sth", STA__OP_STH},     {"stw", STA__OP_STW},
    {"stdw", STA__OP_STDW}, {"stxb", STA__OP_STXB},   {"stxh", STA__OP_STXH},
    {"stxw", STA__OP_STXW}, {"stxdw", STA__OP_STXDW}, {NULL, 0},
};
static const struct name acquire_names[] = {
    {"ldacqb", STA__OP_ATOMICB},
    {"ldacqh", STA__OP_ATOMICH},
    {"ldacqw", STA__OP_ATOMICW},
    {"ldacqdw", STA__OP_ATOMICDW},
    {NULL, 0},
};
static const struct name release_names[] = {
    {"strelb", STA__OP_ATOMICB},
    {"strelh", STA__OP_ATOMICH},
    {"strelw", STA__OP_ATOMICW},
    {"streldw", STA__OP_ATOMICDW},
    {NULL, 0},
};

static int load(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn = {0};
    int code = find(load_names, mnemonic);

    if (code < 0) {
        code = find(acquire_names, mnemonic);
        insn.imm = BPF_LOAD_ACQ;
    }
    if (code < 0)
        return 0;
    insn.code = (uint8_t)code;
    if (!asm_read_dst(as, &insn) || !scan_expect(&as->scan, ',') ||
        !asm_read_memory_at_src(as, &insn))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int store(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn = {0};
    int code = find(store_names, mnemonic);
    bool by_imm = code >= 0 && BPF_CLASS(code) == BPF_ST;
    int32_t imm = 0;

    if (code < 0) {
        code = find(release_names, mnemonic);
        insn.imm = BPF_STORE_REL;
    }
    if (code < 0)
        return 0;
    insn.code = (uint8_t)code;
    if (!asm_read_memory_at_dst(as, &insn))
        return -1;
    if (by_imm ? !scan_imm(&as->scan, &imm) : !asm_read_src(as, &insn))
        return -1;
    if (by_imm)
        insn.imm = imm;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int atomic(struct assembler *as, const char *mnemonic)
{
    static const struct name names[] = {
        {"add", BPF_ADD},   {"or", BPF_OR},           {"and", BPF_AND}, {"xor", BPF_XOR},
        {"xchg", BPF_XCHG}, {"cmpxchg", BPF_CMPXCHG}, {NULL, 0},
    };
    struct bpf_insn insn = {0};
    char word[SCAN_WORD_MAX];
    bool fetches;

    if (strcmp(mnemonic, "lock") != 0)
        return 0;
    fetches = scan_accept_word(&as->scan, "fetch");
    if (!scan_word(&as->scan, word))
        return -1;
    insn.code = cut_width(word) == 64 ? STA__OP_ATOMICDW : STA__OP_ATOMICW;
    insn.imm = find(names, word);
    if (insn.imm < 0)
        return scan_fail(&as->scan, "unknown atomic operation '%s'", word) ? 1 : -1;
    if (fetches)
        insn.imm |= BPF_FETCH;
    if (!asm_read_memory_at_dst(as, &insn) || !asm_read_src(as, &insn))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int branch(struct assembler *as, const char *mnemonic)
{
    static const struct name names[] = {
        {"jeq", BPF_JEQ},   {"jne", BPF_JNE},   {"jgt", BPF_JGT},   {"jge", BPF_JGE},
        {"jlt", BPF_JLT},   {"jle", BPF_JLE},   {"jsgt", BPF_JSGT}, {"jsge", BPF_JSGE},
        {"jslt", BPF_JSLT}, {"jsle", BPF_JSLE}, {"jset", BPF_JSET}, {NULL, 0},
    };
    struct bpf_insn insn = {0};
    unsigned width;
    int op = find_of_width(names, mnemonic, &width);

    if (op < 0)
        return 0;
    insn.code = (uint8_t)((width == 64 ? BPF_JMP : BPF_JMP32) | op);
    if (!asm_read_dst(as, &insn) || !scan_expect(&as->scan, ',') || !asm_read_source(as, &insn) ||
        !scan_expect(&as->scan, ',') || !asm_read_target(as, &insn, false))
        return -1;
    return asm_emit(as, &insn) ? 1 : -1;
}

static int control(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn = {0};
    int32_t imm = 0;
    bool good = true;

    if (strcmp(mnemonic, "exit") == 0) {
        insn.code = STA__OP_EXIT;
    } else if (strcmp(mnemonic, "ja") == 0) {
        insn.code = STA__OP_JA;
        good = asm_read_target(as, &insn, false);
    } else if (strcmp(mnemonic, "ja32") == 0) {
        insn.code = STA__OP_JA32;
        good = asm_read_target(as, &insn, true);
    } else if (strcmp(mnemonic, "call") == 0) {
        insn.code = STA__OP_CALL;
        if (scan_accept_word(&as->scan, "local")) {
            insn.src_reg = BPF_PSEUDO_CALL;
            good = asm_read_target(as, &insn, true);
        } else {
            good = scan_imm(&as->scan, &imm);
            insn.imm = imm;
        }
    } else {
        return 0;
    }
    return good && asm_emit(as, &insn) ? 1 : -1;
}

/* A map, and for its value the offset: 3+8. */
static bool read_map(struct assembler *as, struct bpf_insn *insn, bool has_offset)
{
    uint64_t offset = 0;
    int32_t imm;

    if (!scan_imm(&as->scan, &imm) ||
        (has_offset && *as->scan.at == '+' && !scan_number(&as->scan, &offset)))
        return false;
    insn[0].imm = imm;
    insn[1].imm = (int32_t)offset;
    return true;
}

static int wide(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn[2] = {{.code = STA__OP_LDDW}, {0}};
    uint64_t value;
    bool good;

    if (strcmp(mnemonic, "lddw") != 0)
        return 0;
    if (!asm_read_dst(as, &insn[0]) || !scan_expect(&as->scan, ','))
        return -1;
    if (scan_accept_word(&as->scan, "map")) {
        insn[0].src_reg = BPF_PSEUDO_MAP_FD;
        good = read_map(as, insn, false);
    } else if (scan_accept_word(&as->scan, "value")) {
        insn[0].src_reg = BPF_PSEUDO_MAP_VALUE;
        good = read_map(as, insn, true);
    } else if (scan_accept_word(&as->scan, "map_idx")) {
        insn[0].src_reg = BPF_PSEUDO_MAP_IDX;
        good = read_map(as, insn, false);
    } else if (scan_accept_word(&as->scan, "value_idx")) {
        insn[0].src_reg = BPF_PSEUDO_MAP_IDX_VALUE;
        good = read_map(as, insn, true);
    } else if (scan_accept_word(&as->scan, "func")) {
        insn[0].src_reg = BPF_PSEUDO_FUNC;
        good = asm_read_target(as, &insn[0], true);
    } else {
        good = scan_number(&as->scan, &value);
        insn[0].imm = (int32_t)(uint32_t)value;
        insn[1].imm = (int32_t)(uint32_t)(value >> 32);
    }
    return good && asm_emit(as, &insn[0]) && asm_emit(as, &insn[1]) ? 1 : -1;
}

static int any_word(struct assembler *as, const char *mnemonic)
{
    struct bpf_insn insn;
    uint64_t value;

    if (strcmp(mnemonic, "word") != 0)
        return 0;
    if (!scan_number(&as->scan, &value))
        return -1;
    memcpy(&insn, &value, sizeof(insn));
    return asm_emit(as, &insn) ? 1 : -1;
}

static bool assemble_line(struct assembler *as)
{
    static int (*const kinds[])(struct assembler *, const char *) = {
        wide, sign_extending_move, byte_order, alu, load, store, atomic, branch, control, any_word,
    };
    char word[SCAN_WORD_MAX];
    int result = 0;

    scan_spaces(&as->scan);
    if (*as->scan.at == '\0')
        return true;
    if (!scan_word(&as->scan, word))
        return false;
    if (scan_accept(&as->scan, ':'))
        return asm_define_label(as, word) && assemble_line(as);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && result == 0; i++)
        result = kinds[i](as, word);
    if (result == 0)
        return scan_fail(&as->scan, "unknown instruction '%s'", word);
    scan_spaces(&as->scan);
    if (result > 0 && *as->scan.at != '\0')
        return scan_fail(&as->scan, "'%.20s' is too much", as->scan.at);
    return result > 0;
}

static bool assemble_lines(struct assembler *as, const char *text)
{
    char line[256];

    while (*text) {
        size_t length = strcspn(text, "\n");
        size_t code = strcspn(text, "#\n");

        as->scan.line++;
        if (code >= sizeof(line))
            return scan_fail(&as->scan, "too long");
        memcpy(line, text, code);
        line[code] = '\0';
        while (code > 0 && isspace((unsigned char)line[code - 1]))
            line[--code] = '\0';
        as->scan.at = line;
        if (!assemble_line(as))
            return false;
        text += length + (text[length] == '\n');
    }
    asm_label_exit(as);
    for (size_t i = 0; i < as->reference_count; i++) {
        if (!asm_resolve(as, &as->references[i]))
            return false;
    }
    return as->count > 0 || scan_fail(&as->scan, "there is no instruction");
}

size_t ebpf_assemble(const char *text, struct bpf_insn *insns, size_t room, char *error,
                     size_t error_size)
{
    struct assembler *as = calloc(1, sizeof(*as));
    size_t count = 0;

    if (!as) {
        snprintf(error, error_size, "no memory");
        return 0;
    }
    as->insns = insns;
    as->room = room;
    as->scan.error = error;
    as->scan.error_size = error_size;
    if (assemble_lines(as, text))
        count = as->count;
    free(as);
    return count;
}
