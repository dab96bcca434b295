/* SPDX-License-Identifier: MIT */
/* Programs that say by BTF what they are attached to (BPF_PROG_TYPE_TRACING, "tp_btf/.."). */
#ifndef STA_BPFCALL_TRACING_H
#define STA_BPFCALL_TRACING_H

#include "bpfcall/command.h"

/* Fills in is_tracing and is_enter. 0, also for other types; -EINVAL: anything but the raw
 * tracepoints sys_enter and sys_exit. */
int sta__tracing_find(struct sta__command *command, struct sta__bpf_program *program);

#endif
