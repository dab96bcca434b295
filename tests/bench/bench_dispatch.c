/* SPDX-License-Identifier: MIT */
/*
 * What a dispatch costs, and attaching, resolving tracepoints, and interception:
 *
 *     bench_dispatch [--rounds N] [--quick]
 *
 * Machines are noisy, so the rows are measured in turn, a millisecond each, round after round, and
 * the median and the smallest of the rounds are printed. A ratio compares the median of a row with
 * that of the row it is about, in the same rounds. Each row proves that its work was done: what the
 * library counted is compared with what was asked for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta.h>

#include "base/vectors.h"
#include "bench.h"

#define MEASURED_NR  SYS_getppid
#define CALLBACKS    64 /* at most, at one event */
#define BATCH_EVENTS 16 /* whose attachments are timed together */

/* Rows that others are compared with. */
enum row_id { OTHER, BARE, BARE_CALLBACK, ENTER_EXIT, NATIVE, ROW_IDS };

static struct bench_options options = {.rounds = 31};
static bool has_two_cpus;
static double sample_ns = 1e6;

/* One line of the table. */
struct row {
    const char *name;
    /* Does the row's work `n` times; returns the time of one, in ns. NULL: a heading. */
    double (*run)(struct row *row, uint64_t n);
    int enters, exits; /* callbacks attached */
    bool is_plain;     /* they are not declared STA_CALLBACK_GENERAL_REGS */
    bool needs_two_cpus;
    int present;     /* attachments that are there already */
    uint32_t in_use; /* STA__VECTORS_* */
    enum row_id id, ratio_to;

    struct sta *sta;
    int ids[CALLBACKS];
    uint64_t done; /* how often its work was done */
    uint64_t n;    /* ... in one sample */
    double samples[BENCH_ROUNDS_MAX];
};

/* The call that is dispatched does as little as it can, as do the callbacks. */
__attribute__((noinline)) static int64_t dummy(int64_t nr, int64_t a1, int64_t a2, int64_t a3,
                                               int64_t a4, int64_t a5, int64_t a6)
{
    (void)nr, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6;
    return 1;
}

static volatile sta_syscall_fn bare = dummy;

static int attach(struct sta *sta, int nr, bool is_enter, unsigned flags)
{
    return attach_callback(sta, nr, is_enter, empty_callback, NULL, flags);
}

static struct sta *new_sta(void)
{
    struct sta *sta;

    must(sta_new(&sta, NULL), "sta_new");
    sta_set_original_syscall(sta, dummy);
    return sta;
}

/* A row's registry with its callbacks, at the first call. */
static void prepare(struct row *row)
{
    if (row->sta)
        return;
    row->sta = new_sta();
    for (int i = 0; i < row->enters + row->exits; i++)
        row->ids[i] = attach(row->sta, MEASURED_NR, i < row->enters,
                             row->is_plain ? 0 : STA_CALLBACK_GENERAL_REGS);
}

/* Every callback ran as often as the row's work was done. */
static void prove_runs(const struct row *row)
{
    for (int i = 0; i < row->enters + row->exits; i++)
        prove_ran(row->sta, row->ids[i], row->done, row->name);
}

/* Dispatch. */

static double time_bare(uint64_t n)
{
    sta_syscall_fn fn = bare;
    double start = cpu_ns();
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += (uint64_t)fn(MEASURED_NR, (int64_t)i, 2, 3, 4, 5, 6);
    if (sum != n)
        die("a bare call", "the function was not called as often as it should");
    return (cpu_ns() - start) / (double)n;
}

static double time_dispatch(struct sta *sta, uint64_t n)
{
    double start = cpu_ns();
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += (uint64_t)sta_dispatch(sta, MEASURED_NR, (int64_t)i, 2, 3, 4, 5, 6);
    if (sum != n)
        die("sta_dispatch", "the original was not called as often as it should");
    return (cpu_ns() - start) / (double)n;
}

static double run_bare(struct row *row, uint64_t n)
{
    (void)row;
    return time_bare(n);
}

static double run_dispatch(struct row *row, uint64_t n)
{
    prepare(row);
    row->done += n;
    return time_dispatch(row->sta, n);
}

/* The same on two threads at once, each on a CPU of its own. */

struct partner {
    struct sta *sta; /* NULL: bare calls */
    uint64_t n;
    double ns;
    atomic_uint at_start;
};

/* Waits until the other is there too, so that both run at the same time. */
static double time_together(struct partner *partner)
{
    atomic_fetch_add(&partner->at_start, 1);
    while (atomic_load(&partner->at_start) < 2)
        __builtin_ia32_pause();
    return partner->sta ? time_dispatch(partner->sta, partner->n) : time_bare(partner->n);
}

static void *run_partner(void *data)
{
    struct partner *partner = data;

    pin_to(1);
    partner->ns = time_together(partner);
    return NULL;
}

/* Per thread: the mean of the two. */
static double run_together(struct row *row, uint64_t n)
{
    struct partner partner = {.n = n};
    pthread_t thread;
    double ns;

    if (row->enters + row->exits > 0) {
        prepare(row);
        partner.sta = row->sta;
    }
    row->done += 2 * n;
    must(-pthread_create(&thread, NULL, run_partner, &partner), "pthread_create");
    ns = time_together(&partner);
    pthread_join(thread, NULL);
    return (ns + partner.ns) / 2;
}

/* Saving vector registers around a callback. */

#define IN_LIBC STA__VECTORS_SSE | STA__VECTORS_K | STA__VECTORS_HI16

static uint32_t vectors_mask;

static int count_run(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    ++*(uint64_t *)user_data;
    return 0;
}

static sta_callback volatile counter = count_run;

static uint32_t vectors_in_use(void)
{
    uint32_t eax, edx;

    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(1));
    return eax & vectors_mask;
}

/* Takes these into use, with values that were computed or 0, and the others out. The area's layout
 * is the processor's (SDM volume 1, 13.4). */
static void take_into_use(uint32_t components)
{
    static struct {
        uint16_t control_word, status_word, unused[10];
        uint32_t mxcsr;
        uint8_t registers[484];
        uint64_t in_use;
        uint8_t rest[4096 - 520];
    } __attribute__((aligned(64))) area = {.control_word = 0x37f, .mxcsr = 0x1f80};

    area.in_use = components;
    area.status_word = (components & STA__VECTORS_X87) ? 0x20 : 0; /* a rounded result */
    __asm__ volatile("xrstor64 %0"
                     :
                     : "m"(area), "a"(vectors_mask), "d"(0)
                     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static double run_counter(struct row *row, uint64_t n)
{
    sta_callback fn = counter;
    double start = cpu_ns();
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        fn(NULL, 0, NULL, &sum);
    if (sum != n)
        die(row->name, "the callback did not run as often as it should");
    return (cpu_ns() - start) / (double)n;
}

static double run_saved(struct row *row, uint64_t n)
{
    uint32_t in_use;
    uint64_t sum = 0;
    double start, end;

    take_into_use(row->in_use);
    start = cpu_ns();
    for (uint64_t i = 0; i < n; i++)
        sta__call_with_vectors_saved(counter, NULL, 0, NULL, &sum);
    end = cpu_ns();
    in_use = vectors_in_use();
    take_into_use(0);
    if (sum != n)
        die(row->name, "the callback did not run as often as it should");
    /* More may be, whenever something else ran meanwhile. */
    if (row->in_use & ~in_use)
        die(row->name, "less is in use");
    return (end - start) / (double)n;
}

/* Attaching and detaching: one more at each of a few events that have `present` already. */

static int batch_ids[BATCH_EVENTS];

static void prepare_present(struct row *row)
{
    if (row->sta)
        return;
    row->sta = new_sta();
    for (int i = 0; i < row->present * BATCH_EVENTS; i++)
        attach(row->sta, i % BATCH_EVENTS, true, STA_CALLBACK_GENERAL_REGS);
}

static double attach_batch(struct sta *sta)
{
    double start = cpu_ns();

    for (int i = 0; i < BATCH_EVENTS; i++)
        batch_ids[i] = attach(sta, i, true, STA_CALLBACK_GENERAL_REGS);
    return cpu_ns() - start;
}

static double detach_batch(struct sta *sta)
{
    double start = cpu_ns();

    for (int i = 0; i < BATCH_EVENTS; i++)
        must(sta_detach(sta, batch_ids[i]), "sta_detach");
    return cpu_ns() - start;
}

/* What is attached runs, once for each call. */
static void prove_attached(struct row *row)
{
    for (int i = 0; i < BATCH_EVENTS; i++) {
        sta_dispatch(row->sta, i, 0, 0, 0, 0, 0, 0);
        prove_ran(row->sta, batch_ids[i], 1, row->name);
    }
}

static void prove_detached(struct row *row)
{
    for (int i = 0; i < BATCH_EVENTS; i++) {
        struct sta_attach_info info = {.size = sizeof(info)};

        if (sta_attach_info(row->sta, batch_ids[i], &info) != -ENOENT)
            die(row->name, "what was detached is still there");
    }
}

static void attach_and_detach(struct row *row, uint64_t n, double *attach_ns, double *detach_ns)
{
    uint64_t batches = n / BATCH_EVENTS + 1;

    prepare_present(row);
    *attach_ns = *detach_ns = 0;
    for (uint64_t i = 0; i < batches; i++) {
        *attach_ns += attach_batch(row->sta);
        if (i == 0)
            prove_attached(row);
        *detach_ns += detach_batch(row->sta);
    }
    prove_detached(row);
    *attach_ns /= (double)(batches * BATCH_EVENTS);
    *detach_ns /= (double)(batches * BATCH_EVENTS);
}

static double run_attach(struct row *row, uint64_t n)
{
    double attach_ns, detach_ns;

    attach_and_detach(row, n, &attach_ns, &detach_ns);
    return attach_ns;
}

static double run_detach(struct row *row, uint64_t n)
{
    double attach_ns, detach_ns;

    attach_and_detach(row, n, &attach_ns, &detach_ns);
    return detach_ns;
}

/* The table of tracepoints. */

static double run_by_name(struct row *row, uint64_t n)
{
    double start = cpu_ns();

    for (uint64_t i = 0; i < n; i++) {
        struct sta_tracepoint found;

        must(sta_tracepoint_by_name("sys_enter_openat", &found), row->name);
        if (found.target.sys_nr != SYS_openat)
            die(row->name, "the wrong one was found");
    }
    return (cpu_ns() - start) / (double)n;
}

static double run_by_id(struct row *row, uint64_t n)
{
    struct sta_tracepoint wanted, found;
    double start;

    must(sta_tracepoint_by_name("sys_enter_openat", &wanted), row->name);
    start = cpu_ns();
    for (uint64_t i = 0; i < n; i++) {
        must(sta_tracepoint_by_id(wanted.id, &found), row->name);
        if (found.target.sys_nr != SYS_openat || !found.target.is_enter)
            die(row->name, "the wrong one was found");
    }
    return (cpu_ns() - start) / (double)n;
}

static int count_one(const struct sta_tracepoint *tracepoint, void *data)
{
    (void)tracepoint;
    ++*(int *)data;
    return 0;
}

static double run_list(struct row *row, uint64_t n)
{
    double start = cpu_ns();

    for (uint64_t i = 0; i < n; i++) {
        int count = 0;

        if (sta_tracepoint_list(NULL, count_one, &count) != count || count < 600)
            die(row->name, "tracepoints are missing");
    }
    return (cpu_ns() - start) / (double)n;
}

/* Real calls, native and intercepted. */

static double time_calls(uint64_t n)
{
    double start = cpu_ns();
    long parent = getppid();

    for (uint64_t i = 1; i < n; i++)
        if (syscall(SYS_getppid) != parent)
            die("getppid", "the result is another");
    return (cpu_ns() - start) / (double)n;
}

static double run_native(struct row *row, uint64_t n)
{
    (void)row;
    return time_calls(n);
}

/* A row without callbacks has no other proof that its calls were intercepted. */
static void prove_intercepted(struct row *row)
{
    int id = attach(row->sta, SYS_getpgrp, true, 0);

    syscall(SYS_getpgrp);
    prove_ran(row->sta, id, 1, row->name);
    must(sta_detach(row->sta, id), "sta_detach");
}

static double run_intercepted(struct row *row, uint64_t n)
{
    double ns;

    prepare(row);
    must(sta_transform_install(row->sta, NULL), "sta_transform_install");
    ns = time_calls(n);
    prove_intercepted(row);
    must(sta_transform_remove(row->sta), "sta_transform_remove");
    row->done += n;
    return ns;
}

/* clang-format off */
static struct row rows[] = {
    {.name = "Dispatch, per call"},
    {.name = "bare indirect call", .run = run_bare, .id = BARE},
    {.name = "nothing attached", .run = run_dispatch, .ratio_to = BARE},
    {.name = "1 enter", .run = run_dispatch, .enters = 1, .ratio_to = BARE},
    {.name = "1 enter, plain callback", .run = run_dispatch, .enters = 1, .is_plain = true, .ratio_to = BARE},
    {.name = "1 enter + 1 exit", .run = run_dispatch, .enters = 1, .exits = 1, .id = ENTER_EXIT, .ratio_to = BARE},
    {.name = "8 enter", .run = run_dispatch, .enters = 8, .ratio_to = BARE},
    {.name = "64 enter", .run = run_dispatch, .enters = 64, .ratio_to = BARE},
    {.name = "Two threads at once, per call of each"},
    {.name = "bare indirect call", .run = run_together, .needs_two_cpus = true, .ratio_to = BARE},
    {.name = "1 enter + 1 exit", .run = run_together, .enters = 1, .exits = 1, .needs_two_cpus = true, .ratio_to = ENTER_EXIT},
    {.name = "A plain callback in the middle of an application that has in use"},
    {.name = "nothing (not saved)", .run = run_counter, .id = BARE_CALLBACK},
    {.name = "xmm", .run = run_saved, .in_use = STA__VECTORS_SSE, .ratio_to = BARE_CALLBACK},
    {.name = "xmm0-15, k, zmm16-31 (libc has)", .run = run_saved, .in_use = IN_LIBC, .ratio_to = BARE_CALLBACK},
    {.name = "ymm", .run = run_saved, .in_use = STA__VECTORS_SSE | STA__VECTORS_AVX, .ratio_to = BARE_CALLBACK},
    {.name = "ymm, k, zmm", .run = run_saved, .in_use = STA__VECTORS_ALL & ~STA__VECTORS_X87, .ratio_to = BARE_CALLBACK},
    {.name = "xmm, x87", .run = run_saved, .in_use = STA__VECTORS_SSE | STA__VECTORS_X87, .ratio_to = BARE_CALLBACK},
    {.name = "Attach and detach, with so many at the event"},
    {.name = "attach, 1", .run = run_attach, .present = 1},
    {.name = "attach, 1,000", .run = run_attach, .present = 1000},
    {.name = "detach, 1", .run = run_detach, .present = 1},
    {.name = "detach, 1,000", .run = run_detach, .present = 1000},
    {.name = "Tracepoint table"},
    {.name = "one id by name", .run = run_by_name},
    {.name = "one event by id", .run = run_by_id},
    {.name = "all ids", .run = run_list},
    {.name = "Real interception, per getppid"},
    {.name = "native", .run = run_native, .id = NATIVE},
    {.name = "nothing attached", .run = run_intercepted, .ratio_to = NATIVE},
    {.name = "1 enter + 1 exit", .run = run_intercepted, .enters = 1, .exits = 1, .ratio_to = NATIVE},
    {.name = "1 enter + 1 exit, plain callbacks", .run = run_intercepted, .enters = 1, .exits = 1, .is_plain = true, .ratio_to = NATIVE},
};
/* clang-format on */

#define ROWS_END (rows + sizeof(rows) / sizeof(*rows))

static const char *const ratio_names[ROW_IDS] = {
    [BARE] = "x bare",
    [BARE_CALLBACK] = "x not saved",
    [ENTER_EXIT] = "x one thread",
    [NATIVE] = "x native",
};

static bool is_measured(const struct row *row)
{
    return row->run && (has_two_cpus || !row->needs_two_cpus) && !(row->in_use & ~vectors_mask);
}

/* Finds how often the work fits into a sample; warms up, too. */
static void calibrate(struct row *row)
{
    for (row->n = 1; row->run(row, row->n) * (double)row->n < sample_ns / 2; row->n *= 2)
        ;
}

static void measure(void)
{
    for (struct row *row = rows; row < ROWS_END; row++)
        if (is_measured(row))
            calibrate(row);
    for (unsigned round = 0; round < options.rounds; round++)
        for (struct row *row = rows; row < ROWS_END; row++)
            if (is_measured(row))
                row->samples[round] = row->run(row, row->n);
}

static void print_number(double ns)
{
    printf(ns < 1000 ? "  %10.1f" : "  %10.0f", ns);
}

static void print_row(const struct row *row, const double *medians)
{
    if (!row->run) {
        printf("%s%s\n", row == rows ? "" : "\n", row->name);
        return;
    }
    printf("    %-34s", row->name);
    if (!is_measured(row)) {
        printf("  needs %s\n", row->needs_two_cpus ? "two CPUs" : "a newer processor");
        return;
    }
    print_number(row->samples[options.rounds / 2]);
    print_number(row->samples[0]);
    if (row->ratio_to)
        printf("  %6.2f %s", row->samples[options.rounds / 2] / medians[row->ratio_to],
               ratio_names[row->ratio_to]);
    printf("\n");
}

static void print_table(void)
{
    double medians[ROW_IDS];

    for (struct row *row = rows; row < ROWS_END; row++) {
        if (!is_measured(row))
            continue;
        prove_runs(row);
        medians[row->id] = median_of(row->samples, options.rounds);
    }
    print_machine("median and min", options.rounds);
    printf("%-38s  %10s  %10s   ratio\n", "", "median", "min");
    for (struct row *row = rows; row < ROWS_END; row++)
        print_row(row, medians);
}

int main(int argc, char **argv)
{
    bench_options_parse(&options, argc, argv);
    if (options.is_quick)
        sample_ns = 1e5;
    sta__vectors_init();
    vectors_mask = sta__vectors_tracked;
    has_two_cpus = find_two_cpus();
    pin_to(0);
    measure();
    print_table();
    for (struct row *row = rows; row < ROWS_END; row++)
        sta_free(row->sta);
    return EXIT_SUCCESS;
}
