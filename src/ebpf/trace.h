/* SPDX-License-Identifier: MIT */
/* The ring of printed lines, see sta/trace.h: a ring buffer map whose records are these. */
#ifndef STA_EBPF_TRACE_H
#define STA_EBPF_TRACE_H

#include <sta/trace.h>

#include "base/compiler.h"
#include "base/log.h"
#include "ebpf/message.h"
#include "maps/map.h"

struct sta__trace_record {
    uint64_t time_ns;
    uint32_t tgid, pid, cpu, length;
    char comm[16];
    char text[STA__FORMAT_TEXT_MAX]; /* length bytes, and a zero; the record ends there */
};

#define STA__TRACE_RECORD_HEAD offsetof(struct sta__trace_record, text)

extern STA__HIDDEN _Atomic(struct sta_map *) sta__trace_ring; /* NULL: no program prints */

/* Prints a line. Returns how long it is, or would be if it had not been cut off. On the dispatch
 * path. */
uint64_t sta__trace_print(const char *format, const struct sta__format_args *args);

/* Makes the ring if there is none. 0 or -errno. */
int sta__trace_prepare(const struct sta__log *log);

#endif
