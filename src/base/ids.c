/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see ids.h. */
#include "base/ids.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/gate.h"
#include "base/quiesce.h"

_Atomic uint32_t sta__interceptions;

static STA__NOINLINE uint64_t ask(void)
{
    return (uint64_t)STA__RAW0(SYS_getpid) << 32 | (uint32_t)STA__RAW0(SYS_gettid);
}

/*
 * What is kept must not outlive a fork. The child's copy of this thread's memory has the parent's
 * ids, but the records are wiped there (see struct sta__reader_pool), so that the thread has none
 * any more; and claiming one forgets the ids. A vfork child, which has its parent's memory, is told
 * apart by who sees the call: see sta__self_forget_ids().
 */
STA__INLINE bool is_mine(void)
{
    return atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) == sta__self.owner;
}

uint64_t sta__pid_tgid(void)
{
    uint64_t ids = sta__self.pid_tgid;

    if (sta__likely(ids && is_mine()))
        return ids;
    ids = ask();
    if (is_mine())
        sta__self.pid_tgid = ids;
    return ids;
}

/* As above. The number is kept last, and read first: a signal handler finds both, or none. */
bool sta__pid_namespace(uint64_t *dev, uint64_t *ino)
{
    volatile struct sta__reader_self *self = &sta__self;
    struct stat status;

    *ino = self->pid_namespace;
    *dev = self->pid_namespace_dev;
    if (*ino && is_mine())
        return true;
    if (STA__RAW4(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &status, 0) < 0)
        return false;
    *ino = status.st_ino;
    *dev = status.st_dev;
    if (is_mine()) {
        self->pid_namespace_dev = *dev;
        self->pid_namespace = *ino;
    }
    return true;
}
