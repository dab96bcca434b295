/* SPDX-License-Identifier: MIT */
/*
 * Maps against the kernel's: the same operations on both, at random, have the same results.
 */
#include "core.h"

#include "kernel_needed.h"

#define KEY_MAX   64
#define VALUE_MAX 128
#define STEPS     20000

/* A type, as it is created, and what its keys are like. */
struct subject {
    struct sta_map_options options;
    uint32_t keys; /* different ones */
    bool is_percpu, is_lpm, is_bloom, only_agreed;
    void (*make_key)(const struct subject *subject, uint32_t number, void *key);
};

struct both {
    const struct subject *subject;
    struct sta_map *ours;
    int kernel;
    size_t value_bytes;
    uint64_t random;
    uint64_t pushed[4]; /* Bloom filters: which values */
};

static uint32_t next_random(struct both *both)
{
    both->random = both->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(both->random >> 33);
}

static void number_key(const struct subject *subject, uint32_t number, void *key)
{
    memset(key, 0, subject->options.key_size);
    memcpy(key, &number, subject->options.key_size < 4 ? subject->options.key_size : 4);
    if (subject->options.key_size > 8) /* the last byte counts, too */
        ((uint8_t *)key)[subject->options.key_size - 1] = (uint8_t)(number * 7);
}

/* 0 .. 34 bits of few addresses: prefixes lie within each other, and some are too long. The bits
 * that do not count are 0: in what comes back the kernel has them as they were given, we do not. */
static void prefix_key(const struct subject *subject, uint32_t number, void *key)
{
    uint32_t data_bits = (subject->options.key_size - 4) * 8, bits = number % (data_bits + 3);
    uint8_t *data = (uint8_t *)key + 4;

    memset(key, 0, subject->options.key_size);
    memcpy(key, &bits, 4);
    for (uint32_t bit = 0; bit < bits && bit < data_bits; bit++) {
        if ((number / (data_bits + 3)) >> bit % 3 & 1)
            data[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
}

static void describe(const struct both *both, const char *what, uint32_t number, uint64_t flags)
{
    print_error("type %u, key size %u, value size %u: %s of key %u, flags %llu\n",
                both->subject->options.type, both->subject->options.key_size,
                both->subject->options.value_size, what, number, (unsigned long long)flags);
}

static void same(const struct both *both, const char *what, uint32_t number, uint64_t flags,
                 int ours, int kernel)
{
    if (ours != kernel)
        describe(both, what, number, flags);
    assert_int_equal(ours, kernel);
}

static void same_values(const struct both *both, const char *what, uint32_t number,
                        const uint8_t *ours, const uint8_t *kernel)
{
    if (memcmp(ours, kernel, both->value_bytes))
        describe(both, what, number, 0);
    assert_memory_equal(ours, kernel, both->value_bytes);
}

static void fill(struct both *both, uint8_t *value)
{
    for (size_t i = 0; i < both->value_bytes; i++)
        value[i] = (uint8_t)next_random(both);
    if (both->subject->is_percpu) { /* what fills up values is not said to be kept */
        uint32_t size = both->subject->options.value_size, stride = (size + 7) & ~7u;

        for (size_t i = 0; i < both->value_bytes; i++) {
            if (i % stride >= size)
                value[i] = 0;
        }
    }
}

static const uint64_t flags_of_update[] = {BPF_ANY,
                                           BPF_ANY,
                                           BPF_ANY,
                                           BPF_ANY,
                                           BPF_NOEXIST,
                                           BPF_EXIST,
                                           BPF_F_LOCK,
                                           3,
                                           1ull << 40,
                                           BPF_F_LOCK | BPF_EXIST,
                                           BPF_F_LOCK | BPF_NOEXIST,
                                           BPF_F_LOCK | 3};

static void update_both(struct both *both, const void *key, uint32_t number)
{
    uint64_t flags = flags_of_update[next_random(both) % COUNT(flags_of_update)];
    uint8_t value[VALUE_MAX * 8];

    fill(both, value);
    if (both->subject->is_bloom) {
        memset(value, 0, both->value_bytes);
        value[0] = (uint8_t)number;
    }
    same(both, "update", number, flags, sta_map_update(both->ours, key, value, flags),
         kernel_map_element(BPF_MAP_UPDATE_ELEM, both->kernel, key, value, flags));
    if (both->subject->is_bloom && flags == BPF_ANY)
        both->pushed[number / 64] |= 1ull << number % 64;
}

static void lookup_both(struct both *both, const void *key, uint32_t number, bool and_delete)
{
    uint64_t flags = next_random(both) % 8 == 0 ? 1u << next_random(both) % 4 : 0;
    uint8_t ours[VALUE_MAX * 8] = {0}, kernel[VALUE_MAX * 8] = {0};
    const char *what = and_delete ? "look-up and delete" : "look-up";
    int command = and_delete ? BPF_MAP_LOOKUP_AND_DELETE_ELEM : BPF_MAP_LOOKUP_ELEM;
    int got, wanted;

    if (both->subject->is_bloom) {
        ours[0] = kernel[0] = (uint8_t)number;
        if (!and_delete && !(both->pushed[number / 64] >> number % 64 & 1))
            return; /* either may say yes */
    }
    got = and_delete ? sta_map_lookup_and_delete(both->ours, key, ours, flags)
                     : sta_map_lookup(both->ours, key, ours, flags);
    wanted = kernel_map_element(command, both->kernel, key, kernel, flags);
    same(both, what, number, flags, got, wanted);
    if (got == 0)
        same_values(both, what, number, ours, kernel);
}

/* How many keys there are; each that one has the other has. */
static int walk(struct both *both)
{
    uint8_t key[KEY_MAX], next[KEY_MAX], ours[VALUE_MAX * 8] = {0}, kernel[VALUE_MAX * 8] = {0};
    int count = 0, kernel_count = 0, err;

    for (err = sta_map_next_key(both->ours, NULL, next); err == 0;
         err = sta_map_next_key(both->ours, key, next)) {
        memcpy(key, next, sizeof(key));
        count++;
        assert_int_equal(sta_map_lookup(both->ours, key, ours, 0), 0);
        assert_int_equal(kernel_map_element(BPF_MAP_LOOKUP_ELEM, both->kernel, key, kernel, 0), 0);
        same_values(both, "walk", (uint32_t)count, ours, kernel);
    }
    same(both, "end of walk", 0, 0, err,
         kernel_map_element(BPF_MAP_GET_NEXT_KEY, both->kernel, NULL, next, 0) == 0 ? -ENOENT
                                                                                    : err);
    for (err = kernel_map_element(BPF_MAP_GET_NEXT_KEY, both->kernel, NULL, next, 0); err == 0;
         err = kernel_map_element(BPF_MAP_GET_NEXT_KEY, both->kernel, key, next, 0)) {
        memcpy(key, next, sizeof(key));
        kernel_count++;
    }
    assert_int_equal(count, kernel_count);
    return count;
}

static void step(struct both *both)
{
    const struct subject *subject = both->subject;
    uint32_t number = next_random(both) % subject->keys;
    uint8_t buffer[KEY_MAX], *key = subject->options.key_size ? buffer : NULL;

    if (key)
        subject->make_key(subject, number, key);
    switch (next_random(both) % 8) {
    case 0:
    case 1:
    case 2:
        update_both(both, key, number);
        break;
    case 3:
        same(both, "delete", number, 0, sta_map_delete(both->ours, key),
             kernel_map_element(BPF_MAP_DELETE_ELEM, both->kernel, key, NULL, 0));
        break;
    case 4:
        lookup_both(both, key, number, true);
        break;
    default:
        lookup_both(both, key, number, false);
        break;
    }
}

static int open_both(struct both *both, const struct subject *subject)
{
    memset(both, 0, sizeof(*both));
    both->subject = subject;
    both->random = subject->options.type * 77 + subject->options.key_size;
    both->value_bytes = subject->is_percpu
                            ? (size_t)((subject->options.value_size + 7) & ~7u) * sta_map_cpus()
                            : subject->options.value_size;
    assert_true(both->value_bytes <= VALUE_MAX * 8);
    both->kernel = kernel_map_create(&subject->options);
    if (both->kernel < 0)
        return both->kernel;
    assert_int_equal(sta_map_create(&both->ours, &subject->options), 0);
    return 0;
}

static void close_both(struct both *both)
{
    sta_map_close(both->ours);
    close(both->kernel);
}

#define MAP(map_type, keys_, values, entries, ...)          \
    {                                                       \
        .options = {.size = sizeof(struct sta_map_options), \
                    .type = BPF_MAP_TYPE_##map_type,        \
                    .key_size = (keys_),                    \
                    .value_size = (values),                 \
                    .max_entries = (entries)},              \
        .make_key = number_key, __VA_ARGS__                 \
    }

#define LOCK(at) .options.has_spin_lock = 1, .options.spin_lock_at = (at)

static struct subject subjects[] = {
    MAP(HASH, 4, 8, 64, .keys = 96),
    MAP(HASH, 8, 4, 64, .keys = 96),
    MAP(HASH, 16, 8, 64, .keys = 96),
    MAP(HASH, 1, 1, 64, .keys = 96),
    MAP(HASH, 20, 37, 64, .keys = 96),
    MAP(HASH, 5, 100, 1, .keys = 3),
    MAP(ARRAY, 4, 8, 32, .keys = 40),
    MAP(ARRAY, 4, 13, 32, .keys = 40),
    MAP(HASH, 4, 16, 64, .keys = 96, LOCK(8)),
    MAP(HASH, 4, 20, 64, .keys = 96, LOCK(4)),
    MAP(HASH, 4, 4, 64, .keys = 96, LOCK(0)),
    MAP(HASH, 4, 8, 64, .keys = 96, LOCK(4)),
    MAP(HASH, 4, 7, 64, .keys = 96, LOCK(0)),
    MAP(ARRAY, 4, 23, 32, .keys = 40, LOCK(16)),
    MAP(ARRAY, 4, 8, 32, .keys = 40, LOCK(0)),
    MAP(PERCPU_HASH, 4, 8, 64, .keys = 96, .is_percpu = true),
    MAP(PERCPU_HASH, 12, 20, 64, .keys = 96, .is_percpu = true),
    MAP(PERCPU_ARRAY, 4, 12, 32, .keys = 40, .is_percpu = true),
    MAP(LRU_HASH, 4, 8, 4096, .keys = 96), /* far from full: who goes is not said */
    MAP(LRU_HASH, 11, 24, 4096, .keys = 96),
    MAP(LRU_PERCPU_HASH, 8, 8, 4096, .keys = 96, .is_percpu = true),
    MAP(QUEUE, 0, 4, 16, .keys = 64),
    MAP(QUEUE, 0, 44, 1, .keys = 64),
    MAP(STACK, 0, 8, 16, .keys = 64),
    MAP(STACK, 0, 7, 3, .keys = 64),
    MAP(BLOOM_FILTER, 0, 4, 256, .keys = 200, .is_bloom = true),
    MAP(LPM_TRIE, 8, 8, 64, .keys = 200, .is_lpm = true),
    MAP(LPM_TRIE, 5, 20, 200, .keys = 200, .is_lpm = true),
    MAP(LPM_TRIE, 20, 4, 1000, .keys = 900, .is_lpm = true),
};

static void operations_have_the_same_results(void **state)
{
    struct both both;

    (void)state;
    need_kernel();
    for (size_t i = 0; i < COUNT(subjects); i++) {
        struct subject *subject = &subjects[i];
        bool has_keys = subject->options.key_size != 0;
        int err;

        if (subject->is_lpm) {
            subject->make_key = prefix_key;
            subject->options.map_flags = BPF_F_NO_PREALLOC;
        }
        err = open_both(&both, subject);
        if (err < 0) {
            print_message("type %u is not in this kernel: %s\n", subject->options.type,
                          strerror(-err));
            continue;
        }
        for (int n = 0; n < STEPS; n++) {
            step(&both);
            if (has_keys && n % 1000 == 0)
                walk(&both);
        }
        close_both(&both);
    }
}

/* Batches: all elements come, in batches of every size, and errors are the same. */

#define BATCH_ELEMENTS 50

static void batches_of(struct both *both, int command, uint32_t room, uint64_t flags,
                       uint32_t *kernel_sum, uint32_t *sum)
{
    static uint8_t keys[2][BATCH_ELEMENTS * 2 * KEY_MAX], values[2][BATCH_ELEMENTS * 2 * VALUE_MAX];
    uint8_t cursor[2][KEY_MAX];
    uint32_t count;
    int err[2] = {0, 0};

    *sum = *kernel_sum = 0;
    for (int round = 0; err[0] == 0 || err[0] == -ENOSPC; round++) {
        count = err[0] ? 2 * BATCH_ELEMENTS : room; /* a bucket that did not fit */
        err[0] = (command == BPF_MAP_LOOKUP_BATCH ? sta_map_lookup_batch
                                                  : sta_map_lookup_and_delete_batch)(
            both->ours, round ? cursor[0] : NULL, cursor[0], keys[0], values[0], &count, flags);
        assert_true(round < 1000);
        *sum += err[0] == 0 || err[0] == -ENOENT ? count : 0;
    }
    for (int round = 0; err[1] == 0 || err[1] == -ENOSPC; round++) {
        count = err[1] ? 2 * BATCH_ELEMENTS : room;
        err[1] = kernel_map_batch(command, both->kernel, round ? cursor[1] : NULL, cursor[1],
                                  keys[1], values[1], &count, flags);
        *kernel_sum += err[1] == 0 || err[1] == -ENOENT ? count : 0;
    }
    same(both, "batch", room, flags, err[0], err[1]);
}

static void batches_have_the_same_results(void **state)
{
    (void)state;
    need_kernel();
    for (size_t i = 0; i < COUNT(subjects); i++) {
        struct subject *subject = &subjects[i];
        uint8_t key[KEY_MAX], keys[3 * KEY_MAX], values[3 * VALUE_MAX * 8] = {0};
        uint32_t sum, kernel_sum, count, kernel_count;
        struct both both;

        if (open_both(&both, subject) < 0)
            continue;
        for (uint32_t n = 0; n < BATCH_ELEMENTS && subject->options.key_size; n++) {
            subject->make_key(subject, n, key);
            fill(&both, values);
            same(&both, "update", n, 0, sta_map_update(both.ours, key, values, 0),
                 kernel_map_element(BPF_MAP_UPDATE_ELEM, both.kernel, key, values, 0));
        }
        for (uint32_t room = 1; room < BATCH_ELEMENTS * 2; room = room * 3 / 2 + 1) {
            batches_of(&both, BPF_MAP_LOOKUP_BATCH, room, room % 2 ? BPF_F_LOCK : 0, &kernel_sum,
                       &sum);
            assert_int_equal(sum, kernel_sum);
        }
        for (uint32_t n = 0; n < 3; n++)
            subject->make_key(subject, n * 40, keys + n * subject->options.key_size);
        for (uint64_t flags = 0; flags <= BPF_F_LOCK; flags += flags ? 3 : 1) {
            count = kernel_count = 3;
            same(&both, "update batch", 0, flags,
                 sta_map_update_batch(both.ours, keys, values, &count, flags),
                 kernel_map_batch(BPF_MAP_UPDATE_BATCH, both.kernel, NULL, NULL, keys, values,
                                  &kernel_count, flags));
            if (flags != 1)
                assert_int_equal(count, kernel_count);
        }
        batches_of(&both, BPF_MAP_LOOKUP_AND_DELETE_BATCH, 20,
                   subject->options.has_spin_lock ? BPF_F_LOCK : 0, &kernel_sum, &sum);
        assert_int_equal(sum, kernel_sum);
        count = kernel_count = 3;
        same(&both, "delete batch", 0, 0, sta_map_delete_batch(both.ours, keys, &count, 0),
             kernel_map_batch(BPF_MAP_DELETE_BATCH, both.kernel, NULL, NULL, keys, NULL,
                              &kernel_count, 0));
        close_both(&both);
    }
}

static void access_flags_and_freezing_are_the_kernels(void **state)
{
    static const uint32_t flags[] = {0, BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY_PROG,
                                     BPF_F_WRONLY_PROG};
    struct subject subject = MAP(HASH, 4, 8, 8, .keys = 8);

    (void)state;
    need_kernel();
    for (size_t i = 0; i < 2 * COUNT(flags); i++) {
        union bpf_attr attr;
        struct both both;

        subject.options.map_flags = flags[i / 2];
        assert_int_equal(open_both(&both, &subject), 0);
        for (int n = 0; n < 200; n++)
            step(&both);
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)both.kernel;
        for (int again = 0; i % 2 && again < 2; again++)
            same(&both, "freeze", 0, 0, sta_map_freeze(both.ours),
                 kernel_bpf(BPF_MAP_FREEZE, &attr));
        for (int n = 0; n < 200; n++)
            step(&both);
        close_both(&both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_have_the_same_results),
        cmocka_unit_test(batches_have_the_same_results),
        cmocka_unit_test(access_flags_and_freezing_are_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
