/* SPDX-License-Identifier: MIT */
/*
 * Lengths and parts of instructions, from code that ends where its memory does. (Against objdump:
 * test_decode_objdump.sh.)
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode_cases.h"
#include "transform/decode.h"

#define RANDOM_INSTRUCTIONS 1000000

/* What a case says. */
struct expected {
    uint8_t code[32];
    unsigned length;
    unsigned disp_offset, disp_size, imm_offset, imm_size;
    bool rip_relative;
};

static struct expected parse(const char *bytes)
{
    struct expected expected = {.length = 0};

    for (const char *c = bytes; *c; c++) {
        char digits[3] = {c[0], c[1], 0};

        switch (*c) {
        case ' ':
            break;
        case '{':
            expected.rip_relative = true;
            /* fall through */
        case '[':
            expected.disp_offset = expected.length;
            break;
        case ']':
        case '}':
            expected.disp_size = expected.length - expected.disp_offset;
            break;
        case '(':
            expected.imm_offset = expected.length;
            break;
        case ')':
            expected.imm_size = expected.length - expected.imm_offset;
            break;
        default:
            expected.code[expected.length++] = (uint8_t)strtoul(digits, NULL, 16);
            c++;
        }
    }
    return expected;
}

/* Where readable memory ends. */
static uint8_t *end_of_memory;

static int setup(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) < 0)
        return -1;
    end_of_memory = pages + page;
    return 0;
}

/* Decodes `size` bytes behind which nothing can be read. */
static int decode_at_end(struct sta__instruction *out, const uint8_t *code, size_t size)
{
    memcpy(end_of_memory - size, code, size);
    return sta__decode(out, end_of_memory - size, size);
}

static int decode_text(struct sta__instruction *out, const char *bytes)
{
    struct expected expected = parse(bytes);

    return decode_at_end(out, expected.code, expected.length);
}

static void compare_part(const char *bytes, const char *part, unsigned got, unsigned wanted)
{
    if (got != wanted)
        fail_msg("%s: %s is %u, not %u", bytes, part, got, wanted);
}

static void compare_case(const char *bytes, const struct sta__instruction *got, int kind)
{
    struct expected wanted = parse(bytes);

    compare_part(bytes, "length", got->length, wanted.length);
    compare_part(bytes, "kind", got->kind, (unsigned)kind);
    compare_part(bytes, "disp_offset", got->disp_offset, wanted.disp_offset);
    compare_part(bytes, "disp_size", got->disp_size, wanted.disp_size);
    compare_part(bytes, "imm_offset", got->imm_offset, wanted.imm_offset);
    compare_part(bytes, "imm_size", got->imm_size, wanted.imm_size);
    compare_part(bytes, "rip_relative", got->rip_relative, wanted.rip_relative);
}

static void lengths_and_parts_are_right(void **state)
{
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        int length = decode_text(&instruction, cases[i].bytes);

        if (length < 0)
            fail_msg("%s: %d", cases[i].bytes, length);
        assert_int_equal(length, instruction.length);
        compare_case(cases[i].bytes, &instruction, cases[i].kind);
    }
}

static void what_follows_does_not_matter(void **state)
{
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct expected expected = parse(cases[i].bytes);

        memset(expected.code + expected.length, 0xff, sizeof(expected.code) - expected.length);
        sta__decode(&instruction, expected.code, sizeof(expected.code));
        compare_case(cases[i].bytes, &instruction, cases[i].kind);
    }
}

static void truncated_instructions_are_told_from_undefined_ones(void **state)
{
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct expected expected = parse(cases[i].bytes);

        for (unsigned size = 0; size < expected.length; size++) {
            int result = decode_at_end(&instruction, expected.code, size);

            if (result != -ENODATA)
                fail_msg("%s cut to %u bytes: %d, not %d", cases[i].bytes, size, result, -ENODATA);
        }
    }
}

static void undefined_opcodes_are_refused(void **state)
{
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < UNDEFINED_COUNT; i++) {
        int result = decode_text(&instruction, undefined[i]);

        if (result != -EILSEQ)
            fail_msg("%s: %d, not %d", undefined[i], result, -EILSEQ);
    }
}

/* A nop with `count` prefixes. */
static int decode_prefixed(unsigned count, size_t size)
{
    struct sta__instruction instruction;
    uint8_t code[32];

    memset(code, 0x66, sizeof(code));
    code[count] = 0x90;
    return decode_at_end(&instruction, code, size);
}

static void instructions_have_at_most_15_bytes(void **state)
{
    struct sta__instruction instruction;

    (void)state;
    assert_int_equal(decode_prefixed(14, 15), 15);
    assert_int_equal(decode_prefixed(14, 14), -ENODATA);
    assert_int_equal(decode_prefixed(15, 16), -EILSEQ);
    assert_int_equal(decode_prefixed(15, 15), -EILSEQ);
    assert_int_equal(decode_prefixed(31, 32), -EILSEQ);
    assert_int_equal(decode_text(&instruction, "2e 2e 2e 2e 2e 48 b8 01 02 03 04 05 06 07 08"), 15);
    assert_int_equal(decode_text(&instruction, "2e 2e 2e 2e 2e 2e 48 b8 01 02 03 04 05 06 07 08"),
                     -EILSEQ);
    assert_int_equal(decode_text(&instruction, "2e 2e 2e 2e 2e 2e 2e 2e 81 05 01 02 03 04 05 06"),
                     -EILSEQ);
}

static void targets_count_from_the_first_byte(void **state)
{
    static const struct {
        const char *bytes;
        int64_t target;
    } branches[] = {
        {"eb fe", 0},
        {"eb 7f", 0x81},
        {"75 80", -0x7e},
        {"e3 00", 2},
        {"67 e3 10", 0x13},
        {"e9 fb ff ff ff", 0},
        {"e8 ff ff ff 7f", 0x80000004},
        {"e9 00 00 00 80", -0x7ffffffb},
        {"f2 e8 10 00 00 00", 0x16},
        {"0f 8f fa ff ff ff", 0},
        {"c7 f8 10 00 00 00", 0x16},
        {"66 c7 f8 fb ff", 0},
    };
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < sizeof(branches) / sizeof(*branches); i++) {
        assert_true(decode_text(&instruction, branches[i].bytes) > 0);
        if (instruction.target != branches[i].target)
            fail_msg("%s: target %lld, not %lld", branches[i].bytes, (long long)instruction.target,
                     (long long)branches[i].target);
    }
}

static void constants_in_eax_are_known(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t eax;
    } movs[] = {
        {"b8 27 00 00 00", 39},
        {"b8 ff ff ff ff", 0xffffffff},
        {"c7 c0 e7 00 00 00", 231},
        {"48 c7 c0 ff ff ff ff", 0xffffffff},
        {"31 c0", 0},
        {"33 c0", 0},
    };
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < sizeof(movs) / sizeof(*movs); i++) {
        assert_true(decode_text(&instruction, movs[i].bytes) > 0);
        assert_int_equal(instruction.kind, STA__INSTRUCTION_SET_EAX);
        assert_int_equal(instruction.eax, movs[i].eax);
    }
}

static void branches_of_16_bits_are_marked(void **state)
{
    static const struct {
        const char *bytes;
        int length;
        bool differs;
    } branches[] = {
        {"66 e8 01 02 03 04", 4, true},     {"66 e9 01 02 03 04", 4, true},
        {"66 0f 84 01 02 03 04", 5, true},  {"66 eb 01", 3, true},
        {"66 48 e8 01 02 03 04", 7, false}, {"e8 01 02 03 04", 5, false},
        {"66 c7 f8 01 02", 5, false},       {"66 ff e0", 3, false},
    };
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < sizeof(branches) / sizeof(*branches); i++) {
        assert_int_equal(decode_text(&instruction, branches[i].bytes), branches[i].length);
        assert_int_equal(instruction.differs_by_maker, branches[i].differs);
    }
}

static void the_opcode_and_its_map_are_told(void **state)
{
    static const struct {
        const char *bytes;
        int encoding, map, opcode, opcode_offset, modrm_offset;
    } opcodes[] = {
        {"48 89 c7", STA__ENCODING_LEGACY, 0, 0x89, 1, 2},
        {"c3", STA__ENCODING_LEGACY, 0, 0xc3, 0, 0},
        {"f3 0f 1e fa", STA__ENCODING_LEGACY, 1, 0x1e, 2, 3},
        {"66 0f 38 00 c1", STA__ENCODING_LEGACY, 2, 0x00, 3, 4},
        {"66 0f 3a 0f c1 08", STA__ENCODING_LEGACY, 3, 0x0f, 3, 4},
        {"c5 f8 77", STA__ENCODING_VEX, 1, 0x77, 2, 0},
        {"c4 e2 7d 58 c0", STA__ENCODING_VEX, 2, 0x58, 3, 4},
        {"8f e9 78 c2 c0", STA__ENCODING_XOP, 9, 0xc2, 3, 4},
        {"62 f5 7c 48 58 c0", STA__ENCODING_EVEX, 5, 0x58, 4, 5},
    };
    struct sta__instruction instruction;

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++) {
        assert_true(decode_text(&instruction, opcodes[i].bytes) > 0);
        assert_int_equal(instruction.encoding, opcodes[i].encoding);
        assert_int_equal(instruction.map, opcodes[i].map);
        assert_int_equal(instruction.opcode, opcodes[i].opcode);
        assert_int_equal(instruction.opcode_offset, opcodes[i].opcode_offset);
        assert_int_equal(instruction.modrm_offset, opcodes[i].modrm_offset);
    }
}

static uint64_t next_random(void) /* splitmix64 */
{
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Opcodes of one byte would leave little room for the others. */
static void put_random_code(uint8_t code[16])
{
    static const char *const starts[] = {"",     "\x0f", "\x0f\x38", "\x0f\x3a", "\xc5",
                                         "\xc4", "\x62", "\x8f",     "\x66\x48", "\xf2\x0f"};
    const char *start = starts[next_random() % (sizeof(starts) / sizeof(*starts))];
    uint64_t words[] = {next_random(), next_random()};

    memcpy(code, words, sizeof(words));
    memcpy(code, start, strlen(start));
}

static void parts_lie_inside(const struct sta__instruction *instruction, size_t size)
{
    unsigned disp_end = instruction->disp_offset + instruction->disp_size;
    unsigned imm_end = instruction->imm_offset + instruction->imm_size;

    assert_in_range(instruction->length, 1, size);
    assert_in_range(instruction->opcode_offset, 0, instruction->length - 1);
    assert_in_range(instruction->modrm_offset, 0, instruction->length - 1);
    assert_in_range(disp_end, 0, instruction->length);
    assert_in_range(imm_end, 0, instruction->length);
    assert_true(!instruction->imm_size || imm_end == instruction->length);
    assert_true(!instruction->disp_size || disp_end + instruction->imm_size == instruction->length);
    assert_true(!instruction->rip_relative || instruction->disp_size == 4);
}

static void random_bytes_stay_in_bounds(void **state)
{
    struct sta__instruction instruction, again;
    uint8_t code[16];

    (void)state;
    for (int i = 0; i < RANDOM_INSTRUCTIONS; i++) {
        size_t size = next_random() % (sizeof(code) + 1);
        int result;

        put_random_code(code);
        result = decode_at_end(&instruction, code, size);
        if (result < 0) {
            assert_true(result == -EILSEQ || result == -ENODATA);
            assert_true(size < STA__INSTRUCTION_MAX || result == -EILSEQ);
            continue;
        }
        assert_int_equal(result, instruction.length);
        parts_lie_inside(&instruction, size);
        assert_int_equal(decode_at_end(&again, code, (size_t)result), result);
        assert_memory_equal(&again, &instruction, sizeof(again));
        assert_int_equal(decode_at_end(&again, code, (size_t)result - 1), -ENODATA);
    }
}

static bool is_branch(const struct sta__instruction *instruction)
{
    return instruction->kind == STA__INSTRUCTION_JUMP ||
           instruction->kind == STA__INSTRUCTION_JUMP_IF ||
           instruction->kind == STA__INSTRUCTION_CALL;
}

/* Whether there is nothing to be known of it but its length. */
static bool only_goes_on(const struct sta__instruction *instruction)
{
    return instruction->kind == STA__INSTRUCTION_OTHER ||
           instruction->kind == STA__INSTRUCTION_SET_EAX ||
           instruction->kind == STA__INSTRUCTION_CALL_INDIRECT;
}

static bool goes_on(const struct sta__instruction *instruction)
{
    return instruction->kind != STA__INSTRUCTION_JUMP &&
           instruction->kind != STA__INSTRUCTION_RETURN &&
           instruction->kind != STA__INSTRUCTION_JUMP_INDIRECT;
}

/* What the short way says of the code, it must have from the long one. */
static bool check_step(const uint8_t code[16])
{
    struct sta__instruction instruction;
    uint32_t step = sta__decode_step(code);

    if (!step)
        return false;
    assert_int_equal(sta__decode(&instruction, code, 16), step & STA__STEP_LENGTH);
    assert_false(instruction.differs_by_maker);
    assert_int_equal((step & STA__STEP_ENDS) != 0, !goes_on(&instruction));
    assert_int_equal(sta__step_distance(step), is_branch(&instruction) ? instruction.imm_size : 0);
    if (step & STA__STEP_DISTANCE)
        assert_int_equal(instruction.imm_offset + instruction.imm_size, instruction.length);
    else
        assert_true((step & STA__STEP_ENDS) || only_goes_on(&instruction));
    return true;
}

/* Each opcode of one and of two bytes, with each ModRM and two SIBs, with and without 66 and REX.
 */
static void usual_instructions_are_what_they_are(void **state)
{
    static const uint8_t rex[] = {0, 0x40, 0x41, 0x48, 0x4f};
    const unsigned each = sizeof(rex) * 2 * 0x20000; /* one byte or two, 66 or not */
    unsigned usual = 0, usual_escaped = 0;

    (void)state;
    for (unsigned i = 0; i < 2 * each; i++) {
        uint8_t code[16] = {0}, *at = code, prefix = rex[i / 0x80000];
        bool is_escaped = i & 0x20000;

        if (i & 0x40000)
            *at++ = 0x66;
        if (prefix)
            *at++ = prefix;
        if (is_escaped)
            *at++ = 0x0f;
        *at++ = (uint8_t)(i >> 9);
        *at++ = (uint8_t)(i >> 1);
        *at++ = i & 1 ? 0x25 : 0x24;
        if (check_step(code))
            *(is_escaped ? &usual_escaped : &usual) += 1;
    }
    /* of both, a good part is */
    assert_true(usual > each / 3);
    assert_true(usual_escaped > each / 3);
    for (int i = 0; i < RANDOM_INSTRUCTIONS; i++) {
        uint8_t code[16];

        put_random_code(code);
        check_step(code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_parts_are_right),
        cmocka_unit_test(what_follows_does_not_matter),
        cmocka_unit_test(truncated_instructions_are_told_from_undefined_ones),
        cmocka_unit_test(undefined_opcodes_are_refused),
        cmocka_unit_test(instructions_have_at_most_15_bytes),
        cmocka_unit_test(targets_count_from_the_first_byte),
        cmocka_unit_test(constants_in_eax_are_known),
        cmocka_unit_test(branches_of_16_bits_are_marked),
        cmocka_unit_test(the_opcode_and_its_map_are_told),
        cmocka_unit_test(random_bytes_stay_in_bounds),
        cmocka_unit_test(usual_instructions_are_what_they_are),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
