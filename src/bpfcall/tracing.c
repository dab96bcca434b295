/* SPDX-License-Identifier: MIT */
/* See tracing.h. The ids are those of the running kernel's BTF, or of our own. */
#include "bpfcall/tracing.h"

#include <bpf/btf.h>
#include <errno.h>
#include <string.h>

#include "bpfcall/own_btf.h"

/* The type of a raw tracepoint is a typedef, of this and its name. */
#define PREFIX "btf_trace_"

static int compare(struct sta__bpf_program *program, const char *name)
{
    if (!name || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return -EINVAL;
    program->is_enter = strcmp(name + strlen(PREFIX), "sys_enter") == 0;
    program->is_tracing = program->is_enter || strcmp(name + strlen(PREFIX), "sys_exit") == 0;
    return program->is_tracing ? 0 : -EINVAL;
}

int sta__tracing_find(struct sta__command *command, struct sta__bpf_program *program)
{
    const union bpf_attr *attr = &command->attr;
    const struct btf_type *type;
    struct btf *kernel;
    int err;

    if (attr->prog_type != BPF_PROG_TYPE_TRACING)
        return 0;
    if (attr->expected_attach_type != BPF_TRACE_RAW_TP || attr->attach_btf_obj_fd)
        return sta__command_refuse(command, -EINVAL,
                                   "only raw tracepoints of the kernel are attached to by BTF");
    kernel = command->bpf->has_own_btf ? sta__own_btf_new() : btf__load_vmlinux_btf();
    if (!kernel)
        return sta__command_refuse(command, -EINVAL, "the kernel's BTF cannot be read");
    type = btf__type_by_id(kernel, attr->attach_btf_id);
    err = type && btf_is_typedef(type)
              ? compare(program, btf__name_by_offset(kernel, type->name_off))
              : -EINVAL;
    btf__free(kernel);
    if (err < 0)
        sta__command_refuse(command, err, "it is for something else than sys_enter and sys_exit");
    return err;
}
