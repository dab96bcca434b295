/* SPDX-License-Identifier: MIT */
/* bpf(2) with attributes of chance: nothing breaks, nothing is left. */
#include "core.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "bpf_calls.h"

#define ROUNDS    40000
#define ROOM      (1u << 20)
#define FDS_MAX   64
#define COMMANDS  40
#define SEED_NAME "STA_TEST_SEED"

static uint64_t chance;

static uint64_t next_random(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance;
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(next_random() % limit);
}

struct play {
    struct sta__bpf *bpf;
    char *room; /* the application's memory; behind it is none */
    int fds[FDS_MAX];
    int commands[FDS_MAX]; /* that they were made by */
    int fd_count;
    long done[COMMANDS]; /* calls that succeeded, by command */
};

static uint32_t some_fd(const struct play *play)
{
    if (play->fd_count && below(8))
        return (uint32_t)play->fds[below((uint32_t)play->fd_count)];
    return below(4) ? below(20) : (uint32_t)next_random();
}

/* One that was made by this command, most of the time. */
static uint32_t fd_by(const struct play *play, int cmd)
{
    for (int tries = 0; tries < 20 && play->fd_count; tries++) {
        uint32_t which = below((uint32_t)play->fd_count);

        if (play->commands[which] == cmd)
            return (uint32_t)play->fds[which];
    }
    return some_fd(play);
}

static uint32_t some_number(const struct play *play)
{
    static const uint32_t numbers[] = {0, 1, 2, 4, 8, 12, 16, 64, 4096, 8192, 65536, UINT32_MAX};

    switch (below(4)) {
    case 0:
        return some_fd(play);
    case 1:
        return below(40);
    default:
        return numbers[below(COUNT(numbers))];
    }
}

static uint64_t some_pointer(const struct play *play)
{
    switch (below(8)) {
    case 0:
        return 0;
    case 1:
        return next_random();
    case 2:
        return (uintptr_t)play->room + ROOM - below(64); /* ends soon */
    default:
        return (uintptr_t)play->room + below(ROOM / 2) / 8 * 8;
    }
}

static void make_map_attr(union bpf_attr *attr)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_HASH,         BPF_MAP_TYPE_ARRAY,
                                     BPF_MAP_TYPE_LRU_HASH,     BPF_MAP_TYPE_PERCPU_HASH,
                                     BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PROG_ARRAY,
                                     BPF_MAP_TYPE_ARRAY};
    static const uint32_t keys[] = {0, 4, 4, 4, 4, 4, 8, 20}, values[] = {0, 4, 4, 4, 8, 8, 80};

    attr->map_type = below(4) ? types[below(COUNT(types))] : below(36);
    attr->key_size = keys[below(COUNT(keys))];
    attr->value_size = values[below(COUNT(values))];
    attr->max_entries = below(4) ? 1u << below(13) : below(100);
    attr->map_flags = below(5) ? 0 : 1u << below(14);
}

static const struct bpf_insn calls_nothing[] = {{.code = BPF_ALU64 | BPF_MOV},
                                                {.code = BPF_JMP | BPF_EXIT}};
static const struct bpf_insn uses_map[] = {
    {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
    {0},
    {.code = BPF_ALU64 | BPF_MOV},
    {.code = BPF_JMP | BPF_EXIT},
};

static void make_program_attr(const struct play *play, union bpf_attr *attr)
{
    static const uint32_t types[] = {BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT,
                                     BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_SOCKET_FILTER};
    struct bpf_insn *insns = (struct bpf_insn *)play->room;

    memcpy(insns, uses_map, sizeof(uses_map));
    insns[0].imm = (int32_t)fd_by(play, BPF_MAP_CREATE);
    attr->prog_type = types[below(COUNT(types))];
    attr->insns = (uintptr_t)(below(2) ? insns : calls_nothing);
    attr->insn_cnt = attr->insns == (uintptr_t)insns ? COUNT(uses_map) : COUNT(calls_nothing);
    attr->license = (uintptr_t) "GPL";
}

static void make_element_attr(const struct play *play, int cmd, union bpf_attr *attr)
{
    attr->map_fd = fd_by(play, BPF_MAP_CREATE);
    if (cmd == BPF_MAP_FREEZE)
        return;
    attr->key = below(4)   ? (uintptr_t)play->room + below(64) * 8
                : below(2) ? 0
                           : some_pointer(play);
    if (cmd != BPF_MAP_DELETE_ELEM)
        attr->value = some_pointer(play);
    if (cmd != BPF_MAP_DELETE_ELEM && cmd != BPF_MAP_GET_NEXT_KEY)
        attr->flags = below(4) ? 0 : below(6);
    if (below(2))
        *(uint32_t *)(play->room + ROOM / 2) = some_fd(play); /* a value of maps of things */
    if (below(8) == 0)
        attr->value = (uintptr_t)play->room + ROOM / 2;
}

static void make_batch_attr(const struct play *play, union bpf_attr *attr)
{
    attr->batch.map_fd = fd_by(play, BPF_MAP_CREATE);
    attr->batch.in_batch = below(2) ? 0 : some_pointer(play);
    attr->batch.out_batch = some_pointer(play);
    attr->batch.keys = some_pointer(play);
    attr->batch.values = some_pointer(play);
    attr->batch.count = below(64);
}

static void make_link_attr(const struct play *play, int cmd, union bpf_attr *attr)
{
    if (cmd == BPF_RAW_TRACEPOINT_OPEN) {
        attr->raw_tracepoint.name = (uintptr_t)(below(2) ? "sys_enter" : "sys_exit");
        attr->raw_tracepoint.prog_fd = fd_by(play, BPF_PROG_LOAD);
    } else if (cmd == BPF_LINK_CREATE) {
        attr->link_create.prog_fd = fd_by(play, BPF_PROG_LOAD);
        attr->link_create.target_fd = some_fd(play);
        attr->link_create.attach_type = BPF_PERF_EVENT;
    } else {
        attr->link_update.link_fd = fd_by(play, BPF_RAW_TRACEPOINT_OPEN);
    }
}

static void make_btf_attr(const struct play *play, union bpf_attr *attr)
{
    static const uint32_t btf[] = {/* header: an int */
                                   0x0001eb9f, 24, 0, 16, 16, 8,
                                   /* the int, and strings */
                                   1, 0x01000000, 4, 32, 0x746e6900, 0};

    memcpy(play->room + ROOM / 2, btf, sizeof(btf));
    if (below(2))
        ((uint32_t *)(play->room + ROOM / 2))[below(COUNT(btf))] = some_number(play);
    attr->btf = (uintptr_t)play->room + ROOM / 2;
    attr->btf_size = sizeof(btf);
}

static void make_id_attr(const struct play *play, int cmd, union bpf_attr *attr)
{
    struct sta__bpf *bpf = play->bpf;
    enum sta__fd_kind kind = below(STA__FD_KINDS);

    attr->start_id =
        below(3) ? sta__fds_next_id(bpf, kind, below(2) ? 0 : below(INT32_MAX)) : below(200);
    if (cmd == BPF_OBJ_GET_INFO_BY_FD) {
        attr->info.bpf_fd = some_fd(play);
        attr->info.info_len = below(300);
        attr->info.info = some_pointer(play);
    }
}

/* Good for the command, or nearly so. */
static void make_attr(const struct play *play, int cmd, union bpf_attr *attr)
{
    memset(attr, 0, sizeof(*attr));
    switch (cmd) {
    case BPF_MAP_CREATE:
        return make_map_attr(attr);
    case BPF_PROG_LOAD:
        return make_program_attr(play, attr);
    case BPF_MAP_LOOKUP_ELEM:
    case BPF_MAP_UPDATE_ELEM:
    case BPF_MAP_DELETE_ELEM:
    case BPF_MAP_GET_NEXT_KEY:
    case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
    case BPF_MAP_FREEZE:
        return make_element_attr(play, cmd, attr);
    case BPF_MAP_LOOKUP_BATCH:
    case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
    case BPF_MAP_UPDATE_BATCH:
    case BPF_MAP_DELETE_BATCH:
        return make_batch_attr(play, attr);
    case BPF_RAW_TRACEPOINT_OPEN:
    case BPF_LINK_CREATE:
    case BPF_LINK_UPDATE:
    case BPF_LINK_DETACH:
        return make_link_attr(play, cmd, attr);
    case BPF_BTF_LOAD:
        return make_btf_attr(play, attr);
    case BPF_PROG_BIND_MAP:
        attr->prog_bind_map.prog_fd = fd_by(play, BPF_PROG_LOAD);
        attr->prog_bind_map.map_fd = fd_by(play, BPF_MAP_CREATE);
        return;
    case BPF_PROG_TEST_RUN:
        attr->test.prog_fd = fd_by(play, BPF_PROG_LOAD);
        attr->test.ctx_size_in = below(2) * 8;
        attr->test.ctx_in = attr->test.ctx_size_in ? some_pointer(play) : 0;
        return;
    default:
        return make_id_attr(play, cmd, attr);
    }
}

static void spoil(const struct play *play, union bpf_attr *attr)
{
    uint32_t count = below(3);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = below(sizeof(*attr) / 4);

        if (below(2))
            ((uint32_t *)attr)[at] = some_number(play);
        else
            ((uint64_t *)attr)[at / 2] = some_pointer(play);
    }
}

static bool gives_fd(int cmd)
{
    return cmd == BPF_MAP_CREATE || cmd == BPF_PROG_LOAD || cmd == BPF_BTF_LOAD ||
           cmd == BPF_LINK_CREATE || cmd == BPF_RAW_TRACEPOINT_OPEN ||
           cmd == BPF_MAP_GET_FD_BY_ID || cmd == BPF_PROG_GET_FD_BY_ID ||
           cmd == BPF_BTF_GET_FD_BY_ID || cmd == BPF_LINK_GET_FD_BY_ID || cmd == BPF_ENABLE_STATS;
}

static void close_one(struct play *play)
{
    uint32_t which = below((uint32_t)play->fd_count);

    must_equal(close_fd(play->bpf, play->fds[which]), 0);
    play->fds[which] = play->fds[--play->fd_count];
    play->commands[which] = play->commands[play->fd_count];
}

/* Sizes that are not one of ours would take all memory there is. */
static bool is_too_large(int cmd, const union bpf_attr *attr)
{
    return cmd == BPF_MAP_CREATE && (attr->max_entries > 65536 || attr->value_size > 65536);
}

static void one_round(struct play *play)
{
    int cmd = (int)below(COMMANDS);
    union bpf_attr attr;
    long result;

    make_attr(play, cmd, &attr);
    if (below(3) == 0)
        spoil(play, &attr);
    if (is_too_large(cmd, &attr))
        return;
    result = sta__bpf_call(play->bpf, cmd, below(100) ? (void *)&attr : (void *)some_pointer(play),
                           below(20) ? sizeof(attr) : below(200));
    play->done[cmd] += result >= 0;
    if (result >= 0 && gives_fd(cmd)) {
        play->commands[play->fd_count] = cmd;
        play->fds[play->fd_count++] = (int)result;
    }
    while (play->fd_count > FDS_MAX - 2 || (play->fd_count && below(30) == 0))
        close_one(play);
}

static char *memory_with_an_end(void)
{
    char *room =
        mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(room != MAP_FAILED);
    assert_int_equal(mprotect(room + ROOM, 4096, PROT_NONE), 0);
    return room;
}

static int open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Chance has to get somewhere: nearly all commands that can succeed did so. */
static void check_variety(const struct play *play)
{
    int count = 0;

    for (int cmd = 0; cmd < COMMANDS; cmd++)
        count += play->done[cmd] > 0;
    assert_in_range(count, 17, COMMANDS);
}

static void play_rounds(int rounds)
{
    struct play play = {.bpf = new_bpf(), .room = memory_with_an_end()};

    for (uint32_t i = 0; i < ROOM / 8; i++)
        ((uint64_t *)play.room)[i] = below(2) ? below(8) : next_random();
    for (int i = 0; i < rounds; i++)
        one_round(&play);
    while (play.fd_count)
        close_one(&play);
    if (rounds == ROUNDS)
        check_variety(&play);
    sta__fds_ask_again(play.bpf);
    assert_false(sta__fds_any(play.bpf));
    free_bpf(play.bpf);
    munmap(play.room, ROOM + 4096);
}

static void nothing_breaks_and_nothing_is_left(void **state)
{
    const char *seed = getenv(SEED_NAME);
    int fds;

    (void)state;
    chance = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    print_message("%s=%#llx\n", SEED_NAME, (unsigned long long)chance);
    play_rounds(ROUNDS / 10); /* what is there once for the process is there now */
    fds = open_fds();
    play_rounds(ROUNDS);
    assert_int_equal(open_fds(), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_breaks_and_nothing_is_left)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
