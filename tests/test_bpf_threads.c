/* SPDX-License-Identifier: MIT */
/*
 * bpf(2) from several threads at once, on the same descriptors: some make objects, put them into
 * each other, attach and run programs, others close the descriptors meanwhile or change the
 * attributes while they are read. Nothing breaks, nothing is left. All calls go through the
 * dispatcher, as those of an application do.
 */
#include "core.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <time.h>

#include <sta/bpfcall.h>

#include <sta/map.h>

#include "bpf_calls.h"

#undef COUNT
#include "vm/build.h"

#define THREADS   4
#define SLOTS     48
#define ROUNDS    (UNDER_TSAN ? 3000 : 12000)
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static struct sta *sta;
static _Atomic int slots[SLOTS]; /* descriptors; -1: none */
static _Atomic long done[64];    /* calls that succeeded, by command */
static union bpf_attr shared_attr;

static int64_t real_call(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e,
                         int64_t f)
{
    long result = syscall(nr, a, b, c, d, e, f);

    return result < 0 ? -errno : result;
}

static int64_t call(int64_t nr, int64_t a, int64_t b, int64_t c)
{
    return sta_dispatch(sta, nr, a, b, c, 0, 0, 0);
}

/* ---- chance ---- */

static __thread uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % limit;
}

static int some_fd(void)
{
    for (int i = 0; i < 8; i++) {
        int fd = atomic_load(&slots[below(SLOTS)]);

        if (fd >= 0)
            return fd;
    }
    return 1000;
}

/* ---- what they do ---- */

static void close_slot(uint32_t which)
{
    int fd = atomic_exchange(&slots[which], -1);

    if (fd >= 0)
        call(SYS_close, fd, 0, 0);
}

static void keep(int64_t fd)
{
    uint32_t which = below(SLOTS);
    int old;

    if (fd < 0)
        return;
    old = atomic_exchange(&slots[which], (int)fd);
    if (old >= 0)
        call(SYS_close, old, 0, 0);
}

static int64_t bpf(int cmd, union bpf_attr *attr)
{
    int64_t result = call(SYS_bpf, cmd, (intptr_t)attr, sizeof(*attr));

    if (result >= 0)
        atomic_fetch_add(&done[cmd], 1);
    return result;
}

static const struct {
    uint32_t type, key, value, entries;
} kinds[] = {
    {BPF_MAP_TYPE_ARRAY, 4, 8, 4},        {BPF_MAP_TYPE_HASH, 4, 8, 16},
    {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4}, {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4},
    {BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 4}, {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4},
    {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096},   {BPF_MAP_TYPE_QUEUE, 0, 8, 4},
    {BPF_MAP_TYPE_LPM_TRIE, 8, 8, 4},     {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4},
};

static void create(void)
{
    uint32_t kind = below(LENGTH(kinds));
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = kinds[kind].type;
    attr.key_size = kinds[kind].key;
    attr.value_size = kinds[kind].value;
    attr.max_entries = kinds[kind].entries;
    attr.map_flags = attr.map_type == BPF_MAP_TYPE_LPM_TRIE ? BPF_F_NO_PREALLOC : 0;
    attr.inner_map_fd = kinds[kind].value == 4 ? (uint32_t)some_fd() : 0;
    if (attr.map_type == BPF_MAP_TYPE_PROG_ARRAY)
        attr.inner_map_fd = 0;
    keep(bpf(BPF_MAP_CREATE, &attr));
}

/* Elements are numbers and descriptors at once. */
static void change(void)
{
    static const int commands[] = {BPF_MAP_UPDATE_ELEM, BPF_MAP_UPDATE_ELEM,
                                   BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
                                   BPF_MAP_LOOKUP_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM};
    uint64_t value[128] = {(uint64_t)some_fd()};
    uint32_t key[2] = {below(4), 0};
    union bpf_attr attr;
    int command = commands[below(LENGTH(commands))];

    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)some_fd();
    attr.key = below(8) ? (uintptr_t)key : 0;
    if (command != BPF_MAP_DELETE_ELEM)
        attr.value = (uintptr_t)value;
    bpf(command, &attr);
}

#define HELPER(name) I(CALL, 0, 0, 0, BPF_FUNC_##name)

/* An element of an element; a tail call. */
static void load(void)
{
    struct bpf_insn walks[] = {
        I(STW, 10, 0, -4, (int32_t)below(4)),
        I(MOV64X, 2, 10, 0, 0),
        I(ADD64K, 2, 0, 0, -4),
        WIDE_MAP(1, 1, some_fd(), 0),
        HELPER(map_lookup_elem),
        I(JEQ64K, 0, 0, 8, 0),
        I(MOV64X, 1, 0, 0, 0),
        I(MOV64X, 2, 10, 0, 0),
        I(ADD64K, 2, 0, 0, -4),
        HELPER(map_lookup_elem),
        I(JEQ64K, 0, 0, 3, 0),
        I(LDXDW, 1, 0, 0, 0),
        I(ADD64K, 1, 0, 0, 1),
        I(STXDW, 0, 1, 0, 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };
    struct bpf_insn leaves[] = {
        WIDE_MAP(2, 1, some_fd(), 0),
        I(MOV64K, 3, 0, 0, (int32_t)below(4)),
        HELPER(tail_call),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };
    bool is_tail = below(2);
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    attr.insns = is_tail ? (uintptr_t)leaves : (uintptr_t)walks;
    attr.insn_cnt = is_tail ? LENGTH(leaves) : LENGTH(walks);
    attr.license = (uintptr_t) "GPL";
    keep(bpf(BPF_PROG_LOAD, &attr));
}

static void attach_one(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.raw_tracepoint.name = (uintptr_t)(below(2) ? "sys_enter" : "sys_exit");
    attr.raw_tracepoint.prog_fd = (uint32_t)some_fd();
    keep(bpf(BPF_RAW_TRACEPOINT_OPEN, &attr));
}

static void run_one(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.test.prog_fd = (uint32_t)some_fd();
    bpf(BPF_PROG_TEST_RUN, &attr);
    call(SYS_getppid, 0, 0, 0);
}

static void look_around(void)
{
    static const int next[] = {BPF_MAP_GET_NEXT_ID, BPF_PROG_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID};
    static const int get[] = {BPF_MAP_GET_FD_BY_ID, BPF_PROG_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID};
    uint32_t which = below(3);
    union bpf_attr attr;
    char info[256];

    memset(&attr, 0, sizeof(attr));
    attr.start_id = which ? below(64) : below(INT32_MAX);
    if (bpf(next[which], &attr) == 0) {
        uint32_t id = attr.next_id;

        memset(&attr, 0, sizeof(attr));
        attr.map_id = id;
        keep(bpf(get[which], &attr));
    }
    memset(&attr, 0, sizeof(attr));
    attr.info.bpf_fd = (uint32_t)some_fd();
    attr.info.info_len = sizeof(info);
    attr.info.info = (uintptr_t)info;
    memset(info, 0, sizeof(info));
    bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/* Attributes that others write to at the same time. */
static void use_shared(void)
{
    static const int commands[] = {BPF_MAP_CREATE,         BPF_MAP_UPDATE_ELEM, BPF_MAP_LOOKUP_ELEM,
                                   BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_TEST_RUN,   BPF_MAP_FREEZE};
    static char room[4096];
    uint32_t *words = (uint32_t *)&shared_attr;
    int command = commands[below(LENGTH(commands))];
    int64_t fd;

    for (int i = 0; i < 4; i++)
        __atomic_store_n(&words[below(10)], below(3) ? below(8) : (uint32_t)some_fd(),
                         __ATOMIC_RELAXED);
    if (command != BPF_MAP_CREATE && below(2))
        __atomic_store_n((uint64_t *)words + 1 + below(3), (uintptr_t)room, __ATOMIC_RELAXED);
    fd = bpf(command, &shared_attr);
    if (command == BPF_MAP_CREATE)
        keep(fd);
}

static void duplicate(void)
{
    int64_t fd = call(SYS_dup, some_fd(), 0, 0);

    keep(fd);
}

static void *play(void *seed)
{
    static void (*const all[])(void) = {create,  create,  change,      change,     change,
                                        load,    load,    attach_one,  run_one,    run_one,
                                        run_one, run_one, look_around, use_shared, duplicate};

    state = (uintptr_t)seed;
    for (int i = 0; i < ROUNDS; i++) {
        if (below(6) == 0)
            close_slot(below(SLOTS));
        else
            all[below(LENGTH(all))]();
    }
    return NULL;
}

static int open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void play_all(uint64_t seed)
{
    pthread_t threads[THREADS];

    for (uint64_t i = 0; i < THREADS; i++)
        threads[i] = (pthread_create(&threads[i], NULL, play, (void *)(uintptr_t)(seed + i * 977)),
                      threads[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < SLOTS; i++)
        close_slot(i);
}

static void threads_share_descriptors(void **unused)
{
    const char *given = getenv("STA_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    int fds, count = 0;

    (void)unused;
    print_message("STA_TEST_SEED=%#llx\n", (unsigned long long)seed);
    for (int i = 0; i < SLOTS; i++)
        atomic_init(&slots[i], -1);
    assert_int_equal(sta_new(&sta, NULL), 0);
    sta_set_original_syscall(sta, real_call);
    assert_int_equal(sta_emulate_start(sta, NULL), 0);
    state = seed;
    create(); /* what is there once for the process is there now */
    close_slot(0);
    for (uint32_t i = 0; i < SLOTS; i++)
        close_slot(i);
    fds = open_fds();
    play_all(seed);
    for (int cmd = 0; cmd < 64; cmd++)
        count += atomic_load(&done[cmd]) > 0;
    assert_in_range(count, 10, 64);
    assert_int_equal(sta_emulate_stop(sta), 0);
    sta_free(sta);
    assert_in_range(open_fds(), fds - 4, fds + 4);
}

/* ---- a map of another's ---- */

static struct sta__bpf *receiver;
static int received;
static pthread_barrier_t together;

static void *receive(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&together);
    sta__fds_put(sta__fds_get(receiver, received));
    return NULL;
}

static void a_map_becomes_known_once(void **unused)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = BPF_MAP_TYPE_HASH,
                                            .key_size = 4,
                                            .value_size = 8,
                                            .max_entries = 4};

    (void)unused;
    for (int i = 0; i < 300; i++) {
        struct sta_map *map = NULL;
        pthread_t threads[THREADS];
        char path[64];

        receiver = new_bpf();
        assert_int_equal(sta_map_create(&map, &options), 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", sta_map_fd(map));
        received = open(path, O_RDWR);
        assert_true(received >= 0);
        assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, receive, NULL), 0);
        for (int t = 0; t < THREADS; t++)
            pthread_join(threads[t], NULL);
        pthread_barrier_destroy(&together);
        assert_int_equal(close_fd(receiver, received), 0);
        assert_false(sta__fds_any(receiver));
        free_bpf(receiver);
        sta_map_close(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_descriptors),
        cmocka_unit_test(a_map_becomes_known_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
