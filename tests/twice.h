/* SPDX-License-Identifier: MIT */
/*
 * One program that is run twice, by the library and by the kernel, as a raw tracepoint's, each time
 * with memory of its own: an array of one element of AREA_SIZE bytes that the test sees, map number
 * 0 in the instructions; and constants, map number 1. To be included after core.h.
 */
#ifndef TESTS_TWICE_H
#define TESTS_TWICE_H

#include <sys/mman.h>

#include <sta/map.h>
#include <sta/program.h>

#include "kernel_map.h"
#include "maps/map.h"
#include "verifier/insns.h"
#include "vm/kernel_bpf.h"

#define AREA_SIZE   4096
#define RODATA_SIZE 512

enum { AREA, RODATA };

struct twice {
    uint8_t *ours, *kernels; /* the areas */
    struct sta_map *area, *rodata;
    struct sta_program *program;
    int area_fd, rodata_fd, program_fd; /* the kernel's; -1: there is none */
    int our_err, kernel_err;            /* why it was not loaded */
    char log[2048];
};

static inline int twice_find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    struct twice *t = data;

    (void)is_index;
    *out = fd == AREA ? t->area : t->rodata;
    return 0;
}

static inline void twice_say(void *data, enum sta_log_level level, const char *message)
{
    struct twice *t = data;

    (void)level;
    snprintf(t->log, sizeof(t->log), "%s", message);
}

/* Constants for both, which cannot be changed any more. */
static inline void twice_freeze(struct twice *t, const void *rodata,
                                const struct sta_map_options *o)
{
    union bpf_attr attr;
    uint32_t key = 0;

    must_equal(sta_map_update(t->rodata, &key, rodata, 0), 0);
    must_equal(sta_map_freeze(t->rodata), 0);
    t->rodata_fd = kernel_map_create(o);
    if (t->rodata_fd < 0)
        return;
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)t->rodata_fd;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)rodata;
    must_equal(kernel_bpf(BPF_MAP_UPDATE_ELEM, &attr), 0);
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)t->rodata_fd;
    must_equal(kernel_bpf(BPF_MAP_FREEZE, &attr), 0);
}

static inline void twice_make_maps(struct twice *t, const void *rodata)
{
    struct sta_map_options options = {.size = sizeof(options),
                                      .type = BPF_MAP_TYPE_ARRAY,
                                      .key_size = 4,
                                      .value_size = RODATA_SIZE,
                                      .max_entries = 1,
                                      .map_flags = BPF_F_RDONLY_PROG};
    void *kernels = NULL;

    must_equal(sta_map_create(&t->rodata, &options), 0);
    if (rodata)
        twice_freeze(t, rodata, &options);
    options.value_size = AREA_SIZE;
    options.map_flags = 0;
    must_equal(sta_map_create(&t->area, &options), 0);
    t->ours = t->area->values;
    if (geteuid() == 0)
        t->area_fd = kernel_array(AREA_SIZE, &kernels);
    t->kernels = kernels;
}

/* The kernel's maps have descriptors for numbers. */
static inline void twice_load_kernels(struct twice *t, const struct bpf_insn *insns, size_t count)
{
    struct bpf_insn copy[256];

    must(count <= COUNT(copy));
    memcpy(copy, insns, count * sizeof(*insns));
    for (size_t i = 0; i < count; i++) {
        bool is_map =
            copy[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
            (copy[i].src_reg == BPF_PSEUDO_MAP_FD || copy[i].src_reg == BPF_PSEUDO_MAP_VALUE);

        if (is_map)
            copy[i].imm = copy[i].imm == AREA ? t->area_fd : t->rodata_fd;
    }
    t->program_fd = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, copy, count, NULL, 0);
    t->kernel_err = t->program_fd < 0 ? t->program_fd : 0;
}

/* Loads it; `rodata`: RODATA_SIZE bytes, or NULL. Either may refuse it. */
static inline void twice_load(struct twice *t, const struct bpf_insn *insns, size_t count,
                              const void *rodata, unsigned flags)
{
    const struct sta_program_options options = {.size = sizeof(options),
                                                .flags = flags,
                                                .type = BPF_PROG_TYPE_RAW_TRACEPOINT,
                                                .find_map = twice_find_map,
                                                .find_data = t,
                                                .log = twice_say,
                                                .log_data = t};

    memset(t, 0, sizeof(*t));
    t->area_fd = t->rodata_fd = t->program_fd = -1;
    twice_make_maps(t, rodata);
    t->our_err = sta_program_load(&t->program, insns, count, &options);
    if (t->our_err == 0)
        t->log[0] = 0;
    if (t->area_fd >= 0)
        twice_load_kernels(t, insns, count);
}

static inline bool twice_has_kernel(const struct twice *t)
{
    return t->program_fd >= 0;
}

/* Each stores what it has to say in its area. */
static inline void twice_run(struct twice *t)
{
    uint64_t ctx[12] = {0}, ret;

    if (!t->program)
        dprintf(2, "%s\n", t->log);
    must_equal(sta_program_run(t->program, ctx, sizeof(ctx), &ret), 0);
    if (twice_has_kernel(t))
        must_equal(kernel_run(t->program_fd), 0);
}

static inline void twice_free(struct twice *t)
{
    sta_program_free(t->program);
    sta_map_close(t->area);
    sta_map_close(t->rodata);
    if (t->kernels)
        munmap(t->kernels, AREA_SIZE);
    if (t->area_fd >= 0)
        close(t->area_fd);
    if (t->rodata_fd >= 0)
        close(t->rodata_fd);
    if (t->program_fd >= 0)
        close(t->program_fd);
}

/* area[at] = r0, then the end: five instructions. */
#define STORE_R0_AND_EXIT(at) LD_VALUE(R1, AREA, at), STX(BPF_DW, R1, R0, 0), MOV(R0, 0), EXIT

#endif
