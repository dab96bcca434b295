/* SPDX-License-Identifier: MIT */
/*
 * Maps whose memory another process writes to as it likes: whoever sent the descriptor may have
 * kept it. What is read then may be wrong, but nothing outside of the map is read or written.
 *
 * Each of these was a write or a read past an end, so they run in children, which have to survive.
 */
#include "maps.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <sta/program.h>

#include "ebpf/program.h"
#include "maps/hash.h"
#include "maps/lease.h"
#include "maps/object_array.h"
#include "maps/perf_ring.h"
#include "maps/ring.h"
#include "maps/stack_trace.h"

#undef COUNT
#include "vm/build.h"

#define PAGE          4096
#define CALL_OF(name) I(CALL, 0, 0, 0, BPF_FUNC_##name)

static void survives(void (*body)(void))
{
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka has its own, which run the other tests here */
        signal(SIGBUS, SIG_DFL);
        alarm(20);
        body();
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(wait_for_child(child), 0);
}

/* Memory that ends where nothing can be written. */
static char *before_end(size_t size)
{
    size_t pages = (size + PAGE - 1) / PAGE * PAGE;
    char *at = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(at != MAP_FAILED);
    must_equal(mprotect(at + pages, PAGE, PROT_NONE), 0);
    return at + pages - size;
}

/* ---- what is counted in the memory ---- */

static void read_long_trace(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_STACK_TRACE, 4, 64, 16);
    struct sta__stack_slot *slot = (struct sta__stack_slot *)map->stacks.slots;
    char *value = before_end(64);
    uint32_t key = 0;

    atomic_store(&slot->count, 100000);
    must_equal(sta_map_lookup(map, &key, value, 0), 0);
}

static void evict_from_nowhere(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_LRU_HASH, 4, 8, 16);
    uint64_t value = 1;

    for (uint32_t key = 0; key < 16; key++)
        must_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    for (uint32_t i = 0; i < 16; i++)
        atomic_store(&sta__hash_elem(&map->hash, i)->owner, UINT32_MAX - i);
    for (uint32_t key = 100; key < 200; key++)
        sta_map_update(map, &key, &value, BPF_ANY);
}

static int read_bytes(void *data, const void *record, size_t size)
{
    const volatile char *bytes = record;

    for (size_t i = 0; i < size; i++)
        *(int *)data += bytes[i];
    return 0;
}

static void consume_long_record(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, PAGE);
    struct sta__ring_header *header = (struct sta__ring_header *)map->ring.data;
    int sum = 0;

    atomic_store(&header->word, 64u << 20);
    atomic_store(map->ring.producer, UINT64_C(1) << 40);
    must_equal(sta_ring_consume(map, read_bytes, &sum), -EBADMSG);
}

/* The application has the page with the consumer's position. */
static void perf_tail_before_head(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, sta_map_cpus());
    static char data[60000];
    struct sta__perf_ring *ring;
    struct sta__lease lease;
    uint32_t cpu;

    must_equal(sta__lease_enter(&lease), 0);
    cpu = sta__lease_cpu();
    must_equal(sta__perf_ring_create(&ring, 1, cpu), 0);
    must_equal(sta__objects_set(map, &cpu, ring, BPF_ANY), 0);
    ring->page->data_tail = 1u << 30;
    must_equal(sta__perf_output(map, BPF_F_CURRENT_CPU, data, sizeof(data)), -ENOSPC);
    sta__lease_leave(&lease);
}

static atomic_bool is_over;

static void *flip_chain(void *data)
{
    struct sta_map *map = data;
    uint32_t first = atomic_load(&map->hash.buckets[0].first);

    while (!atomic_load(&is_over)) {
        atomic_store(&map->hash.buckets[0].first, first);
        atomic_store(&map->hash.buckets[0].first, STA__CHAIN_END);
    }
    return NULL;
}

static void read_changing_bucket(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 4, 8, 1);
    uint32_t key = 1, keys[4], batch, count;
    uint64_t value = 1, values[4];
    pthread_t thread;

    must_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    must_equal(pthread_create(&thread, NULL, flip_chain, map), 0);
    for (int i = 0; i < 100000; i++) {
        count = 4;
        sta_map_lookup_batch(map, NULL, &batch, keys, values, &count, 0);
        must(count <= 1);
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
}

/* A chain that leads into itself has no end. */
static void read_circular_bucket(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 4, 8, 1);
    uint32_t key = 1, keys[4], batch, count = 4;
    uint64_t value = 1, values[4];

    must_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    atomic_store(&sta__hash_elem(&map->hash, 0)->next, 0);
    sta_map_lookup_batch(map, NULL, &batch, keys, values, &count, 0);
    must(count <= 1);
}

/* Batches of maps that are not per CPU have values of one CPU. */
static void batch_per_cpu(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 64), *again = NULL;
    uint32_t *keys = malloc(64 * 4), batch, count = 64;
    char *values = before_end(64 * 4);

    map->head->attributes.leases = 1;
    if (sta_map_open_fd(&again, sta_map_fd(map), NULL) == 0) {
        sta_map_lookup_batch(again, NULL, &batch, keys, values, &count, 0);
        must_equal(count, 64);
    }
}

static void what_is_counted_there_is_not_believed(void **state)
{
    (void)state;
    survives(read_long_trace);
    survives(evict_from_nowhere);
    survives(consume_long_record);
    survives(perf_tail_before_head);
    survives(read_changing_bucket);
    survives(read_circular_bucket);
    survives(batch_per_cpu);
}

static void names_are_ended(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
    struct sta_map_info info = {.size = sizeof(info)};

    (void)state;
    memset(map->head->attributes.name, 'x', sizeof(map->head->attributes.name));
    assert_int_equal(sta_map_info(map, &info), 0);
    assert_int_equal(strnlen(info.name, sizeof(info.name)), sizeof(info.name) - 1);
    sta_map_close(map);
}

/* ---- what programs were verified with ---- */

static struct sta_map *maps[4];

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = maps[fd];
    return 0;
}

static struct sta_program *load_as(uint32_t type, const struct bpf_insn *insns, size_t count,
                                   unsigned flags)
{
    const struct sta_program_options options = {.size = sizeof(options),
                                                .type = type,
                                                .flags = flags,
                                                .find_map = find_map,
                                                .log = print_log};
    struct sta_program *program = NULL;

    must_equal(sta_program_load(&program, insns, count, &options), 0);
    return program;
}

static uint64_t run_one(struct sta_program *program)
{
    uint64_t ret = UINT64_MAX, ctx[8] = {0};

    must_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    return ret;
}

static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

/* values[constant]: for the verifier an index that fits. */
static const struct bpf_insn indexed[] = {
    WIDE_MAP(1, 2, 0, 0),  I(LDXDW, 2, 1, 0, 0), WIDE_MAP(3, 2, 1, 0),
    I(ADD64X, 3, 2, 0, 0), I(LDXDW, 0, 3, 0, 0), I(EXIT, 0, 0, 0, 0),
};

static void change_constants(void)
{
    struct sta_map *frozen = make_map_with(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG);
    struct sta_map *data = make_map(BPF_MAP_TYPE_ARRAY, 4, 16, 1), *again;
    uint64_t value = 8, values[2] = {1, 7}, *theirs;
    uint32_t key = 0;

    must_equal(sta_map_update(frozen, &key, &value, BPF_ANY), 0);
    must_equal(sta_map_update(data, &key, values, BPF_ANY), 0);
    theirs = mmap(NULL, frozen->size, PROT_READ | PROT_WRITE, MAP_SHARED, sta_map_fd(frozen), 0);
    must(theirs != MAP_FAILED);
    must_equal(sta_map_freeze(frozen), 0);
    must_equal(sta_map_open_fd(&again, sta_map_fd(frozen), NULL), 0);
    maps[1] = data;
    for (int i = 0; i < 4; i++) {
        struct sta_program *program;

        theirs[PAGE / 8] = 8;
        maps[0] = i / 2 ? again : frozen;
        program = load_as(BPF_PROG_TYPE_TRACEPOINT, indexed, sizeof(indexed) / sizeof(*indexed),
                          modes[i % 2]);
        must_equal(run_one(program), 7);
        theirs[PAGE / 8] = UINT64_C(1) << 40;
        must_equal(run_one(program), 7);
        must_equal(sta_map_lookup(maps[0], &key, &value, 0), 0);
        must_equal(value, 8);
    }
}

static void constants_stay(void **state)
{
    (void)state;
    survives(change_constants);
}

static struct sta_map *make_outer(struct sta_map *inner)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
                                            .key_size = 4,
                                            .value_size = 4,
                                            .max_entries = 2,
                                            .inner = inner};
    struct sta_map *outer = NULL;

    must_equal(sta_map_create(&outer, &options), 0);
    return outer;
}

/* *(u64 *)(lookup(lookup(map 0, &0), &0) + 56), or 3 */
static const struct bpf_insn through[] = {
    I(STW, 10, 0, -4, 0),     I(MOV64X, 2, 10, 0, 0),   I(ADD64K, 2, 0, 0, -4),
    WIDE_MAP(1, 1, 0, 0),     CALL_OF(map_lookup_elem), I(JEQ64K, 0, 0, 7, 0),
    I(MOV64X, 1, 0, 0, 0),    I(MOV64X, 2, 10, 0, 0),   I(ADD64K, 2, 0, 0, -4),
    CALL_OF(map_lookup_elem), I(JEQ64K, 0, 0, 2, 0),    I(LDXDW, 0, 0, 56, 0),
    I(EXIT, 0, 0, 0, 0),      I(MOV64K, 0, 0, 0, 3),    I(EXIT, 0, 0, 0, 0),
};

static void other_maps_in_maps(void)
{
    struct sta_map *large = make_map(BPF_MAP_TYPE_ARRAY, 4, 64, 4);
    struct sta_map *small = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    struct sta__map_attributes *attributes;
    struct sta_program *program;
    uint32_t key = 0;

    maps[0] = make_outer(large);
    attributes = &maps[0]->head->attributes;
    program = load_as(BPF_PROG_TYPE_TRACEPOINT, through, sizeof(through) / sizeof(*through), 0);
    must_equal(sta_map_set_map(maps[0], &key, large, 0), 0);
    must_equal(run_one(program), 0);

    /* Another process says that they are small. */
    attributes->inner_value_size = 8;
    must_equal(sta_map_set_map(maps[0], &key, small, 0), -EINVAL);
    must_equal(sta_map_set_map(maps[0], &key, large, 0), 0);

    /* It puts the number of one that is small. */
    must(sta__objects_get(maps[0], &key) == large);
    must_equal(sta_map_set_map(make_outer(small), &key, small, 0), 0);
    atomic_store(maps[0]->objects.ids, small->head->attributes.id);
    must_equal(run_one(program), 3);
}

/* Numbers of programs and rings lead to no maps, and the other way round. */
static void other_things_in_maps(void)
{
    struct sta_map *inner = make_map(BPF_MAP_TYPE_ARRAY, 4, 64, 4);
    struct sta_map *programs = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    struct sta_map *rings = make_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2);
    const struct sta_map *all[] = {NULL, programs, rings};
    struct sta__perf_ring *ring;
    struct sta_program *program;
    uint32_t key = 0;

    maps[0] = make_outer(inner);
    all[0] = maps[0];
    program = load_as(BPF_PROG_TYPE_TRACEPOINT, through, sizeof(through) / sizeof(*through), 0);
    must_equal(sta__perf_ring_create(&ring, 1, 0), 0);
    must_equal(sta_map_set_map(maps[0], &key, inner, 0), 0);
    must_equal(sta_map_set_program(programs, 0, program), 0);
    must_equal(sta__objects_set(rings, &key, ring, 0), 0);
    for (int from = 0; from < 3; from++) {
        for (int to = 0; to < 3; to++) {
            struct sta_map *map = (struct sta_map *)(uintptr_t)all[to];

            key = 1;
            atomic_store(&map->objects.ids[1], atomic_load(&all[from]->objects.ids[0]));
            must_equal(sta__objects_get(map, &key) != NULL, from == to);
            if (to == 1)
                must_equal(map->ops->tail_target(map, 1) != NULL, from == to);
            if (to == 0)
                must_equal(map->ops->lookup(map, &key) != NULL, from == to);
        }
    }
}

static void elements_are_what_was_verified(void **state)
{
    (void)state;
    survives(other_maps_in_maps);
    survives(other_things_in_maps);
}

/* lookup(map 0, &0) of an array per CPU is never NULL. */
static const struct bpf_insn never_null[] = {
    I(STW, 10, 0, -4, 0),     I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4), WIDE_MAP(1, 1, 0, 0),
    CALL_OF(map_lookup_elem), I(LDXDW, 0, 0, 0, 0),   I(EXIT, 0, 0, 0, 0),
};

static void fewer_cpus(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 600), *again = NULL;
    struct sta_map *other;
    struct sta__map_head *head;
    uint32_t cpus = map->cpus;
    int fd = (int)syscall(SYS_memfd_create, "fewer", MFD_ALLOW_SEALING);

    if (cpus < 2)
        return;
    /* One of another size, whose attributes say that it has one CPU. */
    must(fd >= 0);
    must_equal(ftruncate(fd, PAGE + (600 * 8 + PAGE - 1) / PAGE * PAGE), 0);
    must_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    head = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(head != MAP_FAILED);
    memcpy(head, map->head, PAGE);
    head->size = PAGE + (600 * 8 + PAGE - 1) / PAGE * PAGE;
    head->attributes.cpus = 1;
    must_equal(sta_map_open_fd(&other, fd, NULL), -EINVAL);
    must_equal(sta_map_open_fd(&again, sta_map_fd(map), NULL), 0);
}

/* Another process that leases CPUs says that there are more of them. */
static void more_cpus(void)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
    struct sta__lease_set *set = atomic_load(&sta__leases);
    struct sta__lease leases[64];

    set->cpus = 1u << 20;
    for (uint32_t cpu = 0; cpu < map->cpus && cpu < 64; cpu++) {
        must_equal(sta__lease_enter(&leases[cpu]), 0);
        must(leases[cpu].cpu < map->cpus);
    }
    if (map->cpus < 63)
        must_equal(sta__lease_enter(&leases[63]), -EBUSY);
}

static void cpus_are_those_of_the_map(void **state)
{
    (void)state;
    survives(fewer_cpus);
    survives(more_cpus);
}

/* ---- and nobody is hostile ---- */

/* Maps per CPU in a map of maps may be shorter than the one that it was made with. */
static void inner_arrays_may_be_short(void **state)
{
    /* lookup(lookup(map 0, &0), &3), and no look whether it is there. */
    static const struct bpf_insn unchecked[] = {
        I(STW, 10, 0, -8, 0),   I(MOV64X, 2, 10, 0, 0),   I(ADD64K, 2, 0, 0, -8),
        WIDE_MAP(1, 1, 0, 0),   CALL_OF(map_lookup_elem), I(JEQ64K, 0, 0, 6, 0),
        I(MOV64X, 1, 0, 0, 0),  I(STW, 10, 0, -8, 3),     I(MOV64X, 2, 10, 0, 0),
        I(ADD64K, 2, 0, 0, -8), CALL_OF(map_lookup_elem), I(LDXDW, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };
    const struct sta_program_options options = {
        .size = sizeof(options), .find_map = find_map, .log = print_log};
    struct sta_map *inner = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4);
    struct sta_map *shorter = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
    struct sta_program *program = NULL;
    uint32_t key = 0;

    (void)state;
    maps[0] = make_outer(inner);
    assert_int_equal(sta_map_set_map(maps[0], &key, shorter, 0), 0);
    assert_int_equal(
        sta_program_load(&program, unchecked, sizeof(unchecked) / sizeof(*unchecked), &options),
        -EACCES);
    sta_map_close(maps[0]);
    sta_map_close(inner);
    sta_map_close(shorter);
    /* Of its own it is as long as it says. */
    maps[0] = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4);
    program =
        load_as(BPF_PROG_TYPE_TRACEPOINT, never_null, sizeof(never_null) / sizeof(*never_null), 0);
    assert_int_equal(run_one(program), 0);
    sta_program_free(program);
    sta_map_close(maps[0]);
}

/* What a tail call leads to may read more of the context than there is. */
static void tail_calls_end_at_a_short_context(void **state)
{
    static const struct bpf_insn leaves[] = {
        WIDE_MAP(2, 1, 0, 0),  I(MOV64K, 3, 0, 0, 0), CALL_OF(tail_call),
        I(MOV64K, 0, 0, 0, 5), I(EXIT, 0, 0, 0, 0),
    };
    static const struct bpf_insn reads[] = {I(LDXDW, 0, 1, 160, 0), I(MOV64K, 0, 0, 0, 6),
                                            I(EXIT, 0, 0, 0, 0)};
    uint64_t ret, ctx[21] = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct sta_program *from, *to;

        maps[0] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
        from = load_as(BPF_PROG_TYPE_TRACEPOINT, leaves, sizeof(leaves) / sizeof(*leaves),
                       modes[i % 2]);
        to = load_as(BPF_PROG_TYPE_TRACEPOINT, reads, sizeof(reads) / sizeof(*reads), modes[i / 2]);
        assert_int_equal(sta_map_set_program(maps[0], 0, to), 0);
        assert_int_equal(sta_program_run(from, ctx, 64, &ret), 0);
        assert_int_equal(ret, 5);
        assert_int_equal(sta_program_run(from, ctx, sizeof(ctx), &ret), 0);
        assert_int_equal(ret, 6);
        sta_program_free(from);
        sta_program_free(to);
        sta_map_close(maps[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted_there_is_not_believed),
        cmocka_unit_test(names_are_ended),
        cmocka_unit_test(constants_stay),
        cmocka_unit_test(elements_are_what_was_verified),
        cmocka_unit_test(cpus_are_those_of_the_map),
        cmocka_unit_test(inner_arrays_may_be_short),
        cmocka_unit_test(tail_calls_end_at_a_short_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
