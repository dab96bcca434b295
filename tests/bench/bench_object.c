/* SPDX-License-Identifier: MIT */
/*
 * How long it takes until an object file's programs are attached: a tool of the usual size
 * (../bpf/opens.bpf.c: four programs, two maps, global data), by this library and, where that is
 * allowed, by libbpf in the kernel.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum row_id {
    OPEN,
    LOAD,
    ATTACH,
    OURS,
    CLOSE,
    BY_KERNEL_BTF,
    KERNEL,
    ROWS,
};

static struct {
    const char *name;
    double samples[BENCH_ROUNDS_MAX];
} rows[ROWS] = {
    [OPEN] = {.name = "open"},
    [LOAD] = {.name = "load: relocate, make maps, verify, compile"},
    [ATTACH] = {.name = "attach"},
    [OURS] = {.name = "all three"},
    [CLOSE] = {.name = "detach and close"},
    [BY_KERNEL_BTF] = {.name = "all three, against the kernel's BTF"},
    [KERNEL] = {.name = "libbpf in the kernel: all three"},
};

static bool has_kernel_btf, has_kernel;

static void log_error(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (level == STA_LOG_ERROR)
        fprintf(stderr, "%s\n", message);
}

static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level, (void)format, (void)args;
    return 0;
}

static struct sta_object *open_object(struct sta *sta, const char *btf_path)
{
    const struct sta_object_options options = {
        .size = sizeof(options), .path = BPF_OBJECT_DIR "/opens.bpf.o", .btf_path = btf_path};
    struct sta_object *object;

    must(sta_object_open_with(&object, sta, &options), "sta_object_open_with");
    return object;
}

/* Each program is attached: an open that fails is seen. */
static void prove_attached(struct sta *sta, struct sta_object *object)
{
    int *seen = sta_object_global(object, "seen", NULL);
    int before = *seen;

    sta_dispatch(sta, sta_syscall_number("openat"), AT_FDCWD, (int64_t) "/no/such/file", 0, 0, 0,
                 0);
    sta_dispatch(sta, sta_syscall_number("open"), (int64_t) "/no/such/file", 0, 0, 0, 0, 0);
    if (*seen != before + 2)
        die("opens.bpf.o", "the programs do not run");
}

static void measure_ours(struct sta *sta, unsigned round)
{
    double start = wall_ns(), opened, loaded, attached;
    struct sta_object *object = open_object(sta, NULL);

    opened = wall_ns();
    must(sta_object_load(object), "sta_object_load");
    loaded = wall_ns();
    must(sta_object_attach(object), "sta_object_attach");
    attached = wall_ns();
    prove_attached(sta, object);
    rows[OPEN].samples[round] = opened - start;
    rows[LOAD].samples[round] = loaded - opened;
    rows[ATTACH].samples[round] = attached - loaded;
    rows[OURS].samples[round] = attached - start;
    start = wall_ns();
    sta_object_close(object);
    rows[CLOSE].samples[round] = wall_ns() - start;
}

static void measure_by_kernel_btf(struct sta *sta, unsigned round)
{
    double start = wall_ns();
    struct sta_object *object = open_object(sta, "/sys/kernel/btf/vmlinux");

    must(sta_object_attach(object), "sta_object_attach");
    rows[BY_KERNEL_BTF].samples[round] = wall_ns() - start;
    prove_attached(sta, object);
    sta_object_close(object);
}

/* False: it may not be done here. */
static bool measure_kernel(unsigned round)
{
    double start = wall_ns();
    struct bpf_object *object = bpf_object__open_file(BPF_OBJECT_DIR "/opens.bpf.o", NULL);
    struct bpf_link *links[8];
    struct bpf_program *program;
    unsigned count = 0;
    bool is_allowed = object && bpf_object__load(object) == 0;

    if (is_allowed) {
        bpf_object__for_each_program(program, object)
        {
            links[count] = bpf_program__attach(program);
            if (!links[count])
                die("bpf_program__attach", strerror(errno));
            count++;
        }
        rows[KERNEL].samples[round] = wall_ns() - start;
    }
    while (count > 0)
        bpf_link__destroy(links[--count]);
    bpf_object__close(object);
    return is_allowed;
}

static void print_row(enum row_id id, unsigned rounds)
{
    double median = median_of(rows[id].samples, rounds);

    printf("    %-44s  %10.0f  %10.0f\n", rows[id].name, median, rows[id].samples[0]);
}

int main(int argc, char **argv)
{
    const struct sta_options options = {sizeof(options), log_error, NULL};
    struct bench_options bench = {.rounds = 41};
    struct sta *sta;

    bench_options_parse(&bench, argc, argv);
    if (bench.is_quick)
        bench.rounds = 3;
    if (!*BPF_OBJECT_DIR)
        die("bench_object", "no clang that compiles for BPF");
    must(sta_new(&sta, &options), "sta_new");
    libbpf_set_print(say_nothing);
    has_kernel_btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    has_kernel = measure_kernel(0);
    for (unsigned round = 0; round < bench.rounds; round++) {
        measure_ours(sta, round);
        if (has_kernel_btf)
            measure_by_kernel_btf(sta, round);
        if (has_kernel)
            measure_kernel(round);
    }
    print_machine("median and min", bench.rounds);
    for (int id = 0; id < ROWS; id++) {
        if ((id != BY_KERNEL_BTF || has_kernel_btf) && (id != KERNEL || has_kernel))
            print_row((enum row_id)id, bench.rounds);
    }
    sta_free(sta);
    return 0;
}
