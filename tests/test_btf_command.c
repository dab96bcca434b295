/* SPDX-License-Identifier: MIT */
/* bpf(2) on BTF, and what maps do with it, beside the kernel's. */
#include "core.h"

#include <linux/btf.h>

#include "bpf_worlds.h"

/* A bit of BTF: an int, and a struct of two of them. */
struct some_btf {
    struct btf_header header;
    struct {
        struct btf_type type;
        uint32_t bits;
    } number;
    struct {
        struct btf_type type;
        struct btf_member members[2];
    } pair;
    char strings[24];
};

#define INFO(kind, vlen) ((uint32_t)(kind) << 24 | (uint32_t)(vlen))

static struct some_btf good_btf(void)
{
    struct some_btf btf = {
        .header = {.magic = BTF_MAGIC,
                   .version = BTF_VERSION,
                   .hdr_len = sizeof(struct btf_header),
                   .type_len = sizeof(btf.number) + sizeof(btf.pair),
                   .str_off = sizeof(btf.number) + sizeof(btf.pair),
                   .str_len = sizeof(btf.strings)},
        .number = {.type = {.name_off = 1, .info = INFO(BTF_KIND_INT, 0), .size = 4}, .bits = 32},
        .pair = {.type = {.name_off = 5, .info = INFO(BTF_KIND_STRUCT, 2), .size = 8},
                 .members = {{.name_off = 10, .type = 1},
                             {.name_off = 12, .type = 1, .offset = 32}}},
        .strings = "\0int\0pair\0a\0b\0more",
    };

    return btf;
}

static int load_btf(struct world *w, const void *data, uint32_t size)
{
    union bpf_attr attr = zero_attr();

    attr.btf = (uintptr_t)data;
    attr.btf_size = size;
    return OPEN(w, BPF_BTF_LOAD, &attr);
}

SCENARIO(btf_is_loaded)
{
    struct some_btf btf = good_btf();
    struct bpf_btf_info info = {0};
    union bpf_attr attr;
    char back[sizeof(btf)];
    int fd = load_btf(w, &btf, sizeof(btf));

    info.btf = (uintptr_t)back;
    info.btf_size = sizeof(back);
    attr = info_attr(fd, &info, sizeof(info));
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    NOTE(w, info.btf_size);
    NOTE(w, info.id != 0);
    NOTE(w, info.kernel_btf);
    NOTE(w, info.name_len);
    NOTE(w, memcmp(back, &btf, sizeof(btf)));
    info.name_len = 5;
    CALL(w, BPF_OBJ_GET_INFO_BY_FD, &attr);
    load_btf(w, &btf, 0);
    load_btf(w, &btf, 17u << 20);
    load_btf(w, (void *)BAD_ADDRESS, sizeof(btf));
}

/* Each word of it changed in turn. Where the kernel knows better than libbpf, so do we. */
SCENARIO(btf_that_is_wrong_is_refused)
{
    static const uint32_t values[] = {0, 1, 3, 4, 100, UINT32_MAX, 1u << 24, 31u << 24};

    for (size_t at = 0; at < offsetof(struct some_btf, pair) / 4; at++) {
        for (size_t v = 0; v < COUNT(values); v++) {
            struct some_btf btf = good_btf();

            ((uint32_t *)&btf)[at] = values[v];
            load_btf(w, &btf, sizeof(btf));
        }
    }
    for (uint32_t size = 0; size < sizeof(struct some_btf); size++) {
        struct some_btf btf = good_btf();

        load_btf(w, &btf, size);
    }
}

SCENARIO(maps_have_types)
{
    struct some_btf btf = good_btf();
    int fd = load_btf(w, &btf, sizeof(btf));
    static const uint32_t ids[][2] = {{1, 2}, {1, 1}, {2, 2}, {0, 2}, {1, 0}, {3, 2}, {1, 3}};
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY,       BPF_MAP_TYPE_HASH,
                                     BPF_MAP_TYPE_LRU_HASH,    BPF_MAP_TYPE_PERCPU_ARRAY,
                                     BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_STACK_TRACE};

    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t i = 0; i < COUNT(ids); i++) {
            union bpf_attr attr = map_attr(types[t], 4, 8, 4);

            attr.btf_fd = (uint32_t)fd;
            attr.btf_key_type_id = ids[i][0];
            attr.btf_value_type_id = ids[i][1];
            OPEN(w, BPF_MAP_CREATE, &attr);
        }
    }
}

/* The members of a value: a lock, and something else. Of two, some kernels refuse the BTF, others
 * the map. */
struct lock_btf {
    struct btf_header header;
    struct {
        struct btf_type type;
        uint32_t bits;
    } number;
    struct {
        struct btf_type type;
        struct btf_member member;
    } lock;
    struct {
        struct btf_type type;
        struct btf_member members[3];
    } value;
    char strings[40];
};

static struct lock_btf lock_btf(void)
{
    struct lock_btf btf = {
        .header = {.magic = BTF_MAGIC,
                   .version = BTF_VERSION,
                   .hdr_len = sizeof(struct btf_header),
                   .type_len = sizeof(btf.number) + sizeof(btf.lock) + sizeof(btf.value),
                   .str_off = sizeof(btf.number) + sizeof(btf.lock) + sizeof(btf.value),
                   .str_len = sizeof(btf.strings)},
        .number = {.type = {.name_off = 1, .info = INFO(BTF_KIND_INT, 0), .size = 4}, .bits = 32},
        .lock = {.type = {.name_off = 5, .info = INFO(BTF_KIND_STRUCT, 1), .size = 4},
                 .member = {.name_off = 19, .type = 1}},
        .value = {.type = {.name_off = 23, .info = INFO(BTF_KIND_STRUCT, 3), .size = 12},
                  .members = {{.name_off = 29, .type = 1},
                              {.name_off = 31, .type = 2, .offset = 32},
                              {.name_off = 33, .type = 1, .offset = 64}}},
        .strings = "\0int\0bpf_spin_lock\0val\0value\0a\0b\0c",
    };

    return btf;
}

static void use_locked(struct world *w, int fd)
{
    uint32_t key = 1, value[3] = {11, 22, 33}, got[3];
    union bpf_attr attr;

    for (uint64_t flags = 0; flags < 16; flags++) {
        attr = element_attr(fd, &key, value, flags);
        value[0]++;
        CALL(w, BPF_MAP_UPDATE_ELEM, &attr);
        memset(got, 0, sizeof(got));
        attr = element_attr(fd, &key, got, flags);
        CALL(w, BPF_MAP_LOOKUP_ELEM, &attr);
        for (int i = 0; i < 3; i++)
            NOTE(w, got[i]);
    }
}

SCENARIO(values_have_locks)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH,
                                     BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};
    struct lock_btf btf = lock_btf();
    int one = load_btf(w, &btf, sizeof(btf)), odd;

    btf.lock.type.name_off = 6; /* of another name */
    odd = load_btf(w, &btf, sizeof(btf));
    for (size_t t = 0; t < COUNT(types); t++) {
        const int fds[] = {one, odd};

        for (size_t i = 0; i < COUNT(fds); i++) {
            union bpf_attr attr = map_attr(types[t], 4, 12, 4);
            int fd;

            attr.btf_fd = (uint32_t)fds[i];
            attr.btf_key_type_id = 1;
            attr.btf_value_type_id = 3;
            fd = OPEN(w, BPF_MAP_CREATE, &attr);
            if (fd >= 0 && t < 2)
                use_locked(w, fd);
            attr.map_flags = BPF_F_RDONLY_PROG;
            OPEN(w, BPF_MAP_CREATE, &attr);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(btf_is_loaded),
        cmocka_unit_test(btf_that_is_wrong_is_refused),
        cmocka_unit_test(maps_have_types),
        cmocka_unit_test(values_have_locks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
