/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see ids.h. */
#include "base/ids.h"

#include "base/gate.h"
#include "base/quiesce.h"

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
uint64_t sta__pid_tgid(void)
{
    uint64_t ids = sta__self.pid_tgid;

    if (sta__likely(ids && atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) ==
                               sta__self.owner))
        return ids;
    ids = ask();
    if (atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) == sta__self.owner)
        sta__self.pid_tgid = ids;
    return ids;
}
