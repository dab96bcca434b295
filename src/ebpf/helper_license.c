/* SPDX-License-Identifier: MIT */
/* Helpers that the kernel offers to programs only whose license is compatible with the GPL. */
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>

#include "ebpf/helper.h"

static const uint8_t gpl_helpers[] = {
    BPF_FUNC_probe_read,
    BPF_FUNC_trace_printk,
    BPF_FUNC_perf_event_read,
    BPF_FUNC_perf_event_output,
    BPF_FUNC_get_stackid,
    BPF_FUNC_get_current_task,
    BPF_FUNC_probe_write_user,
    BPF_FUNC_probe_read_str,
    BPF_FUNC_perf_event_read_value,
    BPF_FUNC_override_return,
    BPF_FUNC_get_stack,
    BPF_FUNC_probe_read_user,
    BPF_FUNC_probe_read_kernel,
    BPF_FUNC_probe_read_user_str,
    BPF_FUNC_probe_read_kernel_str,
    BPF_FUNC_get_current_task_btf,
    BPF_FUNC_snprintf,
    BPF_FUNC_timer_init,
    BPF_FUNC_timer_set_callback,
    BPF_FUNC_timer_start,
    BPF_FUNC_timer_cancel,
    BPF_FUNC_get_func_ip,
    BPF_FUNC_task_pt_regs,
    BPF_FUNC_get_branch_snapshot,
    BPF_FUNC_trace_vprintk,
    BPF_FUNC_copy_from_user_task,
};

bool sta__helper_is_gpl(int32_t id)
{
    for (size_t i = 0; i < sizeof(gpl_helpers) / sizeof(gpl_helpers[0]); i++) {
        if (gpl_helpers[i] == id)
            return true;
    }
    return false;
}

bool sta__license_is_gpl(const char *license)
{
    static const char *const licenses[] = {
        "GPL",          "GPL v2",       "GPL and additional rights",
        "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL",
    };

    for (size_t i = 0; i < sizeof(licenses) / sizeof(licenses[0]); i++) {
        if (strcmp(license, licenses[i]) == 0)
            return true;
    }
    return false;
}
