/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Fields of the current task, as tools read them: relocated, pointer by pointer. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
    unsigned int val;
} kuid_t;
struct cred {
    kuid_t uid, euid;
};
struct ns_common {
    unsigned int inum;
};
struct mnt_namespace {
    struct ns_common ns;
};
struct new_utsname {
    char nodename[65];
};
struct uts_namespace {
    struct new_utsname name;
};
struct nsproxy {
    struct uts_namespace *uts_ns;
    struct mnt_namespace *mnt_ns;
};
struct mm_struct;
struct task_struct {
    int pid, tgid, exit_code;
    struct task_struct *real_parent, *group_leader;
    unsigned long long start_boottime;
    const struct cred *cred;
    struct nsproxy *nsproxy;
    struct mm_struct *mm;
    char comm[16];
};
#pragma clang attribute pop

#include <bpf/bpf_core_read.h>

const volatile int target_pid;

long runs, mm = -1;
int pid, tgid, parent, leader, uid, exit_code = -1;
unsigned int mnt_inum;
unsigned long long start;
char comm[16], leader_comm[16], node[65];

SEC("tp/syscalls/sys_enter_getppid")
int read_task(void *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();

    if ((int)(bpf_get_current_pid_tgid() >> 32) != target_pid)
        return 0;
    runs++;
    pid = BPF_CORE_READ(task, pid);
    tgid = BPF_CORE_READ(task, tgid);
    exit_code = BPF_CORE_READ(task, exit_code);
    parent = BPF_CORE_READ(task, real_parent, tgid);
    leader = BPF_CORE_READ(task, group_leader, pid);
    uid = BPF_CORE_READ(task, cred, uid.val);
    mnt_inum = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
    start = BPF_CORE_READ(task, start_boottime);
    BPF_CORE_READ_STR_INTO(&comm, task, comm);
    BPF_CORE_READ_STR_INTO(&leader_comm, task, group_leader, comm);
    BPF_CORE_READ_STR_INTO(&node, task, nsproxy, uts_ns, name.nodename);
#ifdef READS_MORE
    mm = (long)BPF_CORE_READ(task, mm);
#endif
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
