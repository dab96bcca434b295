/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_LOAD: attributes are checked in the kernel's order, and then it is sta_program_load().
 *
 * Of what a program brings with it, func_info and line_info are checked for their sizes and not
 * looked into; relocations that the kernel is asked to do (core_relos, light skeletons) are
 * refused. BPF_F_STRICT_ALIGNMENT and the flags that test the kernel's verifier mean nothing here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"
#include "bpfcall/command.h"
#include "bpfcall/program_object.h"
#include "bpfcall/tracing.h"
#include "bpfcall/user.h"
#include "bpfcall/verifier_text.h"
#include "ebpf/code.h"
#include "ebpf/helper.h"

#ifndef BPF_F_TEST_REG_INVARIANTS
#    define BPF_F_TEST_REG_INVARIANTS (1u << 7)
#endif
#define KNOWN_FLAGS                                                                               \
    (BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_RND_HI32 | BPF_F_TEST_STATE_FREQ | \
     BPF_F_SLEEPABLE | BPF_F_TEST_REG_INVARIANTS)

#define FD_ARRAY_CNT_AT 148
#define LICENSE_SIZE    128
#define RECORD_SIZE_MAX 252 /* of func_info and line_info */
#define FUNC_INFO_MIN   8
#define LINE_INFO_MIN   16

struct loading {
    struct sta__command *command;
    struct sta__bpf_program *made;
    struct bpf_insn *insns;
    char license[LICENSE_SIZE];
    bool is_the_kernels; /* it uses one of the kernel's maps */
};

static int refuse(const struct loading *loading, int err, const char *why)
{
    return sta__command_refuse(loading->command, err, why);
}

static bool is_offered(uint32_t type)
{
    return type == BPF_PROG_TYPE_TRACEPOINT || type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
           type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE || type == BPF_PROG_TYPE_TRACING ||
           type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_SOCKET_FILTER;
}

static int check_attr(const struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;

    if (attr->prog_flags & ~KNOWN_FLAGS)
        return refuse(loading, -EINVAL, "unknown flags of a program");
    if (attr->insn_cnt == 0 || attr->insn_cnt > STA__INSN_MAX)
        return refuse(loading, -E2BIG, "no instructions, or too many");
    if (attr->attach_btf_id && attr->prog_type != BPF_PROG_TYPE_TRACING)
        return refuse(loading, -EINVAL, "this type is attached to nothing by BTF");
    if (attr->prog_ifindex)
        return refuse(loading, -EINVAL, "there are no programs on devices here");
    return 0;
}

static int check_more(const struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;

    if (!is_offered(attr->prog_type))
        return refuse(loading, -EINVAL,
                      "the type of the program is not one of tracepoint, raw tracepoint, kprobe "
                      "and tracing");
    if (attr->prog_flags & BPF_F_SLEEPABLE)
        return refuse(loading, -EINVAL, "programs here cannot sleep");
    if (attr->core_relo_cnt)
        return refuse(loading, -EOPNOTSUPP, "relocations are not done here: libbpf does them");
    return 0;
}

static int read_program(struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;
    int err;

    loading->insns =
        sta__user_copy(attr->insns, (size_t)attr->insn_cnt * sizeof(struct bpf_insn), &err);
    if (!loading->insns)
        return err;
    return sta__user_read_string(loading->license, attr->license, sizeof(loading->license)) < 0
               ? -EFAULT
               : 0;
}

static int check_records(const struct loading *loading, uint64_t records, uint32_t count,
                         uint32_t size, uint32_t size_min)
{
    void *copied;
    int err;

    if (count == 0)
        return 0;
    if (size < size_min || size > RECORD_SIZE_MAX || size % 4 ||
        count > loading->command->attr.insn_cnt)
        return refuse(loading, -EINVAL, "func_info or line_info is not of a size that can be");
    copied = sta__user_copy(records, (size_t)count * size, &err);
    free(copied);
    return err;
}

/* BTF is looked at where something is said by it only, as in the kernel. */
static int find_btf(struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;
    long result;
    int err;

    if (!attr->func_info_cnt && !attr->line_info_cnt)
        return 0;
    loading->made->btf = sta__command_btf(loading->command, attr->prog_btf_fd, &result);
    if (!loading->made->btf)
        return (int)result;
    err = check_records(loading, attr->func_info, attr->func_info_cnt, attr->func_info_rec_size,
                        FUNC_INFO_MIN);
    if (err == 0)
        err = check_records(loading, attr->line_info, attr->line_info_cnt, attr->line_info_rec_size,
                            LINE_INFO_MIN);
    return err;
}

static int add_map_of(struct loading *loading, int fd, struct sta_map **out)
{
    struct sta__bpf *bpf = loading->command->bpf;
    struct sta__fd_object *object;
    int err;

    object = sta__fds_get_kind(bpf, fd, STA__FD_MAP, &err);
    if (!object) {
        loading->is_the_kernels |= err == 0;
        return err ? err : -EINVAL;
    }
    err = sta__program_object_add_map(loading->made, (struct sta__bpf_map *)object);
    if (out)
        *out = ((struct sta__bpf_map *)object)->map;
    sta__fds_put(object);
    return err;
}

static int find_map(void *find_data, int fd_or_index, int is_index, struct sta_map **out)
{
    struct loading *loading = find_data;
    uint64_t array = loading->command->attr.fd_array;
    int fd = fd_or_index;

    if (is_index && !array)
        return refuse(loading, -EPROTO, "fd_idx without fd_array is invalid");
    if (is_index && sta__user_read(&fd, array + (uint64_t)(uint32_t)fd_or_index * 4, 4) < 0)
        return -EFAULT;
    return add_map_of(loading, fd, out);
}

/* What stands in fd_array, where its length is given, is kept whether it is used or not: maps, and
 * BTF, which is of no use here. */
static int keep_array(struct loading *loading)
{
    uint32_t count = loading->command->words[FD_ARRAY_CNT_AT / 4];

    for (uint32_t i = 0; i < count; i++) {
        struct sta__fd_object *btf;
        int fd, err;

        if (sta__user_read(&fd, loading->command->attr.fd_array + (uint64_t)i * 4, 4) < 0)
            return -EFAULT;
        btf = sta__fds_get_kind(loading->command->bpf, fd, STA__FD_BTF, &err);
        sta__fds_put(btf);
        if (!btf)
            err = add_map_of(loading, fd, NULL);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Programs of other types that run as those of raw tracepoints do. */
static uint32_t type_here(uint32_t type)
{
    switch (type) {
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
    case BPF_PROG_TYPE_TRACING:
        return BPF_PROG_TYPE_RAW_TRACEPOINT;
    case BPF_PROG_TYPE_SOCKET_FILTER:
        return BPF_PROG_TYPE_TRACEPOINT;
    default:
        return type;
    }
}

/* libbpf tries out with socket filters what programs can do. Packets there are none, so they can
 * be loaded as long as they look at nothing, and cannot be attached. */
static int check_filter(const struct loading *loading)
{
    struct sta_program_info info = {.size = sizeof(info)};

    sta_program_info(loading->made->program, &info);
    if (loading->made->type != BPF_PROG_TYPE_SOCKET_FILTER || info.context_size == 0)
        return 0;
    return refuse(loading, -EACCES, "a socket filter reads its packet: there are none here");
}

static int check_arrays(const struct loading *loading)
{
    for (uint32_t i = 0; i < loading->made->map_count; i++) {
        if (sta__program_object_fits(loading->made, loading->made->maps[i]) < 0)
            return refuse(loading, -EINVAL, "a program array is for programs of another type");
    }
    return 0;
}

static int load(struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;
    struct sta__verifier_text text;
    const struct sta_program_options options = {
        .size = sizeof(options),
        .type = type_here(attr->prog_type),
        .name = loading->made->name,
        .find_map = find_map,
        .find_data = loading,
        .license = loading->license,
        .log_level = sta__verifier_text_level(attr->log_level),
        .log = loading->command->bpf->log.fn,
        .log_data = loading->command->bpf->log.data,
    };
    struct sta_program_options with_text = options;
    int err = sta__verifier_text_begin(&text, loading->command), text_err;

    if (err < 0)
        return err;
    with_text.log_buf = text.text;
    with_text.log_size = text.text ? text.room : 0;
    err = keep_array(loading);
    if (err == 0)
        err = sta_program_load(&loading->made->program, loading->insns, attr->insn_cnt, &with_text);
    if (err == 0)
        err = check_filter(loading);
    if (err == 0)
        err = check_arrays(loading);
    text_err = sta__verifier_text_end(&text, loading->command);
    return text_err ? text_err : err;
}

/* Tells programs apart; it is not the kernel's. Descriptors of maps count as nothing. */
static void make_tag(struct loading *loading)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < loading->command->attr.insn_cnt; i++) {
        const struct bpf_insn *insn = &loading->insns[i];
        uint64_t word;

        memcpy(&word, insn, sizeof(word));
        if (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg)
            word &= UINT32_MAX;
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    memcpy(loading->made->tag, &hash, sizeof(hash));
}

static int make(struct loading *loading)
{
    const union bpf_attr *attr = &loading->command->attr;
    struct sta__bpf_program *made = calloc(1, sizeof(*made));

    if (!made)
        return -ENOMEM;
    loading->made = made;
    made->object.kind = STA__FD_PROGRAM;
    made->object.ops = &sta__program_object_ops;
    made->type = attr->prog_type;
    made->expected_attach_type = attr->expected_attach_type;
    made->insns = attr->insn_cnt;
    made->load_time_ns = sta__clock_ns(CLOCK_BOOTTIME);
    made->created_by_uid = (uint32_t)STA__RAW0(SYS_getuid);
    made->is_gpl = sta__license_is_gpl(loading->license);
    make_tag(loading);
    return sta__command_name(made->name, attr->prog_name);
}

long sta__command_prog_load(struct sta__command *command)
{
    struct loading loading = {.command = command};
    long fd = check_attr(&loading);

    if (fd == 0)
        fd = read_program(&loading);
    if (fd == 0)
        fd = check_more(&loading);
    if (fd == 0)
        fd = make(&loading);
    if (fd == 0)
        fd = sta__tracing_find(command, loading.made);
    if (fd == 0)
        fd = find_btf(&loading);
    if (fd == 0)
        fd = load(&loading);
    if (fd == 0)
        fd = sta__fds_new(command->bpf, &loading.made->object, O_RDWR);
    if (fd < 0 && loading.made)
        sta__program_object_ops.free(&loading.made->object);
    free(loading.insns);
    return fd < 0 && loading.is_the_kernels ? STA__NOT_OURS : fd;
}
