/* SPDX-License-Identifier: MIT */
/*
 * What eBPF programs print: bpf_trace_printk() and bpf_trace_vprintk(), bpf_printk() in libbpf's
 * headers. The kernel's programs print to its trace_pipe; here lines are kept in memory until the
 * host reads them, and the library prints nothing.
 *
 *      program ─► bpf_trace_printk() ─► ring ─► sta_trace_read(): a callback for each line
 *
 * There is one ring for all programs of the process. It is made when the first program is loaded
 * that prints, and forked children have the very same one. When it is full, lines are dropped, and
 * counted.
 *
 * Lines may be read from any thread, not from inside a callback; by one reader at a time, of all
 * the processes that share the ring.
 */
#ifndef STA_TRACE_H
#define STA_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STA_TRACE_SIZE_DEFAULT (1u << 20)
/* What sta_trace_format() writes at most, with the zero at its end. */
#define STA_TRACE_LINE_MAX 1152

/* One call of the helper: who printed, when, and what. */
struct sta_trace_line {
    uint64_t time_ns;   /* CLOCK_MONOTONIC */
    uint32_t tgid, pid; /* of the process, of the thread */
    uint32_t cpu;       /* as bpf_get_smp_processor_id() */
    char comm[16];
    const char *text; /* as printed, cut off after 1023 bytes; ends with a zero */
    size_t length;
};

/* `line` lasts for the call. What it returns, if it is negative, ends the reading. */
typedef int (*sta_trace_fn)(void *data, const struct sta_trace_line *line);

/*
 * Makes the ring, if a size other than the default is wanted: a power of two, a multiple of the
 * page's size; before a program that prints is loaded. 0 or -errno: -EALREADY (there is one),
 * those of sta_map_create().
 */
STA_API int sta_trace_open(size_t size);

/*
 * Calls `fn` for each line that there is, oldest first. Returns how many; 0 also if no program
 * that prints was loaded; or what `fn` returned below 0: that line counts as read. sta_trace_poll()
 * waits for the first one, for at most so many milliseconds, -1: for ever; -ENOENT: no program that
 * prints was loaded.
 */
STA_API int sta_trace_read(sta_trace_fn fn, void *data);
STA_API int sta_trace_poll(int timeout_ms, sta_trace_fn fn, void *data);

/*
 * A file descriptor for poll(2) and the like, readable once there is something to be read since
 * sta_trace_read() was called last. It belongs to the library. -ENOENT, or those of eventfd(2).
 */
STA_API int sta_trace_fd(void);

/* Lines that were dropped since the ring was made, in all processes that share it. */
STA_API uint64_t sta_trace_lost(void);

/*
 * The line as the kernel's trace_pipe has it, with a newline:
 *
 *              cat-4711    [002] ..... 83711.204187: bpf_trace_printk: hello
 *
 * Returns its length, cut off at size - 1.
 */
STA_API size_t sta_trace_format(char *to, size_t size, const struct sta_trace_line *line);

#ifdef __cplusplus
}
#endif

#endif
