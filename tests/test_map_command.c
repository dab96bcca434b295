/* SPDX-License-Identifier: MIT */
/* bpf(2) on maps, beside the kernel's: good and bad attributes, results and errors. */
#include "core.h"

#include <sys/mman.h>

#include "bpf_worlds.h"

SCENARIO(sizes_of_attributes_are_looked_at)
{
    struct {
        union bpf_attr attr;
        char more[8192];
    } large = {.attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4)};

    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 16);
    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 12);
    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 0);
    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 4096);
    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 4097);
    large.more[500] = 1;
    OPEN_SIZED(w, BPF_MAP_CREATE, &large, 4096);
    CALL_SIZED(w, BPF_MAP_CREATE, (void *)BAD_ADDRESS, 72);
    CALL_SIZED(w, BPF_MAP_FREEZE, (void *)BAD_ADDRESS, 4);
    CALL_SIZED(w, BPF_MAP_CREATE, (void *)BAD_ADDRESS, 0);
}

/* Each byte in turn is set, in attributes that are good but for that. */
SCENARIO(what_a_command_does_not_have_must_be_zero)
{
    static const int commands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
                                   BPF_MAP_GET_NEXT_KEY, BPF_MAP_FREEZE};
    union bpf_attr create = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    uint32_t key = 1;
    uint64_t value = 3;
    int fd = OPEN(w, BPF_MAP_CREATE, &create);

    for (size_t i = 0; i < COUNT(commands); i++) {
        for (size_t at = 32; at < sizeof(union bpf_attr); at += 4) {
            union bpf_attr attr = element_attr(fd, &key, &value, 0);

            ((char *)&attr)[at] = 1;
            CALL(w, commands[i], &attr);
        }
    }
}

static void create_each(struct world *w, uint32_t type)
{
    static const uint32_t sizes[] = {0, 1, 4, 5, 8, 260, 513};
    static const uint32_t counts[] = {0, 1, 3, 4096, 8192};

    for (size_t k = 0; k < COUNT(sizes); k++) {
        for (size_t v = 0; v < COUNT(sizes); v++) {
            for (size_t c = 0; c < COUNT(counts); c++) {
                union bpf_attr attr = map_attr(type, sizes[k], sizes[v], counts[c]);
                long fd;

                if (type == BPF_MAP_TYPE_LPM_TRIE)
                    attr.map_flags = BPF_F_NO_PREALLOC;
                fd = raw_bpf(w, BPF_MAP_CREATE, &attr, sizeof(attr));
                NOTE(w, fd < 0 ? fd : 0);
                if (fd >= 0)
                    w->bpf ? close_fd(w->bpf, (int)fd) : close((int)fd);
            }
        }
    }
}

SCENARIO(arrays_of_all_sizes)
{
    create_each(w, BPF_MAP_TYPE_ARRAY);
    create_each(w, BPF_MAP_TYPE_PERCPU_ARRAY);
    create_each(w, BPF_MAP_TYPE_PROG_ARRAY);
    create_each(w, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    create_each(w, BPF_MAP_TYPE_CGROUP_ARRAY);
}

SCENARIO(hashes_of_all_sizes)
{
    create_each(w, BPF_MAP_TYPE_HASH);
    create_each(w, BPF_MAP_TYPE_PERCPU_HASH);
    create_each(w, BPF_MAP_TYPE_LRU_HASH);
    create_each(w, BPF_MAP_TYPE_LPM_TRIE);
}

SCENARIO(others_of_all_sizes)
{
    create_each(w, BPF_MAP_TYPE_QUEUE);
    create_each(w, BPF_MAP_TYPE_STACK);
    create_each(w, BPF_MAP_TYPE_BLOOM_FILTER);
    create_each(w, BPF_MAP_TYPE_RINGBUF);
    create_each(w, BPF_MAP_TYPE_STACK_TRACE);
    create_each(w, BPF_MAP_TYPE_ARRAY_OF_MAPS); /* no inner map */
    create_each(w, BPF_MAP_TYPE_HASH_OF_MAPS);
    create_each(w, 0);
    create_each(w, 1000);
}

static void create_named(struct world *w, const char *name, size_t size)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);

    memcpy(attr.map_name, name, size);
    OPEN(w, BPF_MAP_CREATE, &attr);
}

SCENARIO(names)
{
    create_named(w, "good_name.9", 12);
    create_named(w, "fifteen_letters", 16);
    create_named(w, "sixteen_letters_", 16);
    create_named(w, "a space", 8);
    create_named(w, "dash-ed", 8);
    create_named(w, "end\0more", 8);
    create_named(w, "", 1);
}

SCENARIO(other_attributes_of_maps)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);

    attr.map_extra = 1;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.map_extra = 0;
    attr.map_flags = BPF_F_RDONLY | BPF_F_WRONLY;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.map_flags = BPF_F_NUMA_NODE;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.numa_node = 4000;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.numa_node = UINT32_MAX;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.map_flags = 0;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.numa_node = 0;
    attr.btf_key_type_id = 1;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.btf_value_type_id = 1;
    attr.btf_fd = 10000;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.btf_fd = 0; /* open, and no BTF */
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.btf_key_type_id = attr.btf_value_type_id = 0;
    attr.btf_vmlinux_value_type_id = 1;
    OPEN(w, BPF_MAP_CREATE, &attr);
    attr.btf_vmlinux_value_type_id = 0;
    for (int bit = 0; bit < 32; bit++) {
        if (bit == 17 || bit == 18) /* of arenas and tokens */
            continue;
        attr.map_flags = 1u << bit;
        OPEN(w, BPF_MAP_CREATE, &attr);
    }
}

static void use_elements(struct world *w, int fd, size_t value_size)
{
    char value[1024] = {0}, got[1024] = {0};
    uint32_t key, next = 0;
    union bpf_attr attr;

    for (key = 0; key < 6; key++) {
        memset(value, (int)key + 1, value_size);
        attr = element_attr(fd, &key, value, BPF_ANY);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        attr = element_attr(fd, &key, got, 0);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        for (size_t i = 0; i < value_size; i++)
            NOTE(w, got[i]);
    }
    key = 1;
    for (uint64_t flags = 0; flags < 10; flags++) {
        attr = element_attr(fd, &key, value, flags);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        CALL(w, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
    }
    attr = element_attr(fd, &key, NULL, 0);
    CALL(w, BPF_MAP_DELETE_ELEM, &attr);
    CALL(w, BPF_MAP_DELETE_ELEM, &attr);
    attr = element_attr(fd, NULL, &next, 0);
    CALL(w, BPF_MAP_DELETE_ELEM, &attr);
    attr.key = BAD_ADDRESS;
    CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
    CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
    CALL(w, BPF_MAP_DELETE_ELEM, &attr);
    attr.key = (uintptr_t)&key;
    attr.value = BAD_ADDRESS;
    key = 0;
    CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
    CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
    attr.key = 0; /* which one is behind another is not the same in both */
    CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
}

SCENARIO(elements_of_arrays)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 12, 4);
    int fd = OPEN(w, BPF_MAP_CREATE, &attr);
    uint32_t key = 0;

    use_elements(w, fd, 12);
    attr = element_attr(fd, NULL, &key, 0);
    for (int i = 0; i < 6; i++) {
        CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
        NOTE(w, key);
        attr.key = (uintptr_t)&key;
    }
}

SCENARIO(elements_of_hashes)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_HASH, 4, 12, 4);

    use_elements(w, OPEN(w, BPF_MAP_CREATE, &attr), 12);
    attr.map_flags = BPF_F_NO_PREALLOC;
    use_elements(w, OPEN(w, BPF_MAP_CREATE, &attr), 12);
}

SCENARIO(elements_of_maps_per_cpu)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 12, 4);

    use_elements(w, OPEN(w, BPF_MAP_CREATE, &attr), 12);
    attr.map_type = BPF_MAP_TYPE_PERCPU_HASH;
    use_elements(w, OPEN(w, BPF_MAP_CREATE, &attr), 12);
}

SCENARIO(elements_of_queues_and_filters)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK,
                                     BPF_MAP_TYPE_BLOOM_FILTER};

    for (size_t i = 0; i < COUNT(types); i++) {
        union bpf_attr attr = map_attr(types[i], 0, 8, 2);
        int fd = OPEN(w, BPF_MAP_CREATE, &attr);
        uint64_t value = 77, got = 0;
        uint32_t key = 0;

        for (int round = 0; round < 3; round++) {
            value = 77 + (uint64_t)round;
            attr = element_attr(fd, NULL, &value, 0);
            CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        }
        attr = element_attr(fd, NULL, &value, BPF_EXIST);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        attr = element_attr(fd, NULL, &value, BPF_NOEXIST);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        got = types[i] == BPF_MAP_TYPE_BLOOM_FILTER ? 77 : 0;
        attr = element_attr(fd, NULL, &got, 0);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        NOTE(w, got);
        for (int round = 0; round < 4; round++) {
            CALL(w, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
            NOTE(w, got);
        }
        attr.flags = BPF_F_LOCK;
        CALL(w, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
        attr = element_attr(fd, &key, &value, 0);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        CALL(w, BPF_MAP_DELETE_ELEM, &attr);
        CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
        attr.key = 0;
        CALL(w, BPF_MAP_DELETE_ELEM, &attr);
        CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
    }
}

SCENARIO(elements_of_rings_and_stacks)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_STACK_TRACE};

    for (size_t i = 0; i < COUNT(types); i++) {
        bool is_ring = types[i] == BPF_MAP_TYPE_RINGBUF;
        union bpf_attr attr =
            map_attr(types[i], is_ring ? 0 : 4, is_ring ? 0 : 80, is_ring ? 4096 : 16);
        int fd = OPEN(w, BPF_MAP_CREATE, &attr);
        char value[80] = {0};
        uint32_t key = 0;

        attr = element_attr(fd, is_ring ? NULL : &key, value, 0);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        CALL(w, BPF_MAP_DELETE_ELEM, &attr);
        CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
        if (is_ring) /* traces of stacks can be taken since Linux 6.18 */
            CALL(w, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
    }
}

SCENARIO(descriptors_are_looked_at)
{
    static const int commands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM,
                                   BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
                                   BPF_MAP_FREEZE,      BPF_MAP_LOOKUP_AND_DELETE_ELEM};
    union bpf_attr program =
        program_attr(BPF_PROG_TYPE_TRACEPOINT, return_zero, COUNT(return_zero), "GPL");
    int program_fd = OPEN(w, BPF_PROG_LOAD, &program);

    for (size_t i = 0; i < COUNT(commands); i++) {
        union bpf_attr attr = zero_attr();

        attr.map_fd = 12345;
        CALL(w, commands[i], &attr);
        attr.map_fd = UINT32_MAX;
        CALL(w, commands[i], &attr);
        attr.map_fd = 0; /* open, and no map */
        CALL(w, commands[i], &attr);
        attr.map_fd = (uint32_t)program_fd;
        CALL(w, commands[i], &attr);
    }
}

SCENARIO(access_is_as_the_map_was_made)
{
    static const uint32_t flags[] = {0, BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY_PROG};

    for (size_t i = 0; i < COUNT(flags); i++) {
        union bpf_attr attr = map_attr(BPF_MAP_TYPE_HASH, 4, 8, 4);
        uint32_t key = 1, next;
        uint64_t value = 1;
        int fd;

        attr.map_flags = flags[i];
        fd = OPEN(w, BPF_MAP_CREATE, &attr);
        for (int frozen = 0; frozen < 2; frozen++) {
            attr = element_attr(fd, &key, &value, 0);
            CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
            CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
            CALL(w, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
            attr = element_attr(fd, NULL, &next, 0);
            CALL(w, BPF_MAP_GET_NEXT_KEY, &attr);
            attr = element_attr(fd, &key, NULL, 0);
            CALL(w, BPF_MAP_DELETE_ELEM, &attr);
            attr = zero_attr();
            attr.map_fd = (uint32_t)fd;
            CALL(w, BPF_MAP_FREEZE, &attr);
            CALL(w, BPF_MAP_FREEZE, &attr);
        }
    }
}

/* The other way in: a descriptor of an existing map with less access. */
SCENARIO(descriptors_have_access_of_their_own)
{
    static const uint32_t flags[] = {0, BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY | BPF_F_WRONLY, 1};
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    struct bpf_map_info info = {0};
    uint32_t key = 1;
    uint64_t value = 1;
    int fd;

    attr.map_flags = BPF_F_RDONLY;
    fd = OPEN(w, BPF_MAP_CREATE, &attr);
    attr = zero_attr();
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = sizeof(info);
    attr.info.info = (uintptr_t)&info;
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    NOTE(w, info.map_flags);
    for (size_t i = 0; i < COUNT(flags); i++) {
        int other;

        attr = zero_attr();
        attr.map_id = info.id;
        attr.open_flags = flags[i];
        other = OPEN(w, BPF_MAP_GET_FD_BY_ID, &attr);
        if (other < 0)
            continue;
        attr = element_attr(other, &key, &value, 0);
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_attributes_are_looked_at),
        cmocka_unit_test(what_a_command_does_not_have_must_be_zero),
        cmocka_unit_test(arrays_of_all_sizes),
        cmocka_unit_test(hashes_of_all_sizes),
        cmocka_unit_test(others_of_all_sizes),
        cmocka_unit_test(names),
        cmocka_unit_test(other_attributes_of_maps),
        cmocka_unit_test(elements_of_arrays),
        cmocka_unit_test(elements_of_hashes),
        cmocka_unit_test(elements_of_maps_per_cpu),
        cmocka_unit_test(elements_of_queues_and_filters),
        cmocka_unit_test(elements_of_rings_and_stacks),
        cmocka_unit_test(descriptors_are_looked_at),
        cmocka_unit_test(access_is_as_the_map_was_made),
        cmocka_unit_test(descriptors_have_access_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
