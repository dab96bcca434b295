/* SPDX-License-Identifier: MIT */
/* Links: a program that is attached, as an object. */
#ifndef STA_BPFCALL_LINK_H
#define STA_BPFCALL_LINK_H

#include "bpfcall/bpfcall.h"

struct sta__perf_event;

struct sta__bpf_link {
    struct sta__fd_object object;
    uint32_t type; /* BPF_LINK_TYPE_* */
    struct sta__bpf_program *program;
    /* BPF_LINK_TYPE_PERF_EVENT: */
    struct sta__perf_event *event;
    /* Others: both raw tracepoints that there are. */
    bool is_enter;
    int attach_id;
};

#endif
