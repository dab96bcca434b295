/* SPDX-License-Identifier: MIT */
/*
 * What reads of user memory cost: ns of CPU time each, called as programs call the helpers, inside
 * a callback of an intercepted call.
 *
 *     bench_reads [--rounds N] [--quick]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#include "base/clock.h"
#include "base/copy_user.h"
#include "ebpf/helpers.h"
#include "ebpf/task.h"

typedef uint64_t (*helper)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static char text[4096];

struct row {
    const char *name;
    helper read;
    uint64_t address;  /* 0: `text` */
    const int *fields; /* of the task, ended by -1; NULL: it is no read of that */
    uint32_t size;
    int64_t result;
    bool is_blocked; /* SIGSEGV is: the kernel copies */
    double samples[BENCH_ROUNDS_MAX];
};

static uint64_t nothing(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return 0;
}

/* Follows pointers from the task, each at the offset of a field, and reads the last one. */
static uint64_t follow(uint64_t to, uint64_t size, uint64_t fields, uint64_t r4, uint64_t r5)
{
    const int *field = (const int *)(uintptr_t)fields;
    uint64_t at = sta__helper_get_current_task(0, 0, 0, 0, 0);

    for (; field[1] >= 0; field++) {
        if (sta__helper_probe_read_kernel((uintptr_t)&at, sizeof(at),
                                          at + sta__task_offsets[*field], r4, r5))
            return 1;
    }
    return sta__helper_probe_read_kernel(to, size, at + sta__task_offsets[*field], r4, r5);
}

#define TASK(name_, size_, ...)                                                                \
    {                                                                                          \
        .name = name_, .read = follow, .fields = (const int[]){__VA_ARGS__, -1}, .size = size_ \
    }

static struct row rows[] = {
    {.name = "the loop alone", .read = nothing},
    {.name = "8 bytes", .read = sta__helper_probe_read_user, .size = 8},
    {.name = "16 bytes", .read = sta__helper_probe_read_user, .size = 16},
    {.name = "64 bytes", .read = sta__helper_probe_read_user, .size = 64},
    {.name = "256 bytes", .read = sta__helper_probe_read_user, .size = 256},
    {.name = "4,096 bytes", .read = sta__helper_probe_read_user, .size = 4096},
    {.name = "a string of 15, into 64 bytes",
     .read = sta__helper_probe_read_user_str,
     .size = 64,
     .result = 16},
    {.name = "16 bytes of a bad address",
     .read = sta__helper_probe_read_user,
     .address = 64,
     .size = 16,
     .result = -EFAULT},
    {.name = "16 bytes, SIGSEGV blocked",
     .read = sta__helper_probe_read_user,
     .size = 16,
     .is_blocked = true},
    TASK("task: tgid", 4, STA__FIELD_TGID),
    TASK("task: comm", 16, STA__FIELD_COMM),
    TASK("task: real_parent, tgid", 4, STA__FIELD_REAL_PARENT, STA__FIELD_TGID),
    TASK("task: cred, uid", 4, STA__FIELD_CRED, STA__FIELD_UID),
    TASK("task: nsproxy, mnt_ns, inum", 4, STA__FIELD_NSPROXY, STA__FIELD_NSPROXY_MNT,
         STA__FIELD_MNT_INUM),
    TASK("task: start_time", 8, STA__FIELD_START_TIME),
};

#define ROWS_END (rows + sizeof(rows) / sizeof(rows[0]))

static struct bench_options options = {.rounds = 31};
static double sample_ns = 2e6;

/* Reads of a row, in a callback. */
static struct {
    struct row *row;
    uint64_t n;
    double ns;
    char to[4096];
} asked;

static int read_often(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct row *row = asked.row;
    uint64_t from = row->fields    ? (uintptr_t)row->fields
                    : row->address ? row->address
                                   : (uintptr_t)text;
    double start = cpu_ns();

    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    for (uint64_t i = 0; i < asked.n; i++) {
        if ((int64_t)row->read((uintptr_t)asked.to, row->size, from, 0, 0) != row->result)
            die(row->name, "it is not read");
    }
    asked.ns = cpu_ns() - start;
    return 0;
}

static double run(struct row *row, uint64_t n)
{
    asked.row = row;
    asked.n = n;
    syscall(SYS_getppid);
    return asked.ns;
}

static void block(bool is_blocked)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(is_blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static uint64_t reads_in(struct row *row, double ns)
{
    uint64_t n = 1;

    while (run(row, n) < ns / 2)
        n *= 2;
    return n;
}

static void measure(void)
{
    for (struct row *row = rows; row < ROWS_END; row++) {
        uint64_t n;

        block(row->is_blocked);
        n = reads_in(row, sample_ns);
        for (unsigned round = 0; round < options.rounds; round++)
            row->samples[round] = run(row, n) / (double)n;
    }
    block(false);
}

static void print_table(void)
{
    print_machine("median and min", options.rounds);
    printf("%-44s  %10s  %10s\n", "", "median", "min");
    for (struct row *row = rows; row < ROWS_END; row++) {
        double median = median_of(row->samples, options.rounds);

        printf("    %-40s  %10.1f  %10.1f\n", row->name, median, row->samples[0]);
    }
}

int main(int argc, char **argv)
{
    const struct sta_target target = {SYS_getppid, true};
    const struct sta__log silent = {0};
    struct sta *sta;

    bench_options_parse(&options, argc, argv);
    if (options.is_quick)
        sample_ns = 1e5;
    strcpy(text, "fifteen letters");
    find_two_cpus();
    pin_to(0);
    must(sta_new(&sta, NULL), "sta_new");
    must(sta_attach(sta, &target, read_often, NULL), "sta_attach");
    must(sta_transform_install(sta, NULL), "sta_transform_install");
    sta__copy_want();
    sta__task_prepare(&silent);
    sta__clock_prepare();
    measure();
    print_table();
    sta_free(sta);
    return EXIT_SUCCESS;
}
