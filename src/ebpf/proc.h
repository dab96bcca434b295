/* SPDX-License-Identifier: MIT */
/* What /proc says of a thread, by system calls through the gate, without libc. Async-signal-safe.
 */
#ifndef STA_EBPF_PROC_H
#define STA_EBPF_PROC_H

#include <stdbool.h>
#include <stdint.h>

#define STA__PROC_PATH_MAX 64

/* "/proc/<tid>/<name>" */
void sta__proc_path(char *path, uint32_t tid, const char *name);

struct sta__proc_stat {
    char comm[16];
    uint32_t ppid;
    uint32_t flags; /* PF_* */
    uint64_t start_ticks;
};

struct sta__proc_status {
    uint32_t tgid;
    uint32_t uid[4], gid[4]; /* STA__PROC_* */
};

#define STA__PROC_REAL        0
#define STA__PROC_EFFECTIVE   1
#define STA__PROC_SAVED       2
#define STA__PROC_FILE_SYSTEM 3

/* False: there is no such thread, or no /proc. */
bool sta__proc_stat(uint32_t tid, struct sta__proc_stat *out);
bool sta__proc_status(uint32_t tid, struct sta__proc_status *out);

#endif
