/* SPDX-License-Identifier: MIT */
/*
 * Helpers of text against the kernel's: the same program is run by both on the same random input,
 * and has to leave the same memory behind. Without the kernel, what is known of the results is
 * checked.
 *
 *      test_helpers_text [--inputs N] [--formats N] [--seed S]
 */
#include "core.h"

#include "twice.h"

static uint64_t seed = 1;
static uint32_t input_count = 20000, format_count = 1500;

static uint32_t pick(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static uint64_t any(void)
{
    return (uint64_t)pick(UINT32_MAX) << 32 | pick(UINT32_MAX);
}

static uint64_t interesting(void)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       9,
                                       10,
                                       255,
                                       256,
                                       INT32_MAX,
                                       UINT32_MAX,
                                       UINT64_C(1) << 31,
                                       INT64_MAX,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX,
                                       (uint64_t)-1000,
                                       0x1234,
                                       1000000007};

    switch (pick(3)) {
    case 0:
        return any();
    case 1:
        return any() >> pick(64);
    default:
        return numbers[pick(COUNT(numbers))];
    }
}

/* ---- numbers out of text ---- */

enum { SIZE_AT = 8, FLAGS_AT = 16, RESULT_AT = 24, NUMBER_AT = 32, TEXT_AT = 64 };

/* area[RESULT] = helper(area + TEXT, area[SIZE], area[FLAGS], &number); area[NUMBER] = number */
#define READS_NUMBER(helper)                                                                    \
    {                                                                                           \
        LD_VALUE(R6, AREA, 0), LDX(BPF_DW, R2, R6, SIZE_AT), JMP(BPF_JEQ, R2, 0, 11),           \
            JMP(BPF_JGT, R2, 128, 10), MOVX(R1, R6), ADD(R1, TEXT_AT),                          \
            LDX(BPF_DW, R3, R6, FLAGS_AT), MOVX(R4, R10), ADD(R4, -8), ST(BPF_DW, R10, -8, 77), \
            CALL(helper), STX(BPF_DW, R6, R0, RESULT_AT), LDX(BPF_DW, R1, R10, -8),             \
            STX(BPF_DW, R6, R1, NUMBER_AT), MOV(R0, 0), EXIT                                    \
    }

static const struct bpf_insn reads_signed[] = READS_NUMBER(strtol);
static const struct bpf_insn reads_unsigned[] = READS_NUMBER(strtoul);

static void random_number_text(uint8_t *out, uint32_t size)
{
    static const char *const spaces[] = {"", " ", "\t \n", "\xa0", "\v\f\r ", "\x85", "\x1f"};
    static const char *const signs[] = {"", "-", "+", "--", "- "};
    static const char *const bases[] = {"", "0", "0x", "0X", "00", "0x0x", "x"};
    static const char *const formats[] = {"%llu", "%llx", "%llo", "%lld", "%llX"};
    char text[128], number[32];

    snprintf(number, sizeof(number), formats[pick(5)], (unsigned long long)interesting());
    snprintf(text, sizeof(text), "%s%s%s%s%s%c", pick(3) ? "" : spaces[pick(7)],
             pick(2) ? "" : signs[pick(5)], pick(2) ? "" : bases[pick(7)], number,
             pick(4) ? ""
                     : "9876543210987654321098765432109876543210987654321098765432109876543210",
             pick(256));
    if (pick(8) == 0)
        text[pick((uint32_t)strlen(text) + 1)] = (char)pick(256);
    memset(out, 0, size);
    memcpy(out, text, strlen(text));
}

static void set_word(struct twice *t, uint32_t at, uint64_t value)
{
    memcpy(t->ours + at, &value, 8);
    if (t->kernels)
        memcpy(t->kernels + at, &value, 8);
}

static int64_t word(const uint8_t *area, uint32_t at)
{
    int64_t value;

    memcpy(&value, area + at, 8);
    return value;
}

static void copy_input(struct twice *t)
{
    if (t->kernels)
        memcpy(t->kernels, t->ours, AREA_SIZE);
}

static void numbers_are_read_as_by(const struct bpf_insn *insns, size_t count)
{
    static const uint64_t bases[] = {0, 8, 10, 16, 0, 10, 16, 2, 36, 31, 32, 1ull << 32};
    struct twice t;

    twice_load(&t, insns, count, NULL, 0);
    assert_string_equal(t.log, "");
    for (uint32_t i = 0; i < input_count; i++) {
        uint32_t length;

        random_number_text(t.ours + TEXT_AT, 128);
        length = (uint32_t)strlen((char *)t.ours + TEXT_AT);
        copy_input(&t);
        set_word(&t, SIZE_AT, pick(4) ? length : 1 + pick(128));
        set_word(&t, FLAGS_AT, bases[pick(COUNT(bases))]);
        twice_run(&t);
        if (twice_has_kernel(&t) && memcmp(t.ours, t.kernels, TEXT_AT) != 0)
            fail_msg("'%s', size %lld, base %lld: %lld, %lld; the kernel: %lld, %lld",
                     t.ours + TEXT_AT, (long long)word(t.ours, SIZE_AT),
                     (long long)word(t.ours, FLAGS_AT), (long long)word(t.ours, RESULT_AT),
                     (long long)word(t.ours, NUMBER_AT), (long long)word(t.kernels, RESULT_AT),
                     (long long)word(t.kernels, NUMBER_AT));
    }
    twice_free(&t);
}

static void numbers_are_read_as_by_the_kernel(void **state)
{
    (void)state;
    numbers_are_read_as_by(reads_signed, COUNT(reads_signed));
    numbers_are_read_as_by(reads_unsigned, COUNT(reads_unsigned));
}

static void numbers_that_are_known(void **state)
{
    static const struct {
        const char *text;
        uint64_t base;
        int64_t result, number;
        bool is_unsigned;
    } cases[] = {
        {"42", 10, 2, 42, false},
        {" -0x10,", 0, 6, -16, false},
        {"0777", 0, 4, 0777, false},
        {"-9223372036854775808", 0, 20, INT64_MIN, false},
        {"9223372036854775808", 0, -ERANGE, 0, false},
        {"18446744073709551615", 10, 20, -1, true},
        {"18446744073709551616", 10, -ERANGE, 0, true},
        {"-1", 10, -EINVAL, 0, true},
        {"x", 16, -EINVAL, 0, false},
        {"1", 7, -EINVAL, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct twice t;

        twice_load(&t, cases[i].is_unsigned ? reads_unsigned : reads_signed, COUNT(reads_signed),
                   NULL, 0);
        memcpy(t.ours + TEXT_AT, cases[i].text, strlen(cases[i].text));
        copy_input(&t);
        set_word(&t, SIZE_AT, strlen(cases[i].text));
        set_word(&t, FLAGS_AT, cases[i].base);
        twice_run(&t);
        assert_int_equal(word(t.ours, RESULT_AT), cases[i].result);
        assert_int_equal(word(t.ours, NUMBER_AT), cases[i].number);
        twice_free(&t);
    }
}

/* ---- comparing ---- */

/* area[RESULT] = strncmp(area + TEXT, area[SIZE], rodata) */
static const struct bpf_insn compares[] = {LD_VALUE(R6, AREA, 0),
                                           LDX(BPF_DW, R2, R6, SIZE_AT),
                                           JMP(BPF_JEQ, R2, 0, 7),
                                           JMP(BPF_JGT, R2, 128, 6),
                                           MOVX(R1, R6),
                                           ADD(R1, TEXT_AT),
                                           LD_VALUE(R3, RODATA, 0),
                                           CALL(strncmp),
                                           STX(BPF_DW, R6, R0, RESULT_AT),
                                           MOV(R0, 0),
                                           EXIT};

static void random_letters(char *out, uint32_t most)
{
    uint32_t length = pick(most);

    for (uint32_t i = 0; i < length; i++)
        out[i] = "ab\xff\x80\x01"[pick(5)];
    out[length] = 0;
}

static void strings_compare_as_in_the_kernel(void **state)
{
    (void)state;
    for (int program = 0; program < 40; program++) {
        char rodata[RODATA_SIZE] = {0};
        struct twice t;

        random_letters(rodata, 8);
        twice_load(&t, compares, COUNT(compares), rodata, 0);
        assert_int_equal(t.our_err, 0);
        for (uint32_t i = 0; i < input_count / 100; i++) {
            char *text = (char *)t.ours + TEXT_AT;

            random_letters(text, 10);
            if (pick(2))
                strcpy(text, rodata);
            text[pick(12)] = "ab\0\xff"[pick(4)];
            copy_input(&t);
            set_word(&t, SIZE_AT, 1 + pick(pick(4) ? 12 : 128));
            twice_run(&t);
            if (twice_has_kernel(&t))
                assert_int_equal(word(t.ours, RESULT_AT), word(t.kernels, RESULT_AT));
        }
        memset(t.ours + TEXT_AT, 0, 16);
        set_word(&t, SIZE_AT, 4);
        twice_run(&t);
        assert_int_equal(word(t.ours, RESULT_AT), rodata[0] ? -1 : 0);
        twice_free(&t);
    }
}

/* ---- formats ---- */

enum { VALUES_AT = 128, OUT_AT = 1024, STRINGS_AT = 2560, STRING_SIZE = 96, ARGS_MAX = 12 };

/* What an argument is: a number, or an address in the areas. */
enum { A_NUMBER, A_STRING };

struct made_format {
    char text[RODATA_SIZE];
    uint8_t args[ARGS_MAX];
    uint32_t count;
    bool is_odd; /* the kernel prints another number for an address */
};

static void append(struct made_format *f, const char *text)
{
    if (strlen(f->text) + strlen(text) + 1 < sizeof(f->text))
        strcat(f->text, text);
}

static void random_conversion(struct made_format *f)
{
    static const char *const kinds[] = {
        "d",  "i",  "u",   "x",   "X",    "ld", "lu",  "lx", "lld", "llu", "llx", "llX",
        "c",  "s",  "pks", "pus", "px",   "ps", "pS",  "pB", "pI4", "pi4", "pI6", "pi6",
        "li", "pK", "p",   "hd",  "hhu",  "o",  "lc",  "f",  "n",   "pI5", "pi",  "pR",
        "z",  "pk", "pu",  "Lx",  "llld", "ls", ".3d", "*d", "#x",  "pE",  "%",   "e"};
    static const char *const flags[] = {"", "-", "0", "+", " ", "-0", "0-", "+ ", "00", "#", "'"};
    static const char *const widths[] = {"", "1", "5", "12", "20", "007", "40", "100"};
    uint32_t kind = pick(20) ? pick(25) : pick(COUNT(kinds));
    bool is_address =
        strstr(kinds[kind], "pk") || strstr(kinds[kind], "pI") || strstr(kinds[kind], "pi");

    append(f, "%");
    append(f, pick(2) ? "" : flags[pick(pick(20) ? 9 : COUNT(flags))]);
    append(f, pick(2) ? "" : widths[pick(COUNT(widths))]);
    append(f, kinds[kind]);
    f->is_odd |= !strcmp(kinds[kind], "p") || !strcmp(kinds[kind], "pK") ||
                 !strcmp(kinds[kind], "%"); /* "%%" takes no argument, and "%5%" is none */
    if (f->count < ARGS_MAX)
        f->args[f->count++] = is_address ? A_STRING : A_NUMBER;
}

static void random_format(struct made_format *f)
{
    static const char *const texts[] = {"",   " ",  ", ", ": ", "a",        "%%",  "\n",
                                        "x=", "\t", "(",  "]",  "\xc3\xa9", "\xa0"};
    uint32_t count = pick(pick(10) ? 6 : 14);

    memset(f, 0, sizeof(*f));
    append(f, pick(4) ? "" : "begin ");
    for (uint32_t i = 0; i < count; i++) {
        random_conversion(f);
        append(f, texts[pick(COUNT(texts))]);
    }
    if (pick(30) == 0 && f->text[0]) {
        f->text[pick((uint32_t)strlen(f->text))] = (char)(1 + pick(255));
        f->is_odd = true; /* nobody knows which argument is printed how */
    }
    if (pick(30) == 0)
        append(f, "%");
    if (pick(30) == 0 && f->count)
        f->count--; /* one argument too few */
}

static size_t put(struct bpf_insn *insns, size_t at, const struct bpf_insn *from, size_t count)
{
    memcpy(insns + at, from, count * sizeof(*from));
    return at + count;
}

#define PUT(...)                                         \
    do {                                                 \
        const struct bpf_insn put_all[] = {__VA_ARGS__}; \
        at = put(insns, at, put_all, COUNT(put_all));    \
    } while (0)

/* The arguments, at r10 - 96, from the area's numbers, or addresses of its strings. */
static size_t put_args(struct bpf_insn *insns, size_t at, const struct made_format *f)
{
    PUT(LD_VALUE(R6, AREA, 0));
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->args[i] == A_STRING)
            PUT(LD_VALUE(R1, AREA, STRINGS_AT + (int)i * STRING_SIZE));
        else
            PUT(LDX(BPF_DW, R1, R6, VALUES_AT + 8 * (int16_t)i));
        PUT(STX(BPF_DW, R10, R1, (int16_t)(-96 + 8 * (int)i)));
    }
    return at;
}

/* area[RESULT] = snprintf(area + OUT, area[SIZE], rodata, args, ..) */
static size_t make_snprintf(struct bpf_insn *insns, const struct made_format *f)
{
    size_t at = put_args(insns, 0, f);

    PUT(LDX(BPF_DW, R2, R6, SIZE_AT), JMP(BPF_JGT, R2, 1500, 9), MOVX(R1, R6), ADD(R1, OUT_AT),
        LD_VALUE(R3, RODATA, 0), MOVX(R4, R10), ADD(R4, -96), MOV(R5, 8 * (int)f->count),
        CALL(snprintf), STX(BPF_DW, R6, R0, RESULT_AT), MOV(R0, 0), EXIT);
    return at;
}

/* Strings that programs give by number: the process's own. */
static const char *const own_strings[] = {"", "own string", "some % more",
                                          "a string of quite some length, to be cut off somewhere"};

static void random_input(struct twice *t, const struct made_format *f)
{
    memset(t->ours + OUT_AT, 0x5a, 1500);
    for (uint32_t i = 0; i < ARGS_MAX; i++) {
        uint8_t *string = t->ours + STRINGS_AT + i * STRING_SIZE;
        uint64_t value = pick(3) ? interesting() : (uintptr_t)own_strings[pick(4)];

        for (uint32_t j = 0; j < STRING_SIZE - 1; j++)
            string[j] = pick(STRING_SIZE) ? (uint8_t)(1 + pick(255)) : 0;
        string[STRING_SIZE - 1] = 0;
        memcpy(t->ours + VALUES_AT + 8 * i, &value, 8);
    }
    (void)f;
    copy_input(t);
}

/* Where an address made text begins behind the end of the buffer, the kernel loses count. */
static bool has_made_text(const struct made_format *f)
{
    return strstr(f->text, "p") != NULL;
}

static void compare_texts(struct twice *t, const struct made_format *f, uint64_t size)
{
    const char *ours = (char *)t->ours + OUT_AT, *kernels = (char *)t->kernels + OUT_AT;

    if (!twice_has_kernel(t) || f->is_odd)
        return;
    if (word(t->ours, RESULT_AT) != word(t->kernels, RESULT_AT) || memcmp(ours, kernels, 1500) != 0)
        fail_msg("format '%s', size %llu:\n%lld '%.200s'; the kernel:\n%lld '%.200s'", f->text,
                 (unsigned long long)size, (long long)word(t->ours, RESULT_AT), ours,
                 (long long)word(t->kernels, RESULT_AT), kernels);
}

static void texts_are_the_kernels(void **state)
{
    long accepted = 0, refused = 0;

    (void)state;
    for (uint32_t i = 0; i < format_count; i++) {
        struct bpf_insn insns[128];
        struct made_format f;
        struct twice t;
        size_t count;

        random_format(&f);
        count = make_snprintf(insns, &f);
        twice_load(&t, insns, count, f.text, i % 2 ? STA_PROGRAM_INTERPRET : 0);
        if (t.area_fd >= 0 && !t.our_err != !t.kernel_err)
            fail_msg("format '%s' with %u arguments: %d (%s), the kernel %d", f.text, f.count,
                     t.our_err, t.log, t.kernel_err);
        if (t.our_err) {
            assert_int_equal(t.our_err, -EINVAL);
            assert_non_null(strstr(t.log, "Invalid format string"));
            refused++;
        }
        for (int input = 0; !t.our_err && input < 8; input++) {
            uint64_t size = has_made_text(&f) || input < 4 ? 1500 : pick(200);

            random_input(&t, &f);
            set_word(&t, SIZE_AT, size);
            twice_run(&t);
            compare_texts(&t, &f, size);
            accepted++;
        }
        twice_free(&t);
    }
    print_message("%ld texts, %ld formats refused\n", accepted, refused);
    assert_true(accepted > refused && refused > 0);
}

/* The format begins in constants, and never ends. */
static void formats_have_an_end(void **state)
{
    const struct made_format none = {.text = ""};
    struct bpf_insn insns[128];
    char rodata[RODATA_SIZE];
    struct twice t;
    size_t count = make_snprintf(insns, &none);

    (void)state;
    memset(rodata, 'a', sizeof(rodata));
    twice_load(&t, insns, count, rodata, 0);
    assert_int_equal(t.our_err, -EINVAL);
    assert_non_null(strstr(t.log, "string is not zero-terminated"));
    if (t.area_fd >= 0)
        assert_int_equal(t.kernel_err, -EINVAL);
    twice_free(&t);
    rodata[RODATA_SIZE - 1] = 0;
    twice_load(&t, insns, count, rodata, 0);
    assert_string_equal(t.log, "");
    if (t.area_fd >= 0)
        assert_int_equal(t.kernel_err, 0);
    twice_free(&t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_by_the_kernel),
        cmocka_unit_test(numbers_that_are_known),
        cmocka_unit_test(strings_compare_as_in_the_kernel),
        cmocka_unit_test(texts_are_the_kernels),
        cmocka_unit_test(formats_have_an_end),
    };

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--inputs"))
            input_count = (uint32_t)strtoul(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--formats"))
            format_count = (uint32_t)strtoul(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
