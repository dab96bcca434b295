/* SPDX-License-Identifier: MIT */
/*
 * Quiescence, the writers' side: waiting until no thread is in a section that began before now. The
 * readers' side and the picture of the whole are in quiesce.h.
 */
#ifndef STA_BASE_GRACE_H
#define STA_BASE_GRACE_H

#include "base/log.h"

/* Makes sections possible in this process. Idempotent, any thread. 0 or -errno (-ENOMEM, ...). */
int sta__readers_init(const struct sta__log *log);

enum sta__grace {
    STA__GRACE_OVER,     /* nobody is in an older section */
    STA__GRACE_INSIDE,   /* nobody but the calling thread is: what its section uses must stay */
    STA__GRACE_DEADLOCK, /* another thread is, and waits for the calling thread's section in turn */
};

/*
 * Waits for every section that was entered before this call. What the caller published before is
 * seen by all sections that are entered later. Blocks; holds no lock and must not be called with
 * one.
 */
enum sta__grace sta__grace_wait(void);

#endif
