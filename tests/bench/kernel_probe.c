/* SPDX-License-Identifier: MIT */
/* See kernel_probe.h. No libbpf: a dozen instructions, four system calls. */
#define _GNU_SOURCE
#include "kernel_probe.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define INSN(op, dst, src, offset, value) \
    ((struct bpf_insn){                   \
        .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value)})
#define MOV_REG(dst, src)              INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define MOV(dst, value)                INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value)
#define ADD(dst, value)                INSN(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, value)
#define SHIFT_RIGHT(dst, value)        INSN(BPF_ALU64 | BPF_RSH | BPF_K, dst, 0, 0, value)
#define LOAD32(dst, src, offset)       INSN(BPF_LDX | BPF_W | BPF_MEM, dst, src, offset, 0)
#define STORE32(dst, offset, value)    INSN(BPF_ST | BPF_W | BPF_MEM, dst, 0, offset, value)
#define ADD_ATOMIC(dst, src)           INSN(BPF_STX | BPF_DW | BPF_ATOMIC, dst, src, 0, BPF_ADD)
#define IF_NOT_EQUAL(dst, value, skip) INSN(BPF_JMP32 | BPF_JNE | BPF_K, dst, 0, skip, value)
#define IF_ZERO(dst, skip)             INSN(BPF_JMP | BPF_JEQ | BPF_K, dst, 0, skip, 0)
#define LOAD_MAP(dst, fd)              INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, fd)
#define LOAD_MAP_TAIL                  INSN(0, 0, 0, 0, 0)
#define CALL(helper)                   INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define EXIT                           INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* The number of the call, in the context of each of the events used here: of the raw entry it is
 * the second argument, of the others the first field. */
#define NR_OFFSET 8

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
    long result = syscall(SYS_bpf, command, attr, sizeof(*attr));

    return result < 0 ? -errno : (int)result;
}

static int load(enum probe_type type, const struct bpf_insn *insns, size_t count)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = type == PROBE_RAW ? BPF_PROG_TYPE_RAW_TRACEPOINT : BPF_PROG_TYPE_TRACEPOINT;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uintptr_t) "MIT";
    return bpf(BPF_PROG_LOAD, &attr);
}

int probe_load_empty(enum probe_type type)
{
    const struct bpf_insn insns[] = {MOV(BPF_REG_0, 0), EXIT};

    return load(type, insns, COUNT_OF(insns));
}

static int create_counter(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = sizeof(uint64_t);
    attr.max_entries = 1;
    return bpf(BPF_MAP_CREATE, &attr);
}

int probe_load_counting(enum probe_type type, int sys_nr, int *map)
{
    int program;

    *map = create_counter();
    if (*map < 0)
        return *map;
    const struct bpf_insn insns[] = {
        MOV_REG(BPF_REG_6, BPF_REG_1),
        CALL(BPF_FUNC_get_current_pid_tgid),
        SHIFT_RIGHT(BPF_REG_0, 32),
        IF_NOT_EQUAL(BPF_REG_0, getpid(), 11),
        LOAD32(BPF_REG_1, BPF_REG_6, NR_OFFSET),
        IF_NOT_EQUAL(BPF_REG_1, sys_nr, 9),
        STORE32(BPF_REG_10, -4, 0), /* the key */
        MOV_REG(BPF_REG_2, BPF_REG_10),
        ADD(BPF_REG_2, -4),
        LOAD_MAP(BPF_REG_1, *map),
        LOAD_MAP_TAIL,
        CALL(BPF_FUNC_map_lookup_elem),
        IF_ZERO(BPF_REG_0, 2),
        MOV(BPF_REG_1, 1),
        ADD_ATOMIC(BPF_REG_0, BPF_REG_1),
        MOV(BPF_REG_0, 0), /* where all jumps lead */
        EXIT,
    };
    program = load(type, insns, COUNT_OF(insns));
    if (program < 0)
        close(*map);
    return program;
}

int probe_read_count(int map, uint64_t *count)
{
    union bpf_attr attr;
    uint32_t key = 0;

    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)map;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)count;
    return bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

static int attach_raw(int program)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.raw_tracepoint.name = (uintptr_t) "sys_enter";
    attr.raw_tracepoint.prog_fd = (uint32_t)program;
    return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

static int attach_tracepoint(int program, const char *event)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr)};
    struct sta_tracepoint tracepoint;
    int err, fd;

    err = sta_tracepoint_by_name(event, &tracepoint);
    if (err < 0)
        return err;
    if (tracepoint.source != STA_TRACEPOINT_TRACEFS)
        return -ENOENT;
    attr.config = (uint64_t)tracepoint.id;
    fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program) < 0 || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) < 0) {
        err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int probe_attach(enum probe_type type, int program, const char *event)
{
    return type == PROBE_RAW ? attach_raw(program) : attach_tracepoint(program, event);
}
