/* SPDX-License-Identifier: MIT */
/* The kernel's own virtual machine, by bpf(2): what ours is compared with. */
#ifndef TESTS_KERNEL_BPF_H
#define TESTS_KERNEL_BPF_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* An array map with one element of `size` bytes that is mapped at *value as well. Returns a file
 * descriptor, or -errno. */
int kernel_array(size_t size, void **value);

/* Loads a program. On failure `log` has what the verifier said, as far as it fits. Returns a file
 * descriptor, or -errno. */
int kernel_load(unsigned type, const struct bpf_insn *insns, size_t count, char *log,
                size_t log_size);

/* Runs a raw tracepoint program once. 0 or -errno. */
int kernel_run(int program);

/* Runs a socket filter `repeat` times; *ns is what one run took. 0 or -errno. */
int kernel_repeat(int program, uint32_t repeat, double *ns);

#endif
