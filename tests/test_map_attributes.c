/* SPDX-License-Identifier: MIT */
/*
 * Attributes of maps, right and wrong, against the kernel: the same are refused, for the same
 * reason.
 */
#include "core.h"

#include "kernel_needed.h"

static uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

/* Near the borders of what is allowed. */
static uint32_t pick(uint64_t *random, const uint32_t *from, size_t count)
{
    return from[next_random(random) % count];
}

static void random_attributes(uint64_t *random, struct sta_map_options *options)
{
    static const uint32_t types[] = {
        BPF_MAP_TYPE_HASH,         BPF_MAP_TYPE_ARRAY,
        BPF_MAP_TYPE_PERCPU_HASH,  BPF_MAP_TYPE_PERCPU_ARRAY,
        BPF_MAP_TYPE_LRU_HASH,     BPF_MAP_TYPE_LRU_PERCPU_HASH,
        BPF_MAP_TYPE_RINGBUF,      BPF_MAP_TYPE_QUEUE,
        BPF_MAP_TYPE_STACK,        BPF_MAP_TYPE_BLOOM_FILTER,
        BPF_MAP_TYPE_LPM_TRIE,     BPF_MAP_TYPE_PROG_ARRAY,
        BPF_MAP_TYPE_STACK_TRACE,  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
        BPF_MAP_TYPE_CGROUP_ARRAY,
    };
    static const uint32_t keys[] = {0, 0, 1, 4, 4, 4, 5, 8, 260, 261, 512};
    static const uint32_t values[] = {0, 0, 1, 4, 4, 8, 8, 16, 1016, 1024, 32768, 32769, 1 << 23};
    static const uint32_t entries[] = {0, 1, 3, 4, 64, 4096, 8192, 12288};
    static const uint32_t flags[] = {0,
                                     0,
                                     0,
                                     BPF_F_NO_PREALLOC,
                                     BPF_F_NO_PREALLOC,
                                     BPF_F_NO_COMMON_LRU,
                                     BPF_F_RDONLY,
                                     BPF_F_WRONLY,
                                     BPF_F_RDONLY | BPF_F_WRONLY,
                                     BPF_F_RDONLY_PROG,
                                     BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
                                     BPF_F_ZERO_SEED,
                                     BPF_F_MMAPABLE,
                                     BPF_F_STACK_BUILD_ID,
                                     BPF_F_PRESERVE_ELEMS,
                                     BPF_F_INNER_MAP,
                                     1u << 30};
    static const char *const names[] = {NULL, NULL, "", "a_Name.1", "not-this", "no space"};

    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
    options->type = pick(random, types, COUNT(types));
    options->key_size = pick(random, keys, COUNT(keys));
    options->value_size = pick(random, values, COUNT(values));
    options->max_entries = pick(random, entries, COUNT(entries));
    options->map_flags = pick(random, flags, COUNT(flags));
    options->map_extra = next_random(random) % 8 == 0 ? 3 + 13 * (next_random(random) % 2) : 0;
    options->name = names[next_random(random) % COUNT(names)];
    options->has_spin_lock = options->key_size == 4 && options->value_size >= 4 &&
                             options->value_size <= 1024 && next_random(random) % 2;
    options->spin_lock_at = options->value_size >= 16 ? 8 : 0;
}

static void attributes_are_refused_alike(void **state)
{
    uint64_t random = 5;
    struct sta_map_options options;
    int created = 0;

    (void)state;
    need_kernel();
    for (int i = 0; i < 6000; i++) {
        struct sta_map *map = NULL;
        int kernel, ours;

        random_attributes(&random, &options);
        if (options.type == BPF_MAP_TYPE_STACK_TRACE && options.map_flags & BPF_F_STACK_BUILD_ID)
            continue; /* not offered */
        kernel = kernel_map_create(&options);
        if (kernel == -ENOMEM)
            continue; /* it allocates before it looks at the name, and at once */
        ours = sta_map_create(&map, &options);
        if (kernel >= 0) {
            close(kernel);
            kernel = 0;
            created++;
        }
        sta_map_close(map);
        if (ours != kernel)
            print_error("type %u, key %u, value %u, entries %u, flags %#x, extra %llu, name %s, "
                        "lock %u\n",
                        options.type, options.key_size, options.value_size, options.max_entries,
                        options.map_flags, (unsigned long long)options.map_extra,
                        options.name ? options.name : "(none)", options.has_spin_lock);
        assert_int_equal(ours, kernel);
    }
    assert_true(created > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_are_refused_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
