/* SPDX-License-Identifier: MIT */
/* bpf(2) that asks what there is: info, ids; and batches. Beside the kernel's. */
#include "core.h"

#include "bpf_worlds.h"

SCENARIO(info_of_maps)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 4);
    struct bpf_map_info info;
    int fd;

    attr.map_extra = 3;
    memcpy(attr.map_name, "some_name", 10);
    fd = OPEN(w, BPF_MAP_CREATE, &attr);
    memset(&info, 0, sizeof(info));
    attr = info_attr(fd, &info, sizeof(info));
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    NOTE(w, attr.info.info_len);
    NOTE(w, info.type);
    NOTE(w, info.id != 0);
    NOTE(w, info.key_size);
    NOTE(w, info.value_size);
    NOTE(w, info.max_entries);
    NOTE(w, info.map_flags);
    NOTE(w, strcmp(info.name, "some_name"));
    NOTE(w, info.ifindex);
    NOTE(w, info.netns_dev);
    NOTE(w, info.btf_id);
    NOTE(w, info.btf_key_type_id);
    NOTE(w, info.btf_vmlinux_value_type_id);
    NOTE(w, info.map_extra);
}

SCENARIO(sizes_of_info)
{
    static struct {
        char bytes[8192];
    } room;
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    int fd = OPEN(w, BPF_MAP_CREATE, &attr);
    static const uint32_t sizes[] = {0, 4, 7, 80, 88, 4096, 4097};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(&room, 0, sizeof(room));
        attr = info_attr(fd, &room, sizes[i]);
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
        NOTE(w, attr.info.info_len <= 88 || attr.info.info_len > 4096
                    ? attr.info.info_len
                    : 88); /* newer kernels know more */
        NOTE(w, room.bytes[0]);
        NOTE(w, room.bytes[8]);
    }
    room.bytes[1000] = 1;
    attr = info_attr(fd, &room, 4096);
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    attr = info_attr(fd, (void *)BAD_ADDRESS, 80);
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    attr = info_attr(12345, &room, 80);
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    attr = info_attr(0, &room, 80);
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
}

SCENARIO(info_of_programs)
{
    struct bpf_insn insns[] = {
        {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
        {0},
        {.code = BPF_ALU64 | BPF_MOV},
        {.code = BPF_JMP | BPF_EXIT},
    };
    static const char *const licenses[] = {"GPL", "MIT"};
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    int map = OPEN(w, BPF_MAP_CREATE, &attr);

    insns[0].imm = map;
    for (size_t i = 0; i < COUNT(licenses); i++) {
        uint32_t ids[4] = {0};
        struct bpf_prog_info info = {.nr_map_ids = 4, .map_ids = (uintptr_t)ids};
        int fd;

        attr = program_attr(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, COUNT(insns), licenses[i]);
        memcpy(attr.prog_name, "prog.name", 10);
        fd = OPEN(w, BPF_PROG_LOAD, &attr);
        attr = info_attr(fd, &info, sizeof(info));
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
        NOTE(w, info.type);
        NOTE(w, info.id != 0);
        NOTE(w, strcmp(info.name, "prog.name"));
        NOTE(w, info.gpl_compatible);
        NOTE(w, info.created_by_uid);
        NOTE(w, info.load_time != 0);
        NOTE(w, info.nr_map_ids);
        NOTE(w, ids[0] != 0);
        NOTE(w, ids[1]);
        NOTE(w, info.btf_id);
        NOTE(w, info.run_cnt);
        NOTE(w, info.nr_func_info);
        NOTE(w, info.nr_line_info);
        NOTE(w, info.verified_insns);
        NOTE(w, info.jited_prog_len > 0);
        info.map_ids = BAD_ADDRESS;
        info.nr_map_ids = 1;
        info.jited_prog_len = info.xlated_prog_len = 0;
        info.nr_jited_ksyms = info.nr_jited_func_lens = info.nr_prog_tags = 0;
        info.nr_func_info = info.nr_line_info = info.nr_jited_line_info = 0;
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    }
}

SCENARIO(info_of_links)
{
    union bpf_attr attr =
        program_attr(BPF_PROG_TYPE_RAW_TRACEPOINT, return_zero, COUNT(return_zero), "GPL");
    int program = OPEN(w, BPF_PROG_LOAD, &attr), link;
    static const uint32_t sizes[] = {0, 1, 5, 9, 10, 64};

    attr = zero_attr();
    attr.raw_tracepoint.name = (uintptr_t) "sys_exit";
    attr.raw_tracepoint.prog_fd = (uint32_t)program;
    link = OPEN(w, BPF_RAW_TRACEPOINT_OPEN, &attr);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char name[64] = "untouched";
        struct bpf_link_info info = {.raw_tracepoint = {(uintptr_t)name, sizes[i]}};

        attr = info_attr(link, &info, sizeof(info));
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
        NOTE(w, info.type);
        NOTE(w, info.id != 0);
        NOTE(w, info.prog_id != 0);
        NOTE(w, info.raw_tracepoint.tp_name_len);
        for (int c = 0; c < 12; c++)
            NOTE(w, name[c]);
    }
    {
        struct bpf_link_info info = {.raw_tracepoint = {0, 5}};

        attr = info_attr(link, &info, sizeof(info));
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
        info.raw_tracepoint.tp_name = BAD_ADDRESS;
        CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    }
}

SCENARIO(statistics_are_switched_on)
{
    union bpf_attr attr = zero_attr();

    OPEN(w, BPF_ENABLE_STATS, &attr);
    attr.enable_stats.type = 1;
    OPEN(w, BPF_ENABLE_STATS, &attr);
}

/* The kernel has others' objects: only that ids lead back. */
SCENARIO(ids_lead_to_descriptors)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    int map = OPEN(w, BPF_MAP_CREATE, &attr), again;
    struct bpf_map_info info = {0}, other = {0};

    attr = info_attr(map, &info, sizeof(info));
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    attr = zero_attr();
    attr.start_id = info.id - 1;
    CALL(w, BPF_MAP_GET_NEXT_ID, &attr);
    NOTE(w, attr.next_id == info.id);
    attr = zero_attr();
    attr.map_id = info.id;
    again = OPEN(w, BPF_MAP_GET_FD_BY_ID, &attr);
    attr = info_attr(again, &other, sizeof(other));
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    NOTE(w, other.id == info.id);
    attr = zero_attr();
    attr.start_id = INT32_MAX - 1;
    CALL(w, BPF_MAP_GET_NEXT_ID, &attr);
    CALL(w, BPF_PROG_GET_NEXT_ID, &attr);
    CALL(w, BPF_LINK_GET_NEXT_ID, &attr);
    CALL(w, BPF_BTF_GET_NEXT_ID, &attr);
    attr.start_id = UINT32_MAX;
    CALL(w, BPF_MAP_GET_NEXT_ID, &attr);
    attr.start_id = INT32_MAX;
    CALL(w, BPF_MAP_GET_FD_BY_ID, &attr);
    CALL(w, BPF_PROG_GET_FD_BY_ID, &attr);
    CALL(w, BPF_LINK_GET_FD_BY_ID, &attr);
    attr.start_id = 0;
    CALL(w, BPF_MAP_GET_FD_BY_ID, &attr);
    CALL(w, BPF_PROG_GET_FD_BY_ID, &attr);
    CALL(w, BPF_LINK_GET_FD_BY_ID, &attr);
}

static void try_batches(struct world *w, uint32_t type)
{
    union bpf_attr create = map_attr(type, 4, 8, 8), attr;
    uint32_t keys[16], position[64], got_keys[16];
    uint64_t values[16 * 64] = {0}, got[16 * 64];
    int fd = OPEN(w, BPF_MAP_CREATE, &create);
    static const int commands[] = {BPF_MAP_UPDATE_BATCH, BPF_MAP_LOOKUP_BATCH,
                                   BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_DELETE_BATCH};

    for (uint32_t i = 0; i < 16; i++)
        keys[i] = i;
    for (uint32_t i = 0; i < COUNT(values); i++)
        values[i] = i * 3;
    for (uint32_t count = 0; count < 11; count += 5) {
        for (size_t c = 0; c < COUNT(commands); c++) {
            bool reads = commands[c] == BPF_MAP_LOOKUP_BATCH ||
                         commands[c] == BPF_MAP_LOOKUP_AND_DELETE_BATCH;

            memset(&attr, 0, sizeof(attr));
            attr.batch.map_fd = (uint32_t)fd;
            attr.batch.keys = (uintptr_t)(reads ? got_keys : keys);
            attr.batch.values = (uintptr_t)(reads ? got : values);
            attr.batch.out_batch = (uintptr_t)position;
            attr.batch.count = reads ? 16 : count;
            CALL(w, commands[c], &attr);
            NOTE(w, attr.batch.count);
            attr.batch.elem_flags = 8;
            CALL(w, commands[c], &attr);
            attr.batch.elem_flags = BPF_F_LOCK;
            CALL(w, commands[c], &attr);
            attr.batch.elem_flags = 0;
            attr.batch.keys = BAD_ADDRESS;
            attr.batch.count = 1;
            if (!reads)
                CALL(w, commands[c], &attr);
            attr.batch.map_fd = 0;
            CALL(w, commands[c], &attr);
            attr.batch.map_fd = 12345;
            CALL(w, commands[c], &attr);
        }
    }
}

SCENARIO(batches_of_hashes)
{
    try_batches(w, BPF_MAP_TYPE_HASH);
    try_batches(w, BPF_MAP_TYPE_PERCPU_HASH);
}

SCENARIO(batches_of_arrays_and_others)
{
    try_batches(w, BPF_MAP_TYPE_ARRAY);
    try_batches(w, BPF_MAP_TYPE_PERCPU_ARRAY);
    try_batches(w, BPF_MAP_TYPE_PROG_ARRAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_of_maps),
        cmocka_unit_test(sizes_of_info),
        cmocka_unit_test(info_of_programs),
        cmocka_unit_test(info_of_links),
        cmocka_unit_test(statistics_are_switched_on),
        cmocka_unit_test(ids_lead_to_descriptors),
        cmocka_unit_test(batches_of_hashes),
        cmocka_unit_test(batches_of_arrays_and_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
