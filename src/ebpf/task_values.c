/* SPDX-License-Identifier: MIT */
/* What the fields of a task's image have. On the dispatch path: system calls through the gate. */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "base/memory.h"
#include "base/quiesce.h"
#include "ebpf/proc.h"
#include "ebpf/task.h"

#define NS_PER_TICK 10000000ull /* /proc counts in USER_HZ */

uint32_t sta__task_self(void)
{
    uint64_t ids = sta__pid_tgid();
    uint32_t tid = (uint32_t)ids & STA__TASK_TID_MASK;

    return tid == ids >> 32 ? tid | STA__TASK_LEADER : tid;
}

static bool is_self(uint32_t who)
{
    return who == sta__task_self();
}

static uint32_t tid_of(uint32_t who)
{
    return who & STA__TASK_TID_MASK;
}

static uint32_t tgid_of(uint32_t who)
{
    struct sta__proc_status status;

    if (who & STA__TASK_LEADER)
        return tid_of(who);
    if (is_self(who))
        return (uint32_t)(sta__pid_tgid() >> 32);
    return sta__proc_status(tid_of(who), &status) ? status.tgid : 0;
}

static uint32_t parent_of(uint32_t who)
{
    struct sta__proc_stat stat;

    if (is_self(who))
        return (uint32_t)STA__RAW0(SYS_getppid);
    return sta__proc_stat(tid_of(who), &stat) ? stat.ppid : 0;
}

/*
 * What is the same until the thread becomes another one or changes its namespaces, which is seen
 * (sta__self_forget_ids) while calls are intercepted. A thread that has no record may be a child of
 * which nothing was seen.
 */
static STA__THREAD_LOCAL struct {
    uint32_t changes, interceptions; /* when it was found out */
    uint64_t start_ticks;            /* 0: not yet, as below */
    uint32_t namespaces[STA__TASK_OBJECTS];
} kept;

static bool keeps(uint32_t who)
{
    uint32_t now = atomic_load_explicit(&sta__interceptions, memory_order_acquire);

    if (!(now & 1) || !is_self(who) ||
        atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) != sta__self.owner)
        return false;
    if (kept.changes == sta__self.changes && kept.interceptions == now)
        return true;
    kept.start_ticks = 0;
    for (unsigned i = 0; i < STA__TASK_OBJECTS; i++)
        ((volatile uint32_t *)kept.namespaces)[i] = 0;
    kept.changes = sta__self.changes;
    kept.interceptions = now;
    return true;
}

static uint64_t start_ticks_of(uint32_t who)
{
    struct sta__proc_stat stat;
    bool is_kept = keeps(who);

    if (is_kept && kept.start_ticks)
        return kept.start_ticks;
    if (!sta__proc_stat(tid_of(who), &stat))
        return 0;
    if (is_kept)
        kept.start_ticks = stat.start_ticks;
    return stat.start_ticks;
}

static uint32_t flags_of(uint32_t who)
{
    struct sta__proc_stat stat;

    return sta__proc_stat(tid_of(who), &stat) ? stat.flags : 0;
}

/* In ns since the system was started; `clock`: what it is counted by. */
static uint64_t start_of(uint32_t who, int clock)
{
    uint64_t start = start_ticks_of(who) * NS_PER_TICK, asleep = 0;

    /* How long the system has been suspended; 0 but for noise, if it has not. */
    if (clock == CLOCK_MONOTONIC)
        asleep = sta__clock_ns(CLOCK_BOOTTIME) - sta__clock_ns(CLOCK_MONOTONIC);
    return asleep < NS_PER_TICK ? start : start - asleep;
}

static void copy_comm(uint32_t who, char *out)
{
    struct sta__proc_stat stat;

    if (is_self(who))
        STA__RAW2(SYS_prctl, PR_GET_NAME, out);
    else if (sta__proc_stat(tid_of(who), &stat))
        sta__memory_copy(out, stat.comm, sizeof(stat.comm));
}

/* Of real, effective, saved and file system id. */
static uint32_t id_of(uint32_t who, bool is_group, unsigned which)
{
    struct sta__proc_status status;
    uint32_t ids[3] = {0};

    if (!is_self(who))
        return sta__proc_status(tid_of(who), &status) ? (is_group ? status.gid : status.uid)[which]
                                                      : 0;
    if (which == STA__PROC_FILE_SYSTEM) /* changes nothing */
        return (uint32_t)STA__RAW1(is_group ? SYS_setfsgid : SYS_setfsuid, -1);
    STA__RAW3(is_group ? SYS_getresgid : SYS_getresuid, &ids[STA__PROC_REAL],
              &ids[STA__PROC_EFFECTIVE], &ids[STA__PROC_SAVED]);
    return ids[which];
}

/* A namespace's inode has its number. */
static uint32_t namespace_of(uint32_t who, enum sta__task_object object, const char *name)
{
    char path[STA__PROC_PATH_MAX];
    bool is_kept = keeps(who);
    struct stat stat;

    if (is_kept && kept.namespaces[object])
        return kept.namespaces[object];
    sta__proc_path(path, tid_of(who), name);
    if (STA__RAW4(SYS_newfstatat, AT_FDCWD, path, &stat, 0) < 0)
        return 0;
    if (is_kept)
        kept.namespaces[object] = (uint32_t)stat.st_ino;
    return (uint32_t)stat.st_ino;
}

/* struct new_utsname is what uname(2) gives. Of other processes' names nothing is known. */
static void copy_uts_name(uint32_t who, char *out)
{
    if (tgid_of(who) == (uint32_t)(sta__pid_tgid() >> 32))
        STA__RAW1(SYS_uname, out);
}

static uint32_t number_of(enum sta__task_field field, uint32_t who)
{
    switch (field) {
    case STA__FIELD_PID:
    case STA__FIELD_PID_NUMBER:
        return tid_of(who);
    case STA__FIELD_TGID:
        return tgid_of(who);
    case STA__FIELD_FLAGS:
        return flags_of(who);
    case STA__FIELD_UID:
        return id_of(who, false, STA__PROC_REAL);
    case STA__FIELD_EUID:
        return id_of(who, false, STA__PROC_EFFECTIVE);
    case STA__FIELD_SUID:
        return id_of(who, false, STA__PROC_SAVED);
    case STA__FIELD_FSUID:
        return id_of(who, false, STA__PROC_FILE_SYSTEM);
    case STA__FIELD_GID:
        return id_of(who, true, STA__PROC_REAL);
    case STA__FIELD_EGID:
        return id_of(who, true, STA__PROC_EFFECTIVE);
    case STA__FIELD_SGID:
        return id_of(who, true, STA__PROC_SAVED);
    case STA__FIELD_FSGID:
        return id_of(who, true, STA__PROC_FILE_SYSTEM);
    case STA__FIELD_UTS_INUM:
        return namespace_of(who, STA__TASK_UTS, "ns/uts");
    case STA__FIELD_IPC_INUM:
        return namespace_of(who, STA__TASK_IPC, "ns/ipc");
    case STA__FIELD_MNT_INUM:
        return namespace_of(who, STA__TASK_MNT, "ns/mnt");
    case STA__FIELD_PID_INUM:
        return namespace_of(who, STA__TASK_PID_NS, "ns/pid_for_children");
    case STA__FIELD_NET_INUM:
        return namespace_of(who, STA__TASK_NET, "ns/net");
    case STA__FIELD_TIME_INUM:
        return namespace_of(who, STA__TASK_TIME, "ns/time");
    case STA__FIELD_CGROUP_INUM:
        return namespace_of(who, STA__TASK_CGROUP, "ns/cgroup");
    case STA__FIELD_USER_INUM:
        return namespace_of(who, STA__TASK_USER, "ns/user");
    default: /* exit_code: it has not ended yet */
        return 0;
    }
}

static uint64_t address_of(enum sta__task_field field, uint32_t who)
{
    switch (field) {
    case STA__FIELD_REAL_PARENT:
    case STA__FIELD_PARENT:
        return sta__task_address(sta__task_leader(parent_of(who)), STA__TASK_TASK);
    case STA__FIELD_GROUP_LEADER:
        return sta__task_address(sta__task_leader(tgid_of(who)), STA__TASK_TASK);
    case STA__FIELD_THREAD_PID:
        return sta__task_address(who, STA__TASK_PID);
    case STA__FIELD_REAL_CRED:
    case STA__FIELD_CRED:
        return sta__task_address(who, STA__TASK_CRED);
    case STA__FIELD_NSPROXY:
        return sta__task_address(who, STA__TASK_NSPROXY);
    case STA__FIELD_NSPROXY_UTS:
        return sta__task_address(who, STA__TASK_UTS);
    case STA__FIELD_NSPROXY_IPC:
        return sta__task_address(who, STA__TASK_IPC);
    case STA__FIELD_NSPROXY_MNT:
        return sta__task_address(who, STA__TASK_MNT);
    case STA__FIELD_NSPROXY_PID:
    case STA__FIELD_PID_NS:
        return sta__task_address(who, STA__TASK_PID_NS);
    case STA__FIELD_NSPROXY_NET:
        return sta__task_address(who, STA__TASK_NET);
    case STA__FIELD_NSPROXY_TIME:
        return sta__task_address(who, STA__TASK_TIME);
    case STA__FIELD_NSPROXY_CGROUP:
        return sta__task_address(who, STA__TASK_CGROUP);
    case STA__FIELD_CRED_USER:
        return sta__task_address(who, STA__TASK_USER);
    default:
        return 0;
    }
}

void sta__task_value(enum sta__task_field field, uint32_t who, void *out)
{
    switch (field) {
    case STA__FIELD_COMM:
        copy_comm(who, out);
        return;
    case STA__FIELD_UTS_NAME:
        copy_uts_name(who, out);
        return;
    case STA__FIELD_START_TIME:
        *(uint64_t *)out = start_of(who, CLOCK_MONOTONIC);
        return;
    case STA__FIELD_START_BOOTTIME:
        *(uint64_t *)out = start_of(who, CLOCK_BOOTTIME);
        return;
    default:
        break;
    }
    if (address_of(field, who))
        *(uint64_t *)out = address_of(field, who);
    else
        *(uint32_t *)out = number_of(field, who);
}
