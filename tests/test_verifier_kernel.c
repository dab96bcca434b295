/* SPDX-License-Identifier: MIT */
/*
 * The library's verifier against the kernel's: the same programs, with maps of the same shape, have
 * to be accepted by both or refused by both. What the library accepts and the kernel does not is a
 * failure, and so is the opposite, unless the table below says why. What the library accepts is
 * also run, with every access looked at.
 *
 *      test_verifier_kernel [--programs N] [--seed S]
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/both.h"
#include "verifier/cases.h"
#include "verifier/compiled.h"
#include "verifier/random.h"

#define SKIPPED 77

/* What the kernel accepts and the library refuses on purpose, by the library's reason. */
static struct {
    const char *reason;
    const char *why;
    long count;
} differences[] = {
    {"is malformed", "what is no instruction is refused even where it is never reached", 0},
    {"combined stack size", "the kernel gives tracing programs a stack of their own", 0},
    {"invalid mem access 'map_ptr'", "there is no struct bpf_map here to be read", 0},
    {"infinite loop detected",
     "the kernel sees no loop without end around a helper that calls back", 0},
    {"dynptr at off=", "the kernel forgets of a local dynptr where it prunes", 0},
    {"invalid bpf_context access off=-", "the kernel lets tracepoint programs read before it", 0},
};

static struct {
    long compared, accepted, agreed, errno_differs, unsafe, stricter, wrong, given_up, endless;
} totals;

static char our_log[1 << 20], kernel_log[1 << 20];

static bool calls_back(const struct bpf_insn *insns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) && insns[i].src_reg == BPF_PSEUDO_FUNC)
            return true;
    }
    return false;
}

static bool is_known(const struct both_verdict *ours, const struct bpf_insn *insns, size_t count)
{
    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
        bool is_one = i == 0 ? ours->is_malformed : strstr(our_log, differences[i].reason) != NULL;

        if (strstr(differences[i].reason, "infinite loop") && !calls_back(insns, count))
            continue;

        if (is_one) {
            differences[i].count++;
            return true;
        }
    }
    return false;
}

static const char *end_of(const char *text)
{
    size_t length = strlen(text);

    return length > 600 ? text + length - 600 : text;
}

/* Again, this time with text. */
static void report(const char *name, const struct bpf_insn *insns, size_t count, uint32_t type,
                   const struct both_verdict *ours, const struct both_verdict *kernels)
{
    struct both_verdict again = {.log = kernel_log, .log_size = sizeof(kernel_log)};

    both_kernels(insns, count, type, 1, &again);
    printf("%s (type %u): library %d, kernel %d\n--- library:\n%s\n--- kernel:\n%s\n", name, type,
           ours->err, kernels->err, end_of(our_log), end_of(kernel_log));
}

static void compare(const char *name, const struct bpf_insn *insns, size_t count, uint32_t type)
{
    struct both_verdict ours = {.runs = 4}, kernels = {0};

    both_ours(insns, count, type, 0, 0, &ours);
    if (ours.wrong) {
        totals.wrong++;
        printf("%s (type %u), insn %u: %s\n", name, type, ours.wrong_insn, ours.wrong);
    }
    both_kernels(insns, count, type, 0, &kernels);
    if (kernels.err == -EAGAIN) {
        totals.endless++;
        return;
    }
    totals.compared++;
    totals.accepted += kernels.err == 0;
    if (!ours.err == !kernels.err) {
        totals.agreed++;
        totals.errno_differs += ours.err != kernels.err && !ours.is_malformed;
        return;
    }
    ours.log = our_log;
    ours.log_size = sizeof(our_log);
    both_ours(insns, count, type, 0, 1, &ours);
    if (ours.err && is_known(&ours, insns, count))
        return;
    /* It has not found anything wrong, but given up (-EFAULT: too many branches): loops that call
     * back converge sooner here. */
    if (!ours.err && !ours.wrong &&
        (kernels.err == -E2BIG || kernels.err == -EFAULT || kernels.err == -ENOMEM)) {
        totals.given_up++;
        return;
    }
    if (ours.err)
        totals.stricter++;
    else
        totals.unsafe++;
    report(name, insns, count, type, &ours, &kernels);
}

/* What people write has to be accepted. */
static long compiled_count;

static void compare_compiled(const char *name, const struct bpf_insn *insns, size_t count,
                             uint32_t type)
{
    struct both_verdict ours = {.log = our_log, .log_size = sizeof(our_log)};

    compiled_count++;
    both_ours(insns, count, type, 0, 1, &ours);
    if (ours.err) {
        totals.stricter++;
        printf("%s: %d\n%s\n", name, ours.err, end_of(our_log));
    }
    compare(name, insns, count, type);
}

static int compare_cases(void)
{
    int wrong = 0;

    for (size_t i = 0; i < verifier_case_count; i++) {
        const struct verifier_case *test = &verifier_cases[i];
        uint32_t type = test->type ? test->type : BPF_PROG_TYPE_TRACEPOINT;
        struct both_verdict kernels = {0};

        both_kernels(test->insns, test->count, type, 0, &kernels);
        if ((kernels.err == test->err) == !test->difference)
            continue;
        wrong++;
        printf("case '%s': %d is expected, the kernel says %d\n", test->name, test->err,
               kernels.err);
    }
    printf("%zu cases, the kernel sees %d otherwise\n", verifier_case_count, wrong);
    return wrong;
}

int main(int argc, char **argv)
{
    static struct bpf_insn insns[RANDOM_PROGRAM_MAX];
    uint64_t programs = 2000, seed = 1;
    int wrong;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--programs"))
            programs = strtoull(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 0);
    }
    if (both_no_kernel()) {
        printf("skipped: %s\n", both_no_kernel());
        return SKIPPED;
    }
    wrong = compare_cases();
    wrong += compiled_compare(compare_compiled);
    printf("%ld compiled programs\n", compiled_count);
    for (uint64_t i = seed; i < seed + programs; i++) {
        size_t count = random_program(insns, i);
        char name[40];

        snprintf(name, sizeof(name), "seed %llu", (unsigned long long)i);
        compare(name, insns, count,
                i % 4 ? BPF_PROG_TYPE_TRACEPOINT : BPF_PROG_TYPE_RAW_TRACEPOINT);
    }
    printf(
        "%ld compared, %ld accepted by the kernel, %ld agreed (of them %ld with another errno)\n",
        totals.compared, totals.accepted, totals.agreed, totals.errno_differs);
    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
        printf("%ld refused: %s\n", differences[i].count, differences[i].why);
    printf("%ld proved by the library where the kernel gives up (too complex)\n", totals.given_up);
    printf("%ld not compared: the kernel takes more than %d s\n", totals.endless, BOTH_SECONDS);
    printf("%ld accepted only by the library, %ld refused only by it, %ld did harm when run\n",
           totals.unsafe, totals.stricter, totals.wrong);
    return wrong || totals.wrong || totals.unsafe || totals.stricter;
}
