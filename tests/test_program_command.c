/* SPDX-License-Identifier: MIT */
/* bpf(2) on programs and links, beside the kernel's. */
#include "core.h"

#include <fcntl.h>

#include "bpf_worlds.h"

#define BAD_ADDRESS 16
#define FILL        1 /* in no text */

/* r0 = *(u64 *)(r1 + offset); exit */
#define READ_CONTEXT(offset)                                                             \
    {                                                                                    \
        {.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 1, .off = offset}, \
        {                                                                                \
            .code = BPF_JMP | BPF_EXIT                                                   \
        }                                                                                \
    }

static int load(struct world *w, uint32_t type, const struct bpf_insn *insns, size_t count)
{
    union bpf_attr attr = program_attr(type, insns, count, "GPL");

    return OPEN(w, BPF_PROG_LOAD, &attr);
}

SCENARIO(attributes_of_programs)
{
    union bpf_attr good =
        program_attr(BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero), "GPL");
    union bpf_attr attr = good;

    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.insn_cnt = 0;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.insn_cnt = 1000001;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.insns = BAD_ADDRESS;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.license = BAD_ADDRESS;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.license = 0;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    memcpy(attr.prog_name, "bad name", 9);
    OPEN(w, BPF_PROG_LOAD, &attr);
    memcpy(attr.prog_name, "good_name", 10);
    OPEN(w, BPF_PROG_LOAD, &attr);
    memset(attr.prog_name, 'x', sizeof(attr.prog_name));
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.prog_type = 1000;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.prog_type = BPF_PROG_TYPE_UNSPEC;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.attach_btf_id = 5;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.prog_btf_fd = 9999; /* not looked at without func_info */
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.func_info_cnt = 1;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.prog_btf_fd = 0;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr = good;
    attr.prog_flags = BPF_F_SLEEPABLE;
    OPEN(w, BPF_PROG_LOAD, &attr);
    for (int bit = 8; bit < 32; bit++) {
        if (bit == 16) /* a token */
            continue;
        attr.prog_flags = 1u << bit;
        OPEN(w, BPF_PROG_LOAD, &attr);
    }
}

static void load_logged(struct world *w, const struct bpf_insn *insns, size_t count, uint32_t level,
                        uint32_t size, bool has_buffer)
{
    static char text[65536];
    union bpf_attr attr = program_attr(BPF_PROG_TYPE_TRACEPOINT, insns, count, "GPL");

    memset(text, FILL, sizeof(text));
    attr.log_level = level;
    attr.log_size = size;
    attr.log_buf = has_buffer ? (uintptr_t)text : 0;
    OPEN(w, BPF_PROG_LOAD, &attr);
    NOTE(w, memchr(text, '\0', sizeof(text)) != NULL);
    NOTE(w, memchr(text, FILL, 4) != NULL); /* nothing was written */
}

SCENARIO(the_verifiers_text)
{
    static const uint32_t levels[] = {0, 1, 2, 4, 6, 7, 8, 9, 16, 17};
    static const uint32_t sizes[] = {0, 1, 8, 65536, UINT32_MAX};
    const struct bpf_insn bad[] = {{.code = BPF_JMP | BPF_EXIT}};

    for (size_t l = 0; l < COUNT(levels); l++) {
        for (size_t s = 0; s < COUNT(sizes); s++) {
            load_logged(w, return_zero, COUNT(return_zero), levels[l], sizes[s], true);
            load_logged(w, return_zero, COUNT(return_zero), levels[l], sizes[s], false);
            load_logged(w, bad, COUNT(bad), levels[l], sizes[s], true);
        }
    }
}

/* By what the verifier says: the program is wrong otherwise, too. */
static bool is_license_refused(struct world *w, int helper, const char *license)
{
    static char text[65536];
    const struct bpf_insn insns[] = {{.code = BPF_JMP | BPF_CALL, .imm = helper},
                                     {.code = BPF_ALU64 | BPF_MOV},
                                     {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr attr = program_attr(BPF_PROG_TYPE_KPROBE, insns, COUNT(insns), license);
    long fd;

    attr.log_level = 1;
    attr.log_buf = (uintptr_t)text;
    attr.log_size = sizeof(text);
    text[0] = '\0';
    fd = raw_bpf(w, BPF_PROG_LOAD, &attr, sizeof(attr));
    if (fd >= 0)
        w->bpf ? close_fd(w->bpf, (int)fd) : close((int)fd);
    return strstr(text, "cannot call GPL-restricted function") != NULL;
}

/* Each helper, by a program that is not GPL: whether that is why it is refused. */
SCENARIO(licenses_are_looked_at)
{
    static const char *const licenses[] = {"GPL",          "GPL v2",       "Dual BSD/GPL",
                                           "Dual MIT/GPL", "Dual MPL/GPL", "MIT",
                                           "Proprietary",  "gpl",          ""};
    for (size_t i = 0; i < COUNT(licenses); i++) {
        NOTE(w, is_license_refused(w, BPF_FUNC_get_current_task, licenses[i]));
    }
    for (int id = 1; id < 212; id++) {
        /* Refused to all by this kernel, whatever their license. */
        if (id != BPF_FUNC_override_return && id != BPF_FUNC_probe_write_user)
            NOTE(w, id * 2 + is_license_refused(w, id, "MIT"));
    }
}

SCENARIO(programs_find_their_maps)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    int map = OPEN(w, BPF_MAP_CREATE, &attr), fds[2] = {0, map}, program;
    struct bpf_insn insns[] = {
        {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
        {0},
        {.code = BPF_ALU64 | BPF_MOV},
        {.code = BPF_JMP | BPF_EXIT},
    };

    insns[0].imm = map;
    program = load(w, BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns));
    insns[0].imm = 12345;
    load(w, BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns));
    insns[0].imm = program;
    load(w, BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns));
    insns[0].imm = 1;
    insns[0].src_reg = BPF_PSEUDO_MAP_IDX;
    load(w, BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns));
    attr = program_attr(BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns), "GPL");
    attr.fd_array = (uintptr_t)fds;
    OPEN(w, BPF_PROG_LOAD, &attr);
    attr.fd_array = BAD_ADDRESS;
    OPEN(w, BPF_PROG_LOAD, &attr);
}

SCENARIO(maps_are_bound)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    int map = OPEN(w, BPF_MAP_CREATE, &attr);
    int program = load(w, BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero));
    struct bpf_prog_info info;

    for (int i = 0; i < 7; i++) {
        attr = zero_attr();
        attr.prog_bind_map.prog_fd = (uint32_t)(i == 2 ? 12345 : i == 3 ? map : program);
        attr.prog_bind_map.map_fd = (uint32_t)(i == 4 ? 12345 : i == 5 ? program : map);
        attr.prog_bind_map.flags = i == 6;
        CALL(w, BPF_PROG_BIND_MAP, &attr);
    }
    memset(&info, 0, sizeof(info));
    attr = zero_attr();
    attr.info.bpf_fd = (uint32_t)program;
    attr.info.info_len = sizeof(info);
    attr.info.info = (uintptr_t)&info;
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    NOTE(w, info.nr_map_ids);
}

SCENARIO(raw_tracepoints_are_opened)
{
    static const char *const names[] = {"sys_enter", "sys_exit", "no_such_tracepoint", "",
                                        "sys_enter_read"};
    int raw = load(w, BPF_PROG_TYPE_RAW_TRACEPOINT, return_zero, COUNT(return_zero));
    int plain = load(w, BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero));
    const struct bpf_insn far[] = READ_CONTEXT(16);
    int reads_far = load(w, BPF_PROG_TYPE_RAW_TRACEPOINT, far, COUNT(far));
    union bpf_attr attr = zero_attr();

    for (size_t i = 0; i < COUNT(names); i++) {
        attr.raw_tracepoint.name = (uintptr_t)names[i];
        attr.raw_tracepoint.prog_fd = (uint32_t)raw;
        OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    }
    attr.raw_tracepoint.name = (uintptr_t) "sys_enter";
    attr.raw_tracepoint.prog_fd = (uint32_t)plain;
    OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    attr.raw_tracepoint.prog_fd = (uint32_t)reads_far;
    OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    attr.raw_tracepoint.prog_fd = 12345;
    OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    attr.raw_tracepoint.prog_fd = (uint32_t)raw;
    attr.raw_tracepoint.name = BAD_ADDRESS;
    OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    attr.raw_tracepoint.name = 0;
    OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
}

SCENARIO(links_are_created)
{
    int plain = load(w, BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero));
    int raw = load(w, BPF_PROG_TYPE_RAW_TRACEPOINT, return_zero, COUNT(return_zero));
    union bpf_attr attr = zero_attr();

    attr.link_create.prog_fd = (uint32_t)plain;
    attr.link_create.attach_type = BPF_PERF_EVENT;
    attr.link_create.target_fd = UINT32_MAX;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.target_fd = 12345;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.target_fd = 0;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.target_fd = (uint32_t)plain;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.flags = 1;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.flags = 0;
    attr.link_create.attach_type = BPF_TRACE_RAW_TP;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.attach_type = 1000;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.attach_type = BPF_PERF_EVENT;
    attr.link_create.prog_fd = (uint32_t)raw;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.prog_fd = 12345;
    OPEN(w, BPF_LINK_CREATE, &attr);
    attr.link_create.prog_fd = 0;
    OPEN(w, BPF_LINK_CREATE, &attr);
}

SCENARIO(links_are_changed)
{
    int raw = load(w, BPF_PROG_TYPE_RAW_TRACEPOINT, return_zero, COUNT(return_zero)), link;
    union bpf_attr attr = zero_attr();

    attr.raw_tracepoint.name = (uintptr_t) "sys_enter";
    attr.raw_tracepoint.prog_fd = (uint32_t)raw;
    link = OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    for (int i = 0; i < 6; i++) {
        attr = zero_attr();
        attr.link_update.link_fd = (uint32_t)(i == 1 ? 12345 : i == 2 ? raw : link);
        attr.link_update.new_prog_fd = (uint32_t)(i == 3 ? 12345 : i == 4 ? link : raw);
        attr.link_update.flags = i == 5 ? 2 : 0;
        CALL(w, BPF_LINK_UPDATE, &attr);
    }
    for (int i = 0; i < 3; i++) {
        attr = zero_attr();
        attr.link_detach.link_fd = (uint32_t)(i == 1 ? 12345 : i == 2 ? raw : link);
        CALL(w, BPF_LINK_DETACH, &attr);
        attr.iter_create.flags = 0;
        CALL(w, BPF_ITER_CREATE, &attr);
    }
}

SCENARIO(programs_are_run_for_a_test)
{
    const struct bpf_insn reads[] = READ_CONTEXT(8);
    int fds[] = {load(w, BPF_PROG_TYPE_RAW_TRACEPOINT, reads, COUNT(reads)),
                 load(w, BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero)),
                 load(w, BPF_PROG_TYPE_KPROBE, return_zero, COUNT(return_zero)), 12345, 0};
    uint64_t arguments[16] = {11, 22, 33};

    for (size_t f = 0; f < COUNT(fds); f++) {
        for (uint32_t size = 0; size <= 128; size += 8) {
            union bpf_attr attr = zero_attr();

            attr.test.prog_fd = (uint32_t)fds[f];
            attr.test.ctx_size_in = size;
            attr.test.ctx_in = (uintptr_t)arguments;
            CALL(w, BPF_PROG_TEST_RUN, &attr);
            NOTE(w, attr.test.retval);
            attr.test.ctx_in = size ? BAD_ADDRESS : 0;
            CALL(w, BPF_PROG_TEST_RUN, &attr);
        }
    }
    for (int i = 0; i < 8; i++) {
        union bpf_attr attr = zero_attr();

        attr.test.prog_fd = (uint32_t)fds[0];
        attr.test.ctx_size_in = 16;
        attr.test.ctx_in = (uintptr_t)arguments;
        attr.test.repeat = i == 0;
        attr.test.flags = i >= 1 && i <= 4 ? (uint32_t)i : 0;
        attr.test.cpu = i == 5 ? 1 : i == 3 ? 100000 : 0;
        attr.test.batch_size = i == 6;
        attr.test.ctx_out = i == 7 ? (uintptr_t)arguments : 0;
        CALL(w, BPF_PROG_TEST_RUN, &attr);
        NOTE(w, attr.test.retval);
    }
}

SCENARIO(elements_that_are_programs_and_maps)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    int programs = OPEN(w, BPF_MAP_CREATE, &attr), maps, hash_of_maps;
    int program = load(w, BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero));
    int inner, other, outers[3];

    attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    inner = OPEN(w, BPF_MAP_CREATE, &attr);
    attr.value_size = 16;
    other = OPEN(w, BPF_MAP_CREATE, &attr);
    attr = map_attr(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2);
    attr.inner_map_fd = (uint32_t)inner;
    maps = OPEN(w, BPF_MAP_CREATE, &attr);
    attr.map_type = BPF_MAP_TYPE_HASH_OF_MAPS;
    hash_of_maps = OPEN(w, BPF_MAP_CREATE, &attr);
    attr.inner_map_fd = (uint32_t)program;
    OPEN(w, BPF_MAP_CREATE, &attr);
    outers[0] = programs, outers[1] = maps, outers[2] = hash_of_maps;
    for (int o = 0; o < 3; o++) {
        const int values[] = {program, inner, other, 12345, 0, programs};

        for (uint32_t key = 0; key < 3; key++) {
            for (size_t v = 0; v < COUNT(values); v++) {
                for (uint64_t flags = 0; flags < 3; flags++) {
                    int value = values[v], got = 0;

                    attr = element_attr(outers[o], &key, &value, flags);
                    CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
                    attr = element_attr(outers[o], &key, &got, 0);
                    CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
                    NOTE(w, got != 0);
                }
            }
            attr = element_attr(outers[o], &key, NULL, 0);
            if (key != 1)
                CALL(w, BPF_MAP_DELETE_ELEM, &attr);
        }
    }
}

/* Where control groups are mounted; else only what is wrong is compared. */
SCENARIO(elements_that_are_control_groups)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 2);
    int map = OPEN(w, BPF_MAP_CREATE, &attr);
    int group = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int unified = open("/sys/fs/cgroup/unified", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int other = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fds[] = {group, unified, other, 0, 12345, map};

    for (size_t i = 0; i < COUNT(fds); i++) {
        for (uint32_t key = 0; key < 3; key++) {
            for (uint64_t flags = 0; flags < 3; flags++) {
                int fd = fds[i], got = 0;

                attr = element_attr(map, &key, &fd, flags);
                CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
                attr = element_attr(map, &key, &got, 0);
                CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
            }
        }
    }
    for (uint32_t key = 0; key < 3; key++) {
        attr = element_attr(map, &key, NULL, 0);
        CALL(w, BPF_MAP_DELETE_ELEM, &attr);
        CALL(w, BPF_MAP_DELETE_ELEM, &attr);
    }
    close(other);
    if (group >= 0)
        close(group);
    if (unified >= 0)
        close(unified);
}

/* What programs may do with what they find in a map of maps. */
SCENARIO(maps_of_maps_are_verified)
{
    const struct bpf_insn good[] = {
        {.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
        {.code = BPF_ALU64 | BPF_ADD, .dst_reg = 2, .imm = -4},
        {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
        {0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
        {.code = BPF_JMP | BPF_JEQ, .off = 6},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
        {.code = BPF_ALU64 | BPF_ADD, .dst_reg = 2, .imm = -4},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
        {.code = BPF_JMP | BPF_JEQ, .off = 1},
        {.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 0},
        {.code = BPF_ALU64 | BPF_MOV},
        {.code = BPF_JMP | BPF_EXIT},
    };
    const struct bpf_insn nothing = {.code = BPF_ALU64 | BPF_MOV, .dst_reg = 9};
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS};

    for (size_t i = 0; i < COUNT(types); i++) {
        union bpf_attr attr = map_attr(BPF_MAP_TYPE_HASH, 4, 8, 4);
        struct bpf_insn insns[COUNT(good)];
        int inner = OPEN(w, BPF_MAP_CREATE, &attr), outer;

        attr = map_attr(types[i], 4, 4, 2);
        attr.inner_map_fd = (uint32_t)inner;
        outer = OPEN(w, BPF_MAP_CREATE, &attr);
        for (int change = 0; change < 7; change++) {
            memcpy(insns, good, sizeof(insns));
            insns[3].imm = outer;
            if (change == 1)
                insns[6] = nothing; /* the outer one may have none */
            if (change == 2)
                insns[11] = nothing; /* nor the inner one */
            if (change == 3)
                insns[12].off = 4; /* past the inner one's value */
            if (change == 4)
                insns[5].imm = BPF_FUNC_map_delete_elem;
            if (change == 5) {
                insns[7] = (struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_DW};
                insns[7].src_reg = 10; /* writes to the map itself */
            }
            if (change == 6)
                insns[10].imm = BPF_FUNC_map_delete_elem;
            load(w, BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_of_programs),
        cmocka_unit_test(the_verifiers_text),
        cmocka_unit_test(licenses_are_looked_at),
        cmocka_unit_test(programs_find_their_maps),
        cmocka_unit_test(maps_are_bound),
        cmocka_unit_test(raw_tracepoints_are_opened),
        cmocka_unit_test(links_are_created),
        cmocka_unit_test(links_are_changed),
        cmocka_unit_test(programs_are_run_for_a_test),
        cmocka_unit_test(elements_that_are_programs_and_maps),
        cmocka_unit_test(elements_that_are_control_groups),
        cmocka_unit_test(maps_of_maps_are_verified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
