/* SPDX-License-Identifier: MIT */
/* Which thread this is. */
#ifndef STA_BASE_IDS_H
#define STA_BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

/* Process id << 32 | thread id, as getpid(2) and gettid(2) see them. A thread that has a reader's
 * record asks once: sta__self.pid_tgid. Async-signal-safe. */
uint64_t sta__pid_tgid(void);

/* The pid namespace that these ids are of, as stat(2) sees /proc/self/ns/pid: asked and kept
 * likewise. False: it cannot be read. Async-signal-safe. */
bool sta__pid_namespace(uint64_t *dev, uint64_t *ino);

#endif
