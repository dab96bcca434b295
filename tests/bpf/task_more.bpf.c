/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The same with a field that only the kernel's BTF knows. */
#define READS_MORE
#include "task.bpf.c"
