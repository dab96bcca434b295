/* SPDX-License-Identifier: MIT */
/*
 * The helpers' functions, as the table of helpers and the JIT name them. What each does is what
 * bpf-helpers(7) says of it. They are on the dispatch path. Whoever loads programs calls
 * sta__clock_prepare() before.
 */
#ifndef STA_EBPF_HELPERS_H
#define STA_EBPF_HELPERS_H

#include "ebpf/helper.h"

#define STA__HELPER_FUNCTION(name) \
    uint64_t sta__helper_##name(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)

/* Maps: through their operations, maps/map.h. */
STA__HELPER_FUNCTION(map_lookup_elem);
STA__HELPER_FUNCTION(map_update_elem);
STA__HELPER_FUNCTION(map_delete_elem);
STA__HELPER_FUNCTION(map_push_elem);
STA__HELPER_FUNCTION(map_pop_elem);
STA__HELPER_FUNCTION(map_peek_elem);
STA__HELPER_FUNCTION(map_lookup_percpu_elem);
/* Calls r2, a struct sta__callback, for each element. */
STA__HELPER_FUNCTION(for_each_map_elem);

/* The lock in a map's value, at its address: maps/value_lock.h. */
STA__HELPER_FUNCTION(spin_lock);
STA__HELPER_FUNCTION(spin_unlock);

/* Rings of perf events, maps/perf_ring.h. */
STA__HELPER_FUNCTION(perf_event_output);

/* Ring buffers, maps/ring.h. */
STA__HELPER_FUNCTION(ringbuf_output);
STA__HELPER_FUNCTION(ringbuf_reserve);
STA__HELPER_FUNCTION(ringbuf_submit);
STA__HELPER_FUNCTION(ringbuf_discard);
STA__HELPER_FUNCTION(ringbuf_query);

/* Dynptrs, dynptr.h. */
STA__HELPER_FUNCTION(dynptr_from_mem);
STA__HELPER_FUNCTION(dynptr_read);
STA__HELPER_FUNCTION(dynptr_write);
STA__HELPER_FUNCTION(dynptr_data);
STA__HELPER_FUNCTION(ringbuf_reserve_dynptr);
STA__HELPER_FUNCTION(ringbuf_submit_dynptr);
STA__HELPER_FUNCTION(ringbuf_discard_dynptr);

/* Memory of the process, base/copy_user.h, and of the kernel: of that there is the image of the
 * task only, task.h. */
STA__HELPER_FUNCTION(probe_read);
STA__HELPER_FUNCTION(probe_read_str);
STA__HELPER_FUNCTION(probe_read_user);
STA__HELPER_FUNCTION(probe_read_user_str);
STA__HELPER_FUNCTION(probe_read_kernel);
STA__HELPER_FUNCTION(probe_read_kernel_str);
STA__HELPER_FUNCTION(probe_write_user);
/* To be called before: finds out which addresses of the kernel there can be. */
void sta__reads_prepare(void);

/* The application's stack, by frame pointers. The kernel's (without BPF_F_USER_STACK) is empty. No
 * build ids are known: with BPF_F_USER_BUILD_ID each element says so, and has the address. */
STA__HELPER_FUNCTION(get_stack);
STA__HELPER_FUNCTION(get_stackid);

/* task.h */
STA__HELPER_FUNCTION(get_current_task);

/* Clocks of the running kernel, in ns. */
STA__HELPER_FUNCTION(ktime_get_ns);        /* CLOCK_MONOTONIC */
STA__HELPER_FUNCTION(ktime_get_boot_ns);   /* CLOCK_BOOTTIME */
STA__HELPER_FUNCTION(ktime_get_coarse_ns); /* CLOCK_MONOTONIC_COARSE */
STA__HELPER_FUNCTION(ktime_get_tai_ns);    /* CLOCK_TAI */

/* Ids as the process itself sees them: in its own pid and user namespaces. The user's are asked of
 * the kernel each time, by two system calls; the others cost none. */
STA__HELPER_FUNCTION(get_current_pid_tgid);
STA__HELPER_FUNCTION(get_current_uid_gid);

/* The thread's name, as it is now: one system call. */
STA__HELPER_FUNCTION(get_current_comm);
STA__HELPER_FUNCTION(get_ns_current_pid_tgid);

/* Control groups, cgroup.h. */
STA__HELPER_FUNCTION(get_current_cgroup_id);
STA__HELPER_FUNCTION(get_current_ancestor_cgroup_id);
STA__HELPER_FUNCTION(current_task_under_cgroup);

/* Text: message.h. What is printed goes to the ring of trace.h. */
STA__HELPER_FUNCTION(strtol);
STA__HELPER_FUNCTION(strtoul);
STA__HELPER_FUNCTION(strncmp);
STA__HELPER_FUNCTION(snprintf);
STA__HELPER_FUNCTION(trace_printk);
STA__HELPER_FUNCTION(trace_vprintk);

/* Ticks, jiffies.h. */
STA__HELPER_FUNCTION(jiffies64);

STA__HELPER_FUNCTION(get_numa_node_id);
STA__HELPER_FUNCTION(get_smp_processor_id);
STA__HELPER_FUNCTION(get_prandom_u32);

/* Signals to the process, to the thread: as if the kernel had sent them. */
STA__HELPER_FUNCTION(send_signal);
STA__HELPER_FUNCTION(send_signal_thread);

/* sta_current_cookie(). */
STA__HELPER_FUNCTION(get_attach_cookie);
STA__HELPER_FUNCTION(get_branch_snapshot);

/* sta_override_return(r2). */
STA__HELPER_FUNCTION(override_return);

/* Calls r2, a struct sta__callback, up to r1 times. */
STA__HELPER_FUNCTION(loop);

/* Stands in the table only: whoever runs programs makes tail calls itself, see tail.h. */
STA__HELPER_FUNCTION(tail_call);

#endif
