/* SPDX-License-Identifier: MIT */
/* When objects of bpf(2) end, with threads, children and without emulation. */
#include "intercept.h"

#include <sta/map.h>

#include "emulate.h"

/* By hand: what bpf(2) is used for without object files. */

static int load_counter(int map)
{
    /* lookup(map, &(u32){0}): ++ */
    const struct bpf_insn insns[] = {
        {.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
        {.code = BPF_ALU64 | BPF_ADD, .dst_reg = 2, .imm = -4},
        {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
        {0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
        {.code = BPF_JMP | BPF_JEQ, .off = 2},
        {.code = BPF_ALU64 | BPF_MOV, .dst_reg = 1, .imm = 1},
        {.code = BPF_STX | BPF_ATOMIC | BPF_DW, .src_reg = 1, .imm = BPF_ADD},
        {.code = BPF_ALU64 | BPF_MOV},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int fd =
        bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "counter", "GPL", insns, COUNT_OF(insns), NULL);

    CHECK(fd >= 0);
    return fd;
}

static int new_counters(void)
{
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "counters", 4, 8, 1, NULL);

    CHECK(fd >= 0);
    return fd;
}

static uint64_t count_in(int map)
{
    uint32_t key = 0;
    uint64_t value = 0;

    CHECK_EQ(bpf_map_lookup_elem(map, &key, &value), 0);
    return value;
}

static void *attach_and_detach(void *unused)
{
    (void)unused;
    for (int i = 0; i < 50; i++) {
        int map = new_counters(), program = load_counter(map);
        int link = bpf_raw_tracepoint_open("sys_enter", program);
        uint64_t count;

        CHECK(link >= 0);
        getpgid(0);
        CHECK(count_in(map) > 0);
        CHECK_EQ(close(link), 0);
        count = count_in(map);
        getpgid(0);
        CHECK_EQ(count_in(map), count); /* nobody's calls count any more */
        CHECK_EQ(close(program), 0);
        CHECK_EQ(close(map), 0);
    }
    return NULL;
}

VICTIM(threads_attach_and_detach_at_the_same_time)
{
    struct sta *sta = emulate();
    pthread_t threads[4];
    int fds;

    libbpf_set_print(quiet);
    fds = open_fds();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, attach_and_detach, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(open_fds(), fds);
    end_emulation(sta);
}

/* It is counted with its parent, and can go on alone. */
VICTIM(a_child_has_the_same_maps_and_links)
{
    struct sta *sta = emulate();
    int map = new_counters(), program = load_counter(map);
    int link = bpf_raw_tracepoint_open("sys_enter", program);
    uint64_t count = count_in(map);
    pid_t child;

    CHECK(link >= 0);
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 100; i++)
            getpgid(0);
        CHECK_EQ(close(link), 0); /* the parent has it, and so it goes on */
        count = count_in(map);
        getpgid(0);
        CHECK(count_in(map) > count);
        CHECK_EQ(bpf_map_create(BPF_MAP_TYPE_ARRAY, "counters", 4, 8, 1, NULL), link);
        _exit(0);
    }
    CHECK_EQ(status_of(child), 0);
    CHECK(count_in(map) >= count + 100);
    CHECK_EQ(close(link), 0);
    count = count_in(map);
    getpgid(0);
    CHECK_EQ(count_in(map), count);
    close(program);
    close(map);
    end_emulation(sta);
}

/* A child that shares the memory and has descriptors of its own, as posix_spawn makes one. */
VICTIM(what_a_vforked_child_closes_stays_open)
{
    struct sta *sta = emulate();
    int map = new_counters(), program = load_counter(map);
    int link = bpf_raw_tracepoint_open("sys_enter", program);
    uint64_t count;
    pid_t child = vfork();

    if (child == 0) {
        close(link);
        close(program);
        close_range(3, UINT32_MAX, 0);
        _exit(0);
    }
    CHECK_EQ(status_of(child), 0);
    count = count_in(map);
    getpgid(0);
    CHECK(count_in(map) > count);
    CHECK_EQ(close(link), 0);
    count = count_in(map);
    getpgid(0);
    CHECK_EQ(count_in(map), count);
    CHECK_EQ(close(program), 0);
    CHECK_EQ(close(map), 0);
    end_emulation(sta);
}

VICTIM(the_end_of_emulation_detaches_all)
{
    struct sta *sta = emulate();
    int map = new_counters(), program = load_counter(map);
    int link = bpf_raw_tracepoint_open("sys_enter", program);
    struct sta_map *kept = NULL;
    uint64_t count, later;

    CHECK(link >= 0);
    getpgid(0);
    CHECK_EQ(sta_map_open_fd(&kept, map, NULL), 0);
    CHECK_EQ(sta_emulate_stop(sta), 0);
    CHECK_EQ(sta_map_lookup(kept, &(uint32_t){0}, &count, 0), 0);
    CHECK(count > 0);
    getpgid(0);
    CHECK_EQ(sta_map_lookup(kept, &(uint32_t){0}, &later, 0), 0);
    CHECK_EQ(later, count);
    CHECK_EQ(close(link), 0);
    CHECK_EQ(close(program), 0);
    CHECK_EQ(close(map), 0);
    sta_map_close(kept);
    CHECK_EQ(sta_emulate_stop(sta), -ENOENT);
    CHECK_EQ(sta_emulate_start(sta, NULL), 0);
    CHECK_EQ(sta_emulate_start(sta, NULL), -EBUSY);
    close(new_counters());
    end_emulation(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_attach_and_detach_at_the_same_time),
        cmocka_unit_test(a_child_has_the_same_maps_and_links),
        cmocka_unit_test(what_a_vforked_child_closes_stays_open),
        cmocka_unit_test(the_end_of_emulation_detaches_all),
    };

    return run_interception_tests(argc, argv, tests);
}
