/* SPDX-License-Identifier: MIT */
/* The same calls of chance in the kernel and here: the same results. */
#include "core.h"

#include <time.h>

#include "bpf_worlds.h"

#define CALLS       3000
#define KIND_MAX    24
#define SEED_NAME   "STA_TEST_SEED"
#define BAD_ADDRESS 16

static uint64_t seed, chance;

static uint32_t below(uint32_t limit)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (uint32_t)(chance >> 16) % limit;
}

/* The same ones in both worlds, by their place. */
struct objects {
    int maps[KIND_MAX], programs[KIND_MAX], links[KIND_MAX];
    int map_count, program_count, link_count;
};

/* Of chance: one that is right, most of the time. */
static uint32_t some_fd(const struct objects *objects, const int *fds, int count)
{
    uint32_t dice = below(12);

    if (dice > 2 && count)
        return (uint32_t)fds[below((uint32_t)count)];
    if (dice == 0 && objects->map_count)
        return (uint32_t)objects->maps[below((uint32_t)objects->map_count)];
    if (dice == 1 && objects->program_count)
        return (uint32_t)objects->programs[below((uint32_t)objects->program_count)];
    return below(2) ? 0 : 12345;
}

static uint32_t some_map(const struct objects *objects)
{
    return some_fd(objects, objects->maps, objects->map_count);
}

static uint32_t some_program(const struct objects *objects)
{
    return some_fd(objects, objects->programs, objects->program_count);
}

/* Of those whose results do not depend on the kernel's hash function. */
static void create(struct world *w, struct objects *objects)
{
    static const uint32_t types[] = {
        BPF_MAP_TYPE_HASH,         BPF_MAP_TYPE_ARRAY,      BPF_MAP_TYPE_PERCPU_HASH,
        BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_QUEUE,
        BPF_MAP_TYPE_STACK,        BPF_MAP_TYPE_LPM_TRIE,   BPF_MAP_TYPE_ARRAY_OF_MAPS,
        BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_RINGBUF,    BPF_MAP_TYPE_PERF_EVENT_ARRAY};
    static const uint32_t sizes[] = {0, 4, 4, 4, 8, 16};
    static const uint32_t flags[] = {0,  0, 0, 1, BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY_PROG,
                                     256};
    union bpf_attr attr = map_attr(types[below(COUNT(types))], sizes[below(6)], sizes[below(6)],
                                   below(8) ? 1 + below(8) : 4096);
    uint32_t inner = some_map(objects);
    int fd;

    attr.map_flags = flags[below(COUNT(flags))];
    if (attr.map_type == BPF_MAP_TYPE_QUEUE || attr.map_type == BPF_MAP_TYPE_STACK)
        attr.key_size = 0;
    if (attr.map_type == BPF_MAP_TYPE_ARRAY_OF_MAPS || attr.map_type == BPF_MAP_TYPE_HASH_OF_MAPS)
        attr.inner_map_fd = inner;
    if (below(20) == 0)
        attr.map_name[0] = '-';
    fd = OPEN(w, BPF_MAP_CREATE, &attr);
    if (fd >= 0 && objects->map_count < KIND_MAX) {
        objects->maps[objects->map_count++] = fd;
    }
}

static void load_one(struct world *w, struct objects *objects)
{
    static const uint32_t types[] = {BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT,
                                     BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE};
    const struct bpf_insn insns[] = {
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 1,
         .src_reg = BPF_PSEUDO_MAP_FD,
         .imm = (int32_t)some_map(objects)},
        {0},
        {.code = BPF_ALU64 | BPF_MOV},
        {.code = BPF_JMP | BPF_EXIT},
    };
    bool is_plain = below(2);
    union bpf_attr attr = program_attr(types[below(COUNT(types))], is_plain ? return_zero : insns,
                                       is_plain ? COUNT(return_zero) : COUNT(insns),
                                       below(10) ? "GPL" : (char *)BAD_ADDRESS);
    int fd = OPEN(w, BPF_PROG_LOAD, &attr);

    if (fd >= 0 && objects->program_count < KIND_MAX)
        objects->programs[objects->program_count++] = fd;
}

static void use_element(struct world *w, struct objects *objects)
{
    static const int commands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_UPDATE_ELEM,
                                   BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM};
    uint32_t words[4] = {below(10), below(4), 0, 0};
    uint64_t value[512] = {below(3)}; /* no descriptor by accident */
    union bpf_attr attr = zero_attr();
    int cmd = commands[below(COUNT(commands))];

    if (below(2)) /* something for maps of things */
        value[0] = below(2) ? some_map(objects) : some_program(objects);
    attr.map_fd = some_map(objects);
    attr.key = below(20) == 0 ? BAD_ADDRESS : below(4) ? (uintptr_t)words : 0;
    if (cmd != BPF_MAP_DELETE_ELEM) {
        attr.value = below(20) ? (uintptr_t)value : BAD_ADDRESS;
        attr.flags = below(3) ? 0 : below(10);
    }
    CALL(w, cmd, &attr);
}

/* The first key there is, whichever it is. */
static void ask_key(struct world *w, struct objects *objects)
{
    uint32_t next[4];
    union bpf_attr attr = zero_attr();

    attr.map_fd = some_map(objects);
    attr.next_key = below(10) ? (uintptr_t)next : BAD_ADDRESS;
    CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
}

/* Changes of keys that follow from each other. */
static void change_batch(struct world *w, struct objects *objects)
{
    static const int commands[] = {BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH};
    uint32_t keys[64] = {0};
    uint64_t values[4096] = {0};
    union bpf_attr attr = zero_attr();
    int cmd = commands[below(2)];

    for (uint32_t i = 0; i < 16; i++)
        keys[i] = below(10);
    attr.batch.map_fd = some_map(objects);
    attr.batch.keys = below(10) ? (uintptr_t)keys : BAD_ADDRESS;
    attr.batch.values = below(10) ? (uintptr_t)values : BAD_ADDRESS;
    attr.batch.count = below(6);
    attr.batch.elem_flags = below(4) ? 0 : below(10);
    CALL(w, cmd, &attr);
    NOTE(w, attr.batch.count);
}

static void attach_one(struct world *w, struct objects *objects)
{
    union bpf_attr attr = zero_attr();
    int fd;

    if (below(2)) {
        attr.raw_tracepoint.prog_fd = some_program(objects);
        attr.raw_tracepoint.name = (uintptr_t)(below(3) ? "sys_enter" : "sys_nothing");
        fd = OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
        if (fd >= 0 && objects->link_count < KIND_MAX)
            objects->links[objects->link_count++] = fd;
    } else {
        attr.link_create.prog_fd = some_program(objects);
        attr.link_create.target_fd = some_map(objects);
        attr.link_create.attach_type = below(3) ? BPF_PERF_EVENT : below(40);
        OPEN(w, BPF_LINK_CREATE, &attr);
    }
}

static void change_link(struct world *w, struct objects *objects)
{
    union bpf_attr attr = zero_attr();

    attr.link_update.link_fd = some_fd(objects, objects->links, objects->link_count);
    if (below(2)) {
        CALL(w, BPF_LINK_DETACH, &attr);
    } else {
        attr.link_update.new_prog_fd = some_program(objects);
        CALL(w, BPF_LINK_UPDATE, &attr);
    }
}

static void ask_info(struct world *w, struct objects *objects)
{
    char info[512] = {0};
    union bpf_attr attr = zero_attr();

    attr.info.bpf_fd = some_map(objects);
    attr.info.info_len = below(80);
    attr.info.info = below(10) ? (uintptr_t)info : BAD_ADDRESS;
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
}

static void bind_or_run(struct world *w, struct objects *objects)
{
    uint64_t arguments[2] = {0};
    union bpf_attr attr = zero_attr();

    if (below(2)) {
        attr.prog_bind_map.prog_fd = some_program(objects);
        attr.prog_bind_map.map_fd = some_map(objects);
        CALL(w, BPF_PROG_BIND_MAP, &attr);
    } else {
        attr.test.prog_fd = some_program(objects);
        attr.test.ctx_size_in = below(2) * 16;
        attr.test.ctx_in = attr.test.ctx_size_in ? (uintptr_t)arguments : 0;
        CALL(w, BPF_PROG_TEST_RUN, &attr);
    }
}

static void freeze(struct world *w, struct objects *objects)
{
    union bpf_attr attr = zero_attr();

    if (below(4))
        return;
    attr.map_fd = some_map(objects);
    CALL(w, BPF_MAP_FREEZE, &attr);
}

SCENARIO(results_are_the_kernels)
{
    static void (*const parts[])(struct world *, struct objects *) = {
        create,       load_one,   use_element, use_element, use_element, ask_key,
        change_batch, attach_one, change_link, ask_info,    bind_or_run, freeze,
    };
    struct objects objects = {.map_count = 0};

    chance = seed;
    for (int i = 0; i < CALLS && w->fd_count < 250; i++)
        parts[below(COUNT(parts))](w, &objects);
}

int main(void)
{
    const char *given = getenv(SEED_NAME);
    const struct CMUnitTest tests[] = {cmocka_unit_test(results_are_the_kernels)};

    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    print_message("%s=%#llx\n", SEED_NAME, (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
