/* SPDX-License-Identifier: MIT */
/* What emulated.bpf.c and its hosts know of each other. */
#ifndef EMULATED_H
#define EMULATED_H

#define EMULATED_NR_GETPGID 121

enum { EMULATED_ENTER, EMULATED_TAIL, EMULATED_EXIT, EMULATED_RAW };

struct emulated_event {
    unsigned kind;
    unsigned more;
    unsigned long value;
};

#endif
