/* SPDX-License-Identifier: MIT */
#include "verifier/btf.h"

#include <linux/btf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ebpf/isa.h"

/* Type 1 is u64, type 2 a function of five of them, type 3 a static function of that type; type 4
 * a global one: the program itself. */
static int load_types(void)
{
    static const char names[] = "\0u64\0a\0sub\0main";
    struct {
        struct btf_header header;
        struct btf_type u64;
        uint32_t u64_bits;
        struct btf_type proto;
        struct btf_param params[5];
        struct btf_type sub, main;
        char names[sizeof(names)];
    } __attribute__((packed)) types = {
        .header = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(types.header)},
        .u64 = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 8},
        .u64_bits = 64,
        .proto = {.info = BTF_KIND_FUNC_PROTO << 24 | 5, .type = 1},
        .sub = {.name_off = 7, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2},
        .main = {.name_off = 11, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2},
    };
    union bpf_attr attr;

    for (int i = 0; i < 5; i++)
        types.params[i] = (struct btf_param){.name_off = 5, .type = 1};
    memcpy(types.names, names, sizeof(names));
    types.header.type_len = (uint32_t)(types.names - (char *)&types.u64);
    types.header.str_off = types.header.type_len;
    types.header.str_len = sizeof(names);
    memset(&attr, 0, sizeof(attr));
    attr.btf = (uintptr_t)&types;
    attr.btf_size = (uint32_t)sizeof(types);
    return (int)syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
}

bool btf_describe(struct btf_of_program *out, const struct bpf_insn *insns, size_t count)
{
    static int fd = -2;
    bool starts[4096] = {true};

    out->fd = -1;
    out->count = 0;
    if (count > sizeof(starts))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool is_func = insns[i].code == STA__OP_LDDW && insns[i].src_reg == BPF_PSEUDO_FUNC;
        int64_t target = sta__insn_func_target(&insns[i], (uint32_t)i);

        if ((is_func || sta__insn_is_subprog_call(&insns[i])) && target >= 0 &&
            target < (int64_t)count)
            starts[target] = true;
        i += insns[i].code == STA__OP_LDDW;
    }
    for (size_t i = 0; i < count && out->count < 256; i++) {
        if (starts[i])
            out->funcs[out->count++] =
                (struct bpf_func_info){.insn_off = (uint32_t)i, .type_id = i ? 3 : 4};
    }
    if (out->count < 2)
        return false;
    if (fd == -2)
        fd = load_types();
    out->fd = fd;
    return fd >= 0;
}

void btf_close(struct btf_of_program *btf)
{
    btf->fd = -1; /* one serves all */
}
