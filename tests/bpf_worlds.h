/* SPDX-License-Identifier: MIT */
/*
 * Scenarios of bpf(2) that are played in two worlds, the kernel's and ours, and have to go the same
 * way: what each call returned, and what it wrote. To be included after core.h.
 */
#ifndef TESTS_BPF_WORLDS_H
#define TESTS_BPF_WORLDS_H

#include "bpf_calls.h"

#define STEPS_MAX 4096

struct step {
    const char *file;
    int line;
    long result;
};

struct world {
    struct sta__bpf *bpf; /* NULL: the kernel */
    struct step steps[STEPS_MAX];
    int count;
    int fds[256], fd_count; /* to be closed */
};

typedef void (*scenario)(struct world *world);

/* Raw: 0 or more, or -errno. */
static inline long raw_bpf(struct world *world, int cmd, const void *attr, unsigned size)
{
    long result;

    if (world->bpf) {
        result = sta__bpf_call(world->bpf, cmd, (void *)attr, size);
        if (result != STA__NOT_OURS)
            return result;
    }
    result = syscall(SYS_bpf, cmd, attr, size);
    return result < 0 ? -errno : result;
}

static inline void world_note(struct world *world, const char *file, int line, long result)
{
    must(world->count < STEPS_MAX);
    world->steps[world->count++] = (struct step){file, line, result};
}

/* Something to be the same in both. */
#define NOTE(world, value) world_note(world, __FILE__, __LINE__, (long)(value))

/* A call whose result is to be the same; it is given back. */
#define CALL(world, cmd, attr)             call_noted(world, __FILE__, __LINE__, cmd, attr, sizeof(*(attr)))
#define CALL_SIZED(world, cmd, attr, size) call_noted(world, __FILE__, __LINE__, cmd, attr, size)
/* Of one that gives a descriptor, only whether it does. */
#define OPEN(world, cmd, attr)             open_noted(world, __FILE__, __LINE__, cmd, attr, sizeof(*(attr)))
#define OPEN_SIZED(world, cmd, attr, size) open_noted(world, __FILE__, __LINE__, cmd, attr, size)

static inline long call_noted(struct world *world, const char *file, int line, int cmd,
                              const void *attr, unsigned size)
{
    long result = raw_bpf(world, cmd, attr, size);

    world_note(world, file, line, result);
    return result;
}

static inline int open_noted(struct world *world, const char *file, int line, int cmd,
                             const void *attr, unsigned size)
{
    long fd = raw_bpf(world, cmd, attr, size);

    world_note(world, file, line, fd < 0 ? fd : 0);
    if (fd >= 0) {
        must(world->fd_count < (int)COUNT(world->fds));
        world->fds[world->fd_count++] = (int)fd;
    }
    return (int)fd;
}

/* Where nothing is mapped. */
#define BAD_ADDRESS 16

static inline union bpf_attr zero_attr(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    return attr;
}

static inline union bpf_attr map_attr(uint32_t type, uint32_t key_size, uint32_t value_size,
                                      uint32_t max_entries)
{
    union bpf_attr attr = zero_attr();

    attr.map_type = type;
    attr.key_size = key_size;
    attr.value_size = value_size;
    attr.max_entries = max_entries;
    return attr;
}

static inline union bpf_attr element_attr(int fd, const void *key, void *value, uint64_t flags)
{
    union bpf_attr attr = zero_attr();

    attr.map_fd = (uint32_t)fd;
    attr.key = (uintptr_t)key;
    attr.value = (uintptr_t)value;
    attr.flags = flags;
    return attr;
}

static inline union bpf_attr info_attr(int fd, void *info, uint32_t size)
{
    union bpf_attr attr = zero_attr();

    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info = (uintptr_t)info;
    attr.info.info_len = size;
    return attr;
}

static inline union bpf_attr program_attr(uint32_t type, const struct bpf_insn *insns, size_t count,
                                          const char *license)
{
    union bpf_attr attr = zero_attr();

    attr.prog_type = type;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uintptr_t)license;
    return attr;
}

/* r0 = 0; exit */
static const struct bpf_insn return_zero[]
    __attribute__((unused)) = {{.code = 0xb7}, {.code = 0x95}};

static inline void play(struct world *world, scenario scenario)
{
    scenario(world);
    for (int i = 0; i < world->fd_count; i++) {
        if (world->bpf)
            close_fd(world->bpf, world->fds[i]);
        else
            close(world->fds[i]);
    }
}

static inline bool kernel_has_bpf(void)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
    long fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

    if (fd >= 0)
        close((int)fd);
    return fd >= 0;
}

static inline void play_in_both(scenario scenario)
{
    static struct world kernel, ours;
    int different = 0;

    if (!kernel_has_bpf()) {
        print_message("skipped: bpf(2) takes root\n");
        skip();
    }
    memset(&kernel, 0, sizeof(kernel));
    memset(&ours, 0, sizeof(ours));
    ours.bpf = new_bpf();
    play(&kernel, scenario);
    play(&ours, scenario);
    assert_false(sta__fds_any(ours.bpf)); /* all that was made is gone */
    free_bpf(ours.bpf);
    for (int i = 0; i < kernel.count && i < ours.count; i++) {
        const struct step *step = &kernel.steps[i];

        if (step->result == ours.steps[i].result && step->line == ours.steps[i].line)
            continue;
        different++;
        print_error("%s:%d, step %d: the kernel has %ld, we have %ld\n", step->file, step->line, i,
                    step->result, ours.steps[i].result);
    }
    assert_int_equal(ours.count, kernel.count);
    assert_int_equal(different, 0);
}

#define SCENARIO(name)                            \
    static void name##_scenario(struct world *w); \
    static void name(void **state)                \
    {                                             \
        (void)state;                              \
        play_in_both(name##_scenario);            \
    }                                             \
    static void name##_scenario(struct world *w)

#endif
