/* SPDX-License-Identifier: MIT */
/* What sections.bpf.c, typed.bpf.c and their tests know of each other. */
#ifndef SECTIONS_H
#define SECTIONS_H

#define NR_GETPPID 110

enum {
    SEEN_TP_ENTER,
    SEEN_TP_EXIT,
    SEEN_ALL_ENTER,
    SEEN_ALL_EXIT,
    SEEN_RAW_ENTER,
    SEEN_RAW_EXIT,
    SEEN_COUNT,
};

#endif
