/* SPDX-License-Identifier: MIT */
/*
 * What the image of a task knows, as a table. Everything else of these structs reads as zero.
 *
 *     FIELD(name, object, size in bytes, where it is unless the kernel's BTF says otherwise,
 *           the kernel's struct, the member in it)
 *
 * In the order of objects (enum sta__task_object).
 */
FIELD(PID, TASK, 4, 64, "task_struct", "pid")
FIELD(TGID, TASK, 4, 68, "task_struct", "tgid")
FIELD(FLAGS, TASK, 4, 72, "task_struct", "flags")
FIELD(EXIT_CODE, TASK, 4, 76, "task_struct", "exit_code")
FIELD(REAL_PARENT, TASK, 8, 80, "task_struct", "real_parent")
FIELD(PARENT, TASK, 8, 88, "task_struct", "parent")
FIELD(GROUP_LEADER, TASK, 8, 96, "task_struct", "group_leader")
FIELD(THREAD_PID, TASK, 8, 104, "task_struct", "thread_pid")
FIELD(START_TIME, TASK, 8, 112, "task_struct", "start_time")
FIELD(START_BOOTTIME, TASK, 8, 120, "task_struct", "start_boottime")
FIELD(REAL_CRED, TASK, 8, 128, "task_struct", "real_cred")
FIELD(CRED, TASK, 8, 136, "task_struct", "cred")
FIELD(NSPROXY, TASK, 8, 144, "task_struct", "nsproxy")
FIELD(COMM, TASK, 16, 152, "task_struct", "comm")

FIELD(NSPROXY_UTS, NSPROXY, 8, 8, "nsproxy", "uts_ns")
FIELD(NSPROXY_IPC, NSPROXY, 8, 16, "nsproxy", "ipc_ns")
FIELD(NSPROXY_MNT, NSPROXY, 8, 24, "nsproxy", "mnt_ns")
FIELD(NSPROXY_PID, NSPROXY, 8, 32, "nsproxy", "pid_ns_for_children")
FIELD(NSPROXY_NET, NSPROXY, 8, 40, "nsproxy", "net_ns")
FIELD(NSPROXY_TIME, NSPROXY, 8, 48, "nsproxy", "time_ns")
FIELD(NSPROXY_CGROUP, NSPROXY, 8, 56, "nsproxy", "cgroup_ns")

FIELD(UID, CRED, 4, 8, "cred", "uid")
FIELD(GID, CRED, 4, 12, "cred", "gid")
FIELD(SUID, CRED, 4, 16, "cred", "suid")
FIELD(SGID, CRED, 4, 20, "cred", "sgid")
FIELD(EUID, CRED, 4, 24, "cred", "euid")
FIELD(EGID, CRED, 4, 28, "cred", "egid")
FIELD(FSUID, CRED, 4, 32, "cred", "fsuid")
FIELD(FSGID, CRED, 4, 36, "cred", "fsgid")
FIELD(CRED_USER, CRED, 8, 40, "cred", "user_ns")

FIELD(PID_NUMBER, PID, 4, 16, "pid", "numbers.nr")
FIELD(PID_NS, PID, 8, 24, "pid", "numbers.ns")

FIELD(UTS_NAME, UTS, 390, 8, "uts_namespace", "name")
FIELD(UTS_INUM, UTS, 4, 400, "uts_namespace", "ns.inum")
FIELD(IPC_INUM, IPC, 4, 16, "ipc_namespace", "ns.inum")
FIELD(MNT_INUM, MNT, 4, 16, "mnt_namespace", "ns.inum")
FIELD(PID_INUM, PID_NS, 4, 16, "pid_namespace", "ns.inum")
FIELD(NET_INUM, NET, 4, 16, "net", "ns.inum")
FIELD(TIME_INUM, TIME, 4, 16, "time_namespace", "ns.inum")
FIELD(CGROUP_INUM, CGROUP, 4, 16, "cgroup_namespace", "ns.inum")
FIELD(USER_INUM, USER, 4, 16, "user_namespace", "ns.inum")
