/* SPDX-License-Identifier: MIT */
/*
 * bpf(2) in user space: programs that are written for the kernel's eBPF, with libbpf or without,
 * create their maps and load and attach their programs here, and need no privilege for it.
 *
 * While a registry emulates, the process's own bpf(2), perf_event_open(2) and what goes with them
 * are answered by the library wherever they reach the registry (see sta/transform.h). Descriptors
 * that are handed out are real ones: they can be duplicated, sent, inherited, polled and mapped.
 * What concerns the kernel's objects goes to the kernel untouched.
 *
 * A host that calls these functions has to link libbpf, libelf and zlib.
 */
#ifndef STA_BPFCALL_H
#define STA_BPFCALL_H

#include <stddef.h>

#include <sta/attach.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to emulate. Zero it, then set `size`; fields past `size` take their defaults. */
struct sta_emulate_options {
    size_t size;
    unsigned flags; /* none yet: 0 */
    sta_log_fn log; /* one line for each refusal; may be NULL */
    void *log_data;
};

/*
 * Begins to answer. `options` may be NULL. One registry of a process at a time.
 *
 * Returns 0, or -errno: -EBUSY (one does already), -EINVAL, -E2BIG, -ENOMEM, those of sta_attach().
 * Not from inside a callback.
 */
STA_API int sta_emulate_start(struct sta *sta, const struct sta_emulate_options *options);

/*
 * Ends it: detaches all programs and gives back all objects that were made by it. Descriptors which
 * are open still stand for nothing then. To be called before sta_free().
 *
 * Returns 0; -ENOENT, this registry does not emulate; -EDEADLK, from inside a callback.
 */
STA_API int sta_emulate_stop(struct sta *sta);

#ifdef __cplusplus
}
#endif

#endif
