/* SPDX-License-Identifier: MIT */
/* What sta__clock_prepare() found out. */
#ifndef STA_BASE_CLOCK_STATE_H
#define STA_BASE_CLOCK_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/compiler.h"

typedef int (*sta__clock_gettime_fn)(clockid_t clock, struct timespec *time);

extern STA__HIDDEN _Atomic(sta__clock_gettime_fn) sta__vdso_clock_gettime; /* NULL: not found */
extern STA__HIDDEN _Atomic bool sta__has_rdpid;

#endif
