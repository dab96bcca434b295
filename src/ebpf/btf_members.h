/* SPDX-License-Identifier: MIT */
/*
 * Where the members of the kernel's structs lie: just so much of BTF
 * (Documentation/bpf/btf.rst) as this takes, for hosts without libbpf, and faster than by it. Not
 * on the dispatch path.
 */
#ifndef STA_EBPF_BTF_MEMBERS_H
#define STA_EBPF_BTF_MEMBERS_H

#include <linux/btf.h>
#include <stddef.h>
#include <stdint.h>

struct sta__btf {
    const char *data; /* all of it */
    size_t size;
    const char *strings;
    uint32_t strings_size;
    uint32_t *types; /* where each type begins in `data`, by its id; malloc'ed */
    uint32_t count;  /* one more than the highest id */
};

/* Bytes of a type behind struct btf_type; -1: nobody knows such a kind. */
int64_t sta__btf_tail_size(const struct btf_type *type);

/* Looks through the data, which has to stay. 0, -EINVAL (it is no BTF), -ENOMEM. */
int sta__btf_open(struct sta__btf *btf, const char *data, size_t size);
void sta__btf_close(struct sta__btf *btf);

/* The ids of the structs of these names; 0: there is none. */
void sta__btf_structs(const struct sta__btf *btf, const char *const *names, uint32_t *ids,
                      unsigned count);

/* The offset in bytes of a member, "a.b" of one in another one, of an array's first element if it
 * is in an array; -ENOENT: there is none. Structs without a name are looked into. */
int64_t sta__btf_member(const struct sta__btf *btf, uint32_t structure, const char *path);

#endif
