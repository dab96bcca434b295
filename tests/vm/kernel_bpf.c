/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vm/kernel_bpf.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call(int command, union bpf_attr *attr)
{
    long got = syscall(SYS_bpf, command, attr, sizeof(*attr));

    return got < 0 ? -errno : (int)got;
}

int kernel_array(size_t size, void **value)
{
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_ARRAY,
        .key_size = 4,
        .value_size = (uint32_t)size,
        .max_entries = 1,
        .map_flags = BPF_F_MMAPABLE,
    };
    int fd = call(BPF_MAP_CREATE, &attr);

    if (fd < 0)
        return fd;
    *value = mmap(NULL, (size + 4095) & ~(size_t)4095, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*value == MAP_FAILED) {
        close(fd);
        return -errno;
    }
    return fd;
}

/* Callbacks are accepted only in programs whose functions have types. One serves for all: "static
 * int f(void)". */
static int load_types(void)
{
    static const struct {
        struct btf_header header;
        struct btf_type integer;
        uint32_t integer_bits;
        struct btf_type proto, function;
        char strings[8];
    } types = {
        .header = {.magic = BTF_MAGIC,
                   .version = BTF_VERSION,
                   .hdr_len = sizeof(struct btf_header),
                   .type_len = 3 * sizeof(struct btf_type) + sizeof(uint32_t),
                   .str_off = 3 * sizeof(struct btf_type) + sizeof(uint32_t),
                   .str_len = 7},
        .integer = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4},
        .integer_bits = 32,
        .proto = {.info = BTF_KIND_FUNC_PROTO << 24, .type = 1},
        .function = {.name_off = 5, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2},
        .strings = "\0int\0f",
    };
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.btf = (uintptr_t)&types;
    attr.btf_size = (uint32_t)(sizeof(types.header) + types.header.type_len + types.header.str_len);
    return call(BPF_BTF_LOAD, &attr);
}

static bool is_subprog_reference(const struct bpf_insn *insn)
{
    return (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL) ||
           (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == BPF_PSEUDO_FUNC);
}

/* The type of each subprogram. Returns how many there are. */
static uint32_t describe_functions(struct bpf_func_info *info, const struct bpf_insn *insns,
                                   size_t count)
{
    bool *begins = calloc(count, sizeof(*begins));
    uint32_t functions = 0;

    if (!begins)
        return 0;
    begins[0] = true;
    for (size_t i = 0; i < count; i++) {
        if (is_subprog_reference(&insns[i]))
            begins[i + 1 + (size_t)insns[i].imm] = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (begins[i])
            info[functions++] = (struct bpf_func_info){.insn_off = (uint32_t)i, .type_id = 3};
    }
    free(begins);
    return functions;
}

int kernel_load(unsigned type, const struct bpf_insn *insns, size_t count, char *log,
                size_t log_size)
{
    static int types;
    struct bpf_func_info info[256];
    union bpf_attr attr;
    int fd;

    memset(&attr, 0, sizeof(attr));
    if (types <= 0)
        types = load_types();
    if (types > 0) {
        attr.prog_btf_fd = (uint32_t)types;
        attr.func_info_rec_size = sizeof(info[0]);
        attr.func_info = (uintptr_t)info;
        attr.func_info_cnt = describe_functions(info, insns, count);
    }
    attr.prog_type = type;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uintptr_t) "Dual MIT/GPL";
    fd = call(BPF_PROG_LOAD, &attr);
    if (fd >= 0 || !log)
        return fd;
    log[0] = 0;
    attr.log_buf = (uintptr_t)log;
    attr.log_size = (uint32_t)log_size;
    attr.log_level = 1;
    call(BPF_PROG_LOAD, &attr);
    return fd;
}

int kernel_run(int program)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.test.prog_fd = (uint32_t)program;
    return call(BPF_PROG_TEST_RUN, &attr);
}

int kernel_repeat(int program, uint32_t repeat, double *ns)
{
    uint8_t packet[64] = {0};
    union bpf_attr attr;
    int err;

    memset(&attr, 0, sizeof(attr));
    attr.test.prog_fd = (uint32_t)program;
    attr.test.data_in = (uintptr_t)packet;
    attr.test.data_size_in = sizeof(packet);
    attr.test.repeat = repeat;
    err = call(BPF_PROG_TEST_RUN, &attr);
    *ns = attr.test.duration; /* of one run, whole ns */
    return err;
}
