/* SPDX-License-Identifier: MIT */
#include "verifier/both.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "ebpf/code.h"
#include "ebpf/verify.h"
#include "kernel_map.h"
#include "verifier/btf.h"
#include "verifier/concrete.h"

const uint8_t both_rodata[64] = {
    1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x80, 5, 0, 0xfe, 0xff, 0xff, 0xff, /* 0: 1; 8: -.. */
    8, 0, 0, 0, 0, 0, 0, 0, 64,   0,    0, 0, 0,    0,    0,    0x80, 'f', 'o', 'o', '%', 'd', 0,
};

static uint8_t data[64], read_only_data[64], locked_data[16];

/* In the order of enum both_map. */
static struct sta_map maps[MAP_COUNT] = {
    {.type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 48, .max_entries = 16},
    {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 64, .max_entries = 4},
    {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 64, .max_entries = 1, .values = data},
    {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096},
    {.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 4},
    {.type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = 64,
     .max_entries = 1,
     .flags = BPF_F_RDONLY_PROG,
     .values = (void *)(uintptr_t)both_rodata,
     .is_frozen = true},
    {.type = BPF_MAP_TYPE_PROG_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 4},
    {.type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4, .value_size = 16, .max_entries = 4},
    {.type = BPF_MAP_TYPE_STACK_TRACE, .key_size = 4, .value_size = 64, .max_entries = 16},
    {.type = BPF_MAP_TYPE_QUEUE, .value_size = 16, .max_entries = 4},
    {.type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = 64,
     .max_entries = 1,
     .flags = BPF_F_RDONLY_PROG,
     .values = read_only_data},
    {.type = BPF_MAP_TYPE_HASH,
     .key_size = 4,
     .value_size = 16,
     .max_entries = 4,
     .has_lock = true,
     .lock_at = 4},
    {.type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = 16,
     .max_entries = 1,
     .has_lock = true,
     .lock_at = 8,
     .values = locked_data},
    {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
     .key_size = 4,
     .value_size = 4,
     .max_entries = 4,
     .inner = &maps[MAP_HASH]},
};

static int find_map(void *unused, int index, int is_index, struct sta_map **out)
{
    (void)unused;
    if (is_index || index < 0 || index >= MAP_COUNT)
        return -EBADF;
    *out = &maps[index];
    return 0;
}

/* The decoder's reason, as text. */
static void note(void *verdict, enum sta_log_level level, const char *message)
{
    struct both_verdict *v = verdict;

    (void)level;
    if (v->log && v->log_size && !v->log[0])
        snprintf(v->log, v->log_size, "%s\n", message);
}

void both_ours(const struct bpf_insn *insns, size_t count, uint32_t type, uint32_t context_limit,
               uint32_t log_level, struct both_verdict *verdict)
{
    const struct sta__map_finder finder = {find_map, NULL};
    const struct sta__log log = {note, verdict};
    struct sta__verify_options options = {.type = type,
                                          .context_limit = context_limit,
                                          .allow_missing_helpers = true,
                                          .log_buf = verdict->log,
                                          .log_size = verdict->log_size,
                                          .log_level = log_level};
    struct sta__verify_result result;
    struct sta__code code;

    if (verdict->log && verdict->log_size)
        verdict->log[0] = 0;
    verdict->err = sta__code_decode(&code, insns, count, &finder, &log);
    verdict->is_malformed = verdict->err != 0;
    if (verdict->err)
        return;
    verdict->err = sta__verify(&code, &options, &result, &log);
    verdict->processed = result.processed;
    verdict->wrong = NULL;
    verdict->is_dead = verdict->watched < count && (code.marks[verdict->watched] & STA__MARK_DEAD);
    for (uint64_t seed = 1; !verdict->err && !verdict->wrong && seed <= verdict->runs; seed++)
        verdict->wrong = concrete_run(&code, &result, seed, &verdict->wrong_insn);
    sta__code_free(&code);
}

/* ---- the kernel ---- */

static int map_fds[MAP_COUNT];

static long bpf_call(int command, union bpf_attr *attr)
{
    long result = syscall(SYS_bpf, command, attr, sizeof(*attr));

    return result < 0 ? -errno : result;
}

static void wake(int unused)
{
    (void)unused;
}

/* The kernel's verifier gives up with -EAGAIN where a signal waits. There are programs of a hundred
 * instructions that it takes minutes for. */
static long load(union bpf_attr *attr)
{
    const struct itimerval limit = {{1, 0}, {BOTH_SECONDS, 0}}, none = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = wake};
    struct sigaction before;
    long fd;

    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &limit, NULL);
    fd = bpf_call(BPF_PROG_LOAD, attr);
    setitimer(ITIMER_REAL, &none, NULL);
    sigaction(SIGALRM, &before, NULL);
    return fd;
}

static long create_locked(const struct sta_map *map)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = map->type,
                                            .key_size = map->key_size,
                                            .value_size = map->value_size,
                                            .max_entries = map->max_entries,
                                            .has_spin_lock = 1,
                                            .spin_lock_at = map->lock_at};

    return kernel_map_create(&options);
}

static long create_map(int index)
{
    const struct sta_map *map = &maps[index];
    union bpf_attr attr;
    uint32_t key = 0;
    long fd;

    if (map->has_lock)
        return create_locked(map);

    memset(&attr, 0, sizeof(attr));
    attr.map_type = map->type;
    attr.key_size = map->key_size;
    attr.value_size = map->value_size;
    attr.max_entries = map->max_entries;
    attr.map_flags = map->flags;
    if (map->inner)
        attr.inner_map_fd = (uint32_t)map_fds[MAP_HASH];
    fd = bpf_call(BPF_MAP_CREATE, &attr);
    if (fd < 0 || !map->is_frozen)
        return fd;
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)fd;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)map->values;
    if (bpf_call(BPF_MAP_UPDATE_ELEM, &attr) < 0)
        return -EINVAL;
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)fd;
    return bpf_call(BPF_MAP_FREEZE, &attr) < 0 ? -EINVAL : fd;
}

const char *both_no_kernel(void)
{
    static bool asked;
    static const char *why;
    struct bpf_insn empty[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
    struct both_verdict verdict = {0};

    if (asked)
        return why;
    asked = true;
    if (geteuid() != 0)
        return why = "only root can ask the kernel's verifier";
    for (int i = 0; i < MAP_COUNT; i++) {
        map_fds[i] = (int)create_map(i);
        if (map_fds[i] < 0)
            return why = "the kernel makes no maps for us";
    }
    both_kernels(empty, 2, BPF_PROG_TYPE_TRACEPOINT, 0, &verdict);
    if (verdict.err)
        why = "the kernel loads no programs for us";
    return why;
}

/* The kernel gives maps with locks to no program that traces; to those of traffic control it does,
 * and they may call as much of what matters here. */
static uint32_t kernels_type(const struct bpf_insn *insns, size_t count, uint32_t type)
{
    for (size_t i = 0; i < count; i++) {
        if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
            (insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) &&
            (insns[i].imm == MAP_LOCKED || insns[i].imm == MAP_LOCK))
            return BPF_PROG_TYPE_SCHED_CLS;
    }
    return type;
}

static void name_maps(struct bpf_insn *insns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
            continue;
        if ((insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) &&
            insns[i].imm >= 0 && insns[i].imm < MAP_COUNT)
            insns[i].imm = map_fds[insns[i].imm];
        i++;
    }
}

void both_kernels(const struct bpf_insn *insns, size_t count, uint32_t type, uint32_t log_level,
                  struct both_verdict *verdict)
{
    struct bpf_insn *copy = malloc(count * sizeof(*copy));
    struct btf_of_program btf = {.fd = -1};
    union bpf_attr attr;
    long fd;

    memset(&attr, 0, sizeof(attr));
    memcpy(copy, insns, count * sizeof(*copy));
    name_maps(copy, count);
    attr.prog_type = kernels_type(insns, count, type);
    attr.insns = (uintptr_t)copy;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uintptr_t) "GPL";
    if (log_level && verdict->log && verdict->log_size) {
        verdict->log[0] = 0;
        attr.log_level = log_level;
        attr.log_buf = (uintptr_t)verdict->log;
        attr.log_size = (uint32_t)verdict->log_size;
    }
    /* Callbacks, and tail calls of subprograms, need types. */
    if (btf_describe(&btf, copy, count)) {
        attr.prog_btf_fd = (uint32_t)btf.fd;
        attr.func_info_rec_size = sizeof(struct bpf_func_info);
        attr.func_info = (uintptr_t)btf.funcs;
        attr.func_info_cnt = btf.count;
    }
    fd = load(&attr);
    verdict->err = fd < 0 ? (int)fd : 0;
    if (fd >= 0)
        close((int)fd);
    btf_close(&btf);
    free(copy);
}
