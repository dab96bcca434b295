/* SPDX-License-Identifier: MIT */
/* What open_trace.bpf.c tells open_trace.c. */
#ifndef OPEN_TRACE_H
#define OPEN_TRACE_H

#define OPEN_PATH_SIZE 64

struct open_event {
    int tid;
    int result; /* the descriptor, or -errno */
    char comm[16];
    char path[OPEN_PATH_SIZE];
};

#endif
