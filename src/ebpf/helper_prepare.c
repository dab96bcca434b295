/* SPDX-License-Identifier: MIT */
/* What helpers need that cannot be had on the dispatch path: made when a program is loaded that
 * calls them. */
#include "base/copy_user.h"
#include "ebpf/cgroup.h"
#include "ebpf/code.h"
#include "ebpf/helper.h"
#include "ebpf/helpers.h"
#include "ebpf/isa.h"
#include "ebpf/jiffies.h"
#include "ebpf/task.h"
#include "ebpf/trace.h"

bool sta__helper_is_called(const struct sta__code *code, int32_t id)
{
    for (uint32_t i = 0; i < code->count; i++) {
        if (!(code->marks[i] & (STA__MARK_TAIL | STA__MARK_DEAD)) &&
            sta__insn_is_helper_call(&code->insns[i]) && code->insns[i].imm == id)
            return true;
    }
    return false;
}

static bool is_any_called(const struct sta__code *code, const int32_t *helpers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sta__helper_is_called(code, helpers[i]))
            return true;
    }
    return false;
}

/* Those that look at the kernel's memory. */
static bool reads_kernel(const struct sta__code *code)
{
    static const int32_t helpers[] = {BPF_FUNC_probe_read, BPF_FUNC_probe_read_str,
                                      BPF_FUNC_probe_read_kernel, BPF_FUNC_probe_read_kernel_str};

    return is_any_called(code, helpers, sizeof(helpers) / sizeof(helpers[0]));
}

/* Those that look at the process's, and may fault. */
static bool reads_user(const struct sta__code *code)
{
    static const int32_t helpers[] = {
        BPF_FUNC_probe_read,          BPF_FUNC_probe_read_str,   BPF_FUNC_probe_read_user,
        BPF_FUNC_probe_read_user_str, BPF_FUNC_probe_write_user, BPF_FUNC_get_stack,
        BPF_FUNC_get_stackid,
    };

    return is_any_called(code, helpers, sizeof(helpers) / sizeof(helpers[0]));
}

static bool prints(const struct sta__code *code)
{
    return sta__helper_is_called(code, BPF_FUNC_trace_printk) ||
           sta__helper_is_called(code, BPF_FUNC_trace_vprintk);
}

int sta__helpers_prepare(const struct sta__code *code, const struct sta__log *log)
{
    if (sta__helper_is_called(code, BPF_FUNC_jiffies64))
        sta__jiffies_prepare();
    if (sta__helper_is_called(code, BPF_FUNC_get_current_cgroup_id) ||
        sta__helper_is_called(code, BPF_FUNC_get_current_ancestor_cgroup_id) ||
        sta__helper_is_called(code, BPF_FUNC_current_task_under_cgroup))
        sta__cgroup_prepare();
    if (sta__helper_is_called(code, BPF_FUNC_get_current_task))
        sta__task_prepare(log);
    if (reads_kernel(code))
        sta__reads_prepare();
    /* Strings that are printed are read, too. */
    if (reads_user(code) || prints(code) || sta__helper_is_called(code, BPF_FUNC_snprintf))
        sta__copy_want();
    return prints(code) ? sta__trace_prepare(log) : 0;
}
