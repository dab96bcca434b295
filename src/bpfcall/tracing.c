/* SPDX-License-Identifier: MIT */
/* See tracing.h. The ids are those of the running kernel's BTF, or of our own. */
#include "bpfcall/tracing.h"

#include <bpf/btf.h>
#include <errno.h>

#include "bpfcall/own_btf.h"

/* The type of a raw tracepoint is a typedef, of this and its name. */
#define PREFIX "btf_trace_"

/* Reading the kernel's BTF takes long: it is done once. */
static int find_ids(struct sta__bpf *bpf)
{
    struct btf *kernel = bpf->has_own_btf ? sta__own_btf_new() : btf__load_vmlinux_btf();
    int enter, leave;

    if (!kernel)
        return -ENOENT;
    enter = btf__find_by_name_kind(kernel, PREFIX "sys_enter", BTF_KIND_TYPEDEF);
    leave = btf__find_by_name_kind(kernel, PREFIX "sys_exit", BTF_KIND_TYPEDEF);
    btf__free(kernel);
    if (enter < 0 || leave < 0)
        return -ENOENT;
    atomic_store(&bpf->exit_type_id, (uint32_t)leave);
    atomic_store(&bpf->enter_type_id, (uint32_t)enter); /* it says that both are known */
    return 0;
}

int sta__tracing_find(struct sta__command *command, struct sta__bpf_program *program)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf *bpf = command->bpf;

    if (attr->prog_type != BPF_PROG_TYPE_TRACING)
        return 0;
    if (attr->expected_attach_type != BPF_TRACE_RAW_TP || attr->attach_btf_obj_fd)
        return sta__command_refuse(command, -EINVAL,
                                   "only raw tracepoints of the kernel are attached to by BTF");
    if (atomic_load(&bpf->enter_type_id) == 0 && find_ids(bpf) < 0)
        return sta__command_refuse(command, -EINVAL, "the kernel's BTF cannot be read");
    program->is_enter = attr->attach_btf_id == atomic_load(&bpf->enter_type_id);
    program->is_tracing =
        program->is_enter || attr->attach_btf_id == atomic_load(&bpf->exit_type_id);
    if (program->is_tracing)
        return 0;
    return sta__command_refuse(command, -EINVAL,
                               "it is for something else than sys_enter and sys_exit");
}
