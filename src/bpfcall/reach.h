/* SPDX-License-Identifier: MIT */
/*
 * Making libbpf's calls reach an emulation, on the calling thread and for a while:
 *
 *   no transformer is installed     a door (transform/door.h): no code changes
 *   the kernel has no such thing    the transformer, with a registry of its own, for as long as it
 *                                   takes
 *   one is installed                hooks on its registry, which stays installed meanwhile
 *
 * Other threads' calls go to the kernel as before, also where they come by the same hooks.
 */
#ifndef STA_BPFCALL_REACH_H
#define STA_BPFCALL_REACH_H

#include <stdbool.h>

#include "bpfcall/bpfcall.h"
#include "transform/door.h"

struct sta__reach {
    struct sta__door door; /* first */
    struct sta__bpf *bpf;
    struct sta *own;  /* the registry whose transformer was installed for this; or NULL */
    struct sta *held; /* whose transformer is kept installed; or NULL */
    int hooks[STA__HOOKS_MAX], hook_count;
};

/* 0 or -errno with a message: -EDEADLK, from inside a callback; -ENOTSUP; -ENOMEM. */
int sta__reach_begin(struct sta__reach *reach, struct sta__bpf *bpf, const struct sta__log *log);
void sta__reach_end(struct sta__reach *reach);

#endif
