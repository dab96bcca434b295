/* SPDX-License-Identifier: MIT */
/* Which thread this is. */
#ifndef STA_BASE_IDS_H
#define STA_BASE_IDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Odd while the process's calls are intercepted; counts how often that began and ended. What a
 * thread knows of itself, and would have seen change, holds while this stays the same and odd. */
extern STA__HIDDEN _Atomic uint32_t sta__interceptions;

/* Process id << 32 | thread id, as getpid(2) and gettid(2) see them. A thread that has a reader's
 * record asks once: sta__self.pid_tgid. Async-signal-safe. */
uint64_t sta__pid_tgid(void);

/* The pid namespace that these ids are of, as stat(2) sees /proc/self/ns/pid: asked and kept
 * likewise. False: it cannot be read. Async-signal-safe. */
bool sta__pid_namespace(uint64_t *dev, uint64_t *ino);

#endif
