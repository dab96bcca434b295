/* SPDX-License-Identifier: MIT */
/*
 * Every instruction that the emitter can write, with every register and all sizes of displacements
 * and immediates, is what objdump reads, and is as long as it says.
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebpf/x86.h"
#include "vm/objdump.h"

#define REGS      16
#define CODE_MAX  (4u << 20)
#define CASES_MAX 200000

static const char *const names[4][REGS] = {
    {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b",
     "r13b", "r14b", "r15b"},
    {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w",
     "r14w", "r15w"},
    {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d",
     "r13d", "r14d", "r15d"},
    {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
     "r14", "r15"},
};

static const int32_t disps[] = {0, 8, -8, 127, -128, 128, -129, 0x12345678, INT32_MIN};
static const int32_t imms[] = {1, -1, 127, -128, 128, 255, 256, -129, 0x12345678, INT32_MIN};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What was written, and what objdump has to say of it. */
static uint8_t *code;
static struct sta__x86 x;
static struct expected {
    uint32_t offset;
    char text[OBJDUMP_TEXT_MAX];
} * cases;
static size_t case_count;

/* Notes what the next instruction is to read as. */
__attribute__((format(printf, 1, 2))) static void expect(const char *format, ...)
{
    struct expected *expected = &cases[case_count++];
    va_list args;

    if (case_count > CASES_MAX || x.at > code + CODE_MAX - 64)
        fail_msg("too many cases");
    expected->offset = (uint32_t)(x.at - code);
    va_start(args, format);
    vsnprintf(expected->text, sizeof(expected->text), format, args);
    va_end(args);
}

static const char *name_of(unsigned bytes, unsigned reg)
{
    return names[bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3][reg];
}

static const char *reg_of(bool wide, unsigned reg)
{
    return name_of(wide ? 8 : 4, reg);
}

/* Immediates are shown as they are extended to the operand's width. */
static uint64_t shown(bool wide, int32_t imm)
{
    return wide ? (uint64_t)(int64_t)imm : (uint32_t)imm;
}

static const char *mem_text(struct sta__x86_mem mem)
{
    static char text[OBJDUMP_TEXT_MAX];

    if (mem.disp == 0 && (mem.base & 7) != STA__RBP)
        snprintf(text, sizeof(text), "[%s]", names[3][mem.base]);
    else
        snprintf(text, sizeof(text), "[%s%c0x%x]", names[3][mem.base], mem.disp < 0 ? '-' : '+',
                 mem.disp < 0 ? -(uint32_t)mem.disp : (uint32_t)mem.disp);
    return text;
}

static const char *ptr_of(unsigned bytes)
{
    return bytes == 1 ? "BYTE" : bytes == 2 ? "WORD" : bytes == 4 ? "DWORD" : "QWORD";
}

static void moves(bool wide, unsigned a, unsigned b)
{
    static const char *const extend[] = {"movsx", "movsx", "movsxd"};

    expect("mov %s,%s", reg_of(wide, a), reg_of(wide, b));
    sta__x86_mov(&x, wide, a, b);
    for (unsigned i = 0; i < 3; i++) {
        if (!wide && i == 2)
            continue;
        expect("%s %s,%s", extend[i], reg_of(wide, a), name_of(1u << i, b));
        sta__x86_movsx(&x, wide, 8u << i, a, b);
    }
    if (wide)
        return;
    for (unsigned i = 0; i < 3; i++) {
        expect("%s %s,%s", i == 2 ? "mov" : "movzx", reg_of(false, a), name_of(1u << i, b));
        sta__x86_movzx(&x, 8u << i, a, b);
    }
}

static const struct {
    enum sta__x86_alu op;
    const char *name;
} alus[] = {
    {STA__X86_ADD, "add"}, {STA__X86_OR, "or"},   {STA__X86_AND, "and"},
    {STA__X86_SUB, "sub"}, {STA__X86_XOR, "xor"}, {STA__X86_CMP, "cmp"},
};

static const struct {
    enum sta__x86_shift op;
    const char *name;
} shifts[] = {{STA__X86_SHL, "shl"}, {STA__X86_SHR, "shr"}, {STA__X86_SAR, "sar"}};

static void pairs(bool wide, unsigned a, unsigned b)
{
    for (size_t i = 0; i < COUNT(alus); i++) {
        expect("%s %s,%s", alus[i].name, reg_of(wide, a), reg_of(wide, b));
        sta__x86_alu(&x, alus[i].op, wide, a, b);
    }
    expect("test %s,%s", reg_of(wide, a), reg_of(wide, b));
    sta__x86_test(&x, wide, a, b);
    expect("imul %s,%s", reg_of(wide, a), reg_of(wide, b));
    sta__x86_imul(&x, wide, a, b);
    for (size_t i = 0; i < COUNT(imms); i++) {
        expect("imul %s,%s,0x%lx", reg_of(wide, a), reg_of(wide, b), shown(wide, imms[i]));
        sta__x86_imul_imm(&x, wide, a, b, imms[i]);
    }
    for (size_t i = 0; i < COUNT(shifts); i++) {
        unsigned count = (a * 3 + b * 5) % REGS;

        expect("%sx %s,%s,%s", shifts[i].name, reg_of(wide, a), reg_of(wide, b),
               reg_of(wide, count));
        sta__x86_shiftx(&x, shifts[i].op, wide, a, b, count);
    }
    if (b != STA__RSP) {
        expect("lea %s,[%s+%s*1%s]", reg_of(wide, (a + b) % REGS), names[3][a], names[3][b],
               (a & 7) == STA__RBP ? "+0x0" : "");
        sta__x86_lea_sum(&x, wide, (a + b) % REGS, a, b);
    }
}

static void expect_test_imm(bool wide, unsigned a, int32_t imm)
{
    unsigned bytes = imm >= 0 && imm <= 0xff ? 1 : wide && imm < 0 ? 8 : 4;

    expect("test %s,0x%lx", name_of(bytes, a), shown(bytes == 8, imm));
    sta__x86_test_imm(&x, wide, a, imm);
}

static void singles(bool wide, unsigned a)
{
    for (size_t i = 0; i < COUNT(imms); i++) {
        for (size_t k = 0; k < COUNT(alus); k++) {
            expect("%s %s,0x%lx", alus[k].name, reg_of(wide, a), shown(wide, imms[i]));
            sta__x86_alu_imm(&x, alus[k].op, wide, a, imms[i]);
        }
        expect_test_imm(wide, a, imms[i]);
    }
    for (size_t i = 0; i < COUNT(shifts); i++) {
        for (unsigned count = 1; count < (wide ? 64 : 32); count += 6) {
            expect(count == 1 ? "%s %s,1" : "%s %s,0x%x", shifts[i].name, reg_of(wide, a), count);
            sta__x86_shift_imm(&x, shifts[i].op, wide, a, count);
        }
        expect("%s %s,cl", shifts[i].name, reg_of(wide, a));
        sta__x86_shift_cl(&x, shifts[i].op, wide, a);
    }
    expect("inc %s", reg_of(wide, a));
    sta__x86_inc(&x, wide, a);
    expect("dec %s", reg_of(wide, a));
    sta__x86_dec(&x, wide, a);
    expect("neg %s", reg_of(wide, a));
    sta__x86_unary(&x, STA__X86_NEG, wide, a);
    expect("div %s", reg_of(wide, a));
    sta__x86_unary(&x, STA__X86_DIV, wide, a);
    expect("idiv %s", reg_of(wide, a));
    sta__x86_unary(&x, STA__X86_IDIV, wide, a);
    expect("bswap %s", reg_of(wide, a));
    sta__x86_bswap(&x, wide, a);
}

static void immediates(unsigned a)
{
    expect("xor %s,%s", names[2][a], names[2][a]);
    sta__x86_mov_imm(&x, a, 0);
    expect("mov %s,0x1", names[2][a]);
    sta__x86_mov_imm(&x, a, 1);
    expect("mov %s,0xffffffff", names[2][a]);
    sta__x86_mov_imm(&x, a, UINT32_MAX);
    expect("mov %s,0xffffffffffffffff", names[3][a]);
    sta__x86_mov_imm(&x, a, UINT64_MAX);
    expect("mov %s,0xffffffff80000000", names[3][a]);
    sta__x86_mov_imm(&x, a, (uint64_t)INT32_MIN);
    expect("movabs %s,0xffffffff7fffffff", names[3][a]);
    sta__x86_mov_imm(&x, a, (uint64_t)INT32_MIN - 1);
    expect("movabs %s,0x100000000", names[3][a]);
    sta__x86_mov_imm(&x, a, 1ull << 32);
    expect("movabs %s,0x8000000000000000", names[3][a]);
    sta__x86_mov_imm(&x, a, 1ull << 63);
}

static void memory_of(unsigned size, unsigned reg, struct sta__x86_mem mem)
{
    const char *text = mem_text(mem);

    if (size <= 2)
        expect("movzx %s,%s PTR %s", names[2][reg], ptr_of(size), text);
    else
        expect("mov %s,%s PTR %s", name_of(size, reg), ptr_of(size), text);
    sta__x86_load(&x, size, reg, mem);
    expect("%s %s,%s PTR %s",
           size <= 2   ? "movsx"
           : size == 4 ? "movsxd"
                       : "mov",
           names[3][reg], ptr_of(size), text);
    sta__x86_load_signed(&x, size, reg, mem);
    expect("mov %s PTR %s,%s", ptr_of(size), text, name_of(size, reg));
    sta__x86_store(&x, size, mem, reg);
}

static void memory(unsigned reg, struct sta__x86_mem mem)
{
    for (unsigned size = 1; size <= 8; size *= 2)
        memory_of(size, reg, mem);
    for (unsigned size = 4; size <= 8; size *= 2) {
        const char *text = mem_text(mem), *name = name_of(size, reg), *ptr = ptr_of(size);
        bool wide = size == 8;

        expect("lea %s,%s", name, text);
        sta__x86_lea(&x, wide, reg, mem);
        for (size_t i = 0; i < COUNT(alus) - 1; i++) { /* all but cmp */
            expect("lock %s %s PTR %s,%s", alus[i].name, ptr, text, name);
            sta__x86_lock_alu(&x, alus[i].op, wide, mem, reg);
        }
        expect("lock xadd %s PTR %s,%s", ptr, text, name);
        sta__x86_lock_xadd(&x, wide, mem, reg);
        expect("lock cmpxchg %s PTR %s,%s", ptr, text, name);
        sta__x86_lock_cmpxchg(&x, wide, mem, reg);
        expect("xchg %s PTR %s,%s", ptr, text, name);
        sta__x86_xchg(&x, wide, mem, reg);
    }
}

static void stored_immediates(struct sta__x86_mem mem)
{
    const char *text = mem_text(mem);

    for (size_t i = 0; i < COUNT(imms); i++) {
        expect("mov BYTE PTR %s,0x%x", text, (uint8_t)imms[i]);
        sta__x86_store_imm(&x, 1, mem, imms[i]);
        expect("mov WORD PTR %s,0x%x", text, (uint16_t)imms[i]);
        sta__x86_store_imm(&x, 2, mem, imms[i]);
        expect("mov DWORD PTR %s,0x%x", text, (uint32_t)imms[i]);
        sta__x86_store_imm(&x, 4, mem, imms[i]);
        expect("mov QWORD PTR %s,0x%lx", text, shown(true, imms[i]));
        sta__x86_store_imm(&x, 8, mem, imms[i]);
    }
}

static unsigned long target(unsigned size, int32_t distance)
{
    return (unsigned long)(x.at - code) + size + (unsigned long)(long)distance;
}

static void jumps(void)
{
    static const char *const conds[16] = {
        [STA__X86_B] = "jb",   [STA__X86_AE] = "jae", [STA__X86_E] = "je",   [STA__X86_NE] = "jne",
        [STA__X86_BE] = "jbe", [STA__X86_A] = "ja",   [STA__X86_S] = "js",   [STA__X86_NS] = "jns",
        [STA__X86_L] = "jl",   [STA__X86_GE] = "jge", [STA__X86_LE] = "jle", [STA__X86_G] = "jg",
    };

    for (unsigned cond = 0; cond < 16; cond++) {
        if (!conds[cond])
            continue;
        for (int32_t distance = -128; distance < 128; distance += 51) {
            expect("%s 0x%lx", conds[cond], target(2, distance));
            sta__x86_jcc(&x, cond, true, distance);
            expect("%s 0x%lx", conds[cond], target(6, distance * 100));
            sta__x86_jcc(&x, cond, false, distance * 100);
        }
    }
    for (int32_t distance = -128; distance < 128; distance += 51) {
        expect("jmp 0x%lx", target(2, distance));
        sta__x86_jmp(&x, true, distance);
        expect("jmp 0x%lx", target(5, distance * 100));
        sta__x86_jmp(&x, false, distance * 100);
        expect("call 0x%lx", target(5, distance * 100));
        sta__x86_call(&x, distance * 100);
    }
}

static void others(void)
{
    expect("cdq");
    sta__x86_cqo(&x, false);
    expect("cqo");
    sta__x86_cqo(&x, true);
    expect("leave");
    sta__x86_leave(&x);
    expect("ret");
    sta__x86_ret(&x);
    expect("push 0x0");
    sta__x86_push_imm8(&x, 0);
    expect("push 0xffffffffffffffff");
    sta__x86_push_imm8(&x, -1);
    for (unsigned a = 0; a < REGS; a++) {
        expect("rol %s,0x8", names[1][a]);
        sta__x86_rol16(&x, a, 8);
        expect("push %s", names[3][a]);
        sta__x86_push(&x, a);
        expect("pop %s", names[3][a]);
        sta__x86_pop(&x, a);
        expect("call %s", names[3][a]);
        sta__x86_call_reg(&x, a);
        expect("lea %s,[rip+0x1234]", names[3][a]);
        sta__x86_lea_rip(&x, a, 0x1234);
        for (size_t i = 0; i < COUNT(disps); i++) {
            struct sta__x86_mem mem = {a, disps[i]};

            expect("jmp QWORD PTR %s", mem_text(mem));
            sta__x86_jmp_mem(&x, mem);
        }
    }
}

static void write_all(void)
{
    for (unsigned a = 0; a < REGS; a++) {
        for (unsigned wide = 0; wide <= 1; wide++) {
            singles(wide, a);
            for (unsigned b = 0; b < REGS; b++) {
                moves(wide, a, b);
                pairs(wide, a, b);
            }
        }
        immediates(a);
        for (size_t i = 0; i < COUNT(disps); i++) {
            struct sta__x86_mem mem = {a, disps[i]};

            stored_immediates(mem);
            for (unsigned reg = 0; reg < REGS; reg++)
                memory(reg, mem);
        }
    }
    jumps();
    others();
}

static void objdump_reads_what_was_meant(void **state)
{
    char line[512], text[OBJDUMP_TEXT_MAX];
    unsigned long offset;
    FILE *output;
    size_t i = 0;

    (void)state;
    write_all();
    output = objdump_open(code, (size_t)(x.at - code));
    while (fgets(line, sizeof(line), output)) {
        if (!objdump_parse(line, &offset, text))
            continue;
        if (i == case_count)
            fail_msg("at %#lx, behind the last: %s", offset, text);
        if (offset != cases[i].offset || strcmp(text, cases[i].text) != 0)
            fail_msg("at %#x: \"%s\", objdump: at %#lx \"%s\"", cases[i].offset, cases[i].text,
                     offset, text);
        i++;
    }
    pclose(output);
    assert_int_equal(i, case_count);
    assert_true(case_count > 50000);
}

static void nothing_is_longer_than_the_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < case_count; i++)
        assert_in_range(cases[i + 1].offset - cases[i].offset, 1, STA__X86_INSN_MAX);
}

/* Runs of nops, each followed by a ret. */
static void nops_fill_exactly(void **state)
{
    uint8_t bytes[512];
    struct sta__x86 to = {bytes};
    char line[512], text[OBJDUMP_TEXT_MAX];
    unsigned long offset, expected = 0;
    unsigned rets = 0;
    FILE *output;

    (void)state;
    for (unsigned count = 0; count < 24; count++) {
        sta__x86_nop(&to, count);
        sta__x86_ret(&to);
    }
    assert_int_equal(to.at - bytes, 23 * 24 / 2 + 24);
    output = objdump_open(bytes, (size_t)(to.at - bytes));
    while (fgets(line, sizeof(line), output)) {
        if (!objdump_parse(line, &offset, text))
            continue;
        if (strcmp(text, "ret") == 0) {
            expected += rets++;
            assert_int_equal(offset, expected++);
        } else if (!strstr(text, "nop") && strcmp(text, "xchg ax,ax") != 0) {
            fail_msg("at %#lx: %s", offset, text);
        }
    }
    pclose(output);
    assert_int_equal(rets, 24);
}

static int setup(void **state)
{
    (void)state;
    code = malloc(CODE_MAX);
    cases = malloc(CASES_MAX * sizeof(*cases));
    x.at = code;
    return code && cases ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(code);
    free(cases);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objdump_reads_what_was_meant),
        cmocka_unit_test(nothing_is_longer_than_the_limit),
        cmocka_unit_test(nops_fill_exactly),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
