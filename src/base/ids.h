/* SPDX-License-Identifier: MIT */
/* Which thread this is. */
#ifndef STA_BASE_IDS_H
#define STA_BASE_IDS_H

#include <stdint.h>

/* Process id << 32 | thread id, as getpid(2) and gettid(2) see them. A thread that has a reader's
 * record asks once: sta__self.pid_tgid. Async-signal-safe. */
uint64_t sta__pid_tgid(void);

#endif
