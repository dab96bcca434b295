/* SPDX-License-Identifier: MIT */
/*
 * What a program sees of a map. Each type of map has a table of operations in a file of its own.
 */
#ifndef STA_MAPS_MAP_H
#define STA_MAPS_MAP_H

#include <linux/bpf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/after_grace.h"
#include "base/lock.h"

struct sta_map;
struct sta__map_head;
struct sta__bucket;
struct sta__tail_target;

/* Visits one element; what it returns ends the walk unless it is 0. */
typedef long (*sta__map_visit)(struct sta_map *map, const void *key, void *value, void *data);

/*
 * As async-signal-safe as the dispatcher, from any thread. The kernel's errors. The types' own
 * tables are complete: what a type does not do is in map_none.h.
 */
struct sta__map_ops {
    /* For helpers, on the dispatch path. */
    void *(*lookup)(struct sta_map *map, const void *key); /* the value's address; NULL: none */
    long (*update)(struct sta_map *map, const void *key, const void *value, uint64_t flags);
    long (*remove)(struct sta_map *map, const void *key);
    /* BPF_MAP_TYPE_PROG_ARRAY, which has to have it: the element's program, see ebpf/tail.h. NULL:
     * there is none. `index` is less than max_entries. What is returned stays until the run ends.
     */
    const struct sta__tail_target *(*tail_target)(struct sta_map *map, uint32_t index);
    /* Per CPU: the value of this CPU. */
    void *(*lookup_percpu)(struct sta_map *map, const void *key, uint32_t cpu);
    /* Queues, stacks, Bloom filters. */
    long (*push)(struct sta_map *map, const void *value, uint64_t flags);
    long (*pop)(struct sta_map *map, void *value);
    long (*peek)(struct sta_map *map, void *value);
    /* bpf_for_each_map_elem: how many were visited. */
    long (*for_each)(struct sta_map *map, sta__map_visit visit, void *data);

    /* For hosts, as bpf(2) has it: values are copied, those of all CPUs in a row, each of a
     * multiple of 8 bytes. */
    long (*read)(struct sta_map *map, const void *key, void *value);
    /* The same under the value's lock: of types whose values can have one. */
    long (*read_locked)(struct sta_map *map, const void *key, void *value);
    long (*write)(struct sta_map *map, const void *key, const void *value, uint64_t flags);
    long (*take)(struct sta_map *map, const void *key, void *value);    /* reads and removes */
    long (*next_key)(struct sta_map *map, const void *key, void *next); /* key NULL: the first */
};

/* Where the parts of a map lie, in this process. By type. */
struct sta__hash {
    struct sta__bucket *buckets;
    uint32_t bucket_mask;
    uint32_t capacity; /* elements */
    char *elems;
    uint32_t elem_size;
    uint32_t value_at;       /* in an element */
    uint32_t other_value;    /* bytes to the second value; 0: there is one */
    uint32_t cpu_value_size; /* per CPU: bytes from one element's value to the next one's */
    uint32_t free_words;
    _Atomic uint64_t *free_bits;
    char *cpu_values; /* per CPU: values of the first CPU's elements */
    size_t cpu_stride;
    uint64_t seed;
    bool is_lru;
    /* The hash of the key that next_key gave last: see there. */
    _Atomic uint64_t cursor;
};

struct sta__array {
    size_t values_at;  /* per CPU: in the mapping */
    size_t cpu_stride; /* to the next CPU's values */
};

struct sta__queue {
    char *values;
    uint32_t stride, slots;
};

struct sta__bloom {
    _Atomic uint64_t *bits;
    uint64_t mask; /* of numbers of bits */
    uint32_t hashes;
};

struct sta__trie {
    _Atomic uint32_t *lengths; /* how many prefixes have each length */
    uint32_t longest;          /* bits */
};

struct sta__object_array {
    _Atomic uint64_t *ids;
    /* Nobody but programs has it any more: it leads nowhere, in this process. */
    _Atomic bool is_left;
    _Atomic uint32_t program_type; /* of programs: ebpf/program.h; 0: of any, yet */
};

struct sta__stacks {
    char *slots;
    uint32_t stride;
    uint32_t count; /* a power of two */
    uint64_t seed;
};

struct sta__ring {
    _Atomic uint64_t *consumer; /* positions: bytes ever consumed, */
    _Atomic uint64_t *producer; /* ever reserved */
    char *data;                 /* mapped twice in a row */
    uint64_t mask;
    int wake_fd; /* an eventfd that is written when there is something to read; -1: none */
};

struct sta_map {
    const struct sta__map_ops *ops;
    uint32_t type; /* BPF_MAP_TYPE_* */
    uint32_t key_size, value_size;
    uint32_t max_entries;
    uint32_t flags; /* BPF_F_* */
    /* Nobody can change its contents any more (BPF_MAP_FREEZE with BPF_F_RDONLY_PROG): the verifier
     * takes them as constants. */
    bool is_frozen;
    /* Array maps, not per CPU: where element 0 lies, and bytes from one element to the next.
     * BPF_PSEUDO_MAP_VALUE points into the first; NULL: it has no such place. */
    void *values;
    uint32_t value_stride;

    bool has_lock; /* a struct bpf_spin_lock in each value: value_lock.h */
    uint32_t lock_at;

    uint32_t cpus; /* values of each key */
    /* What it holds is one CPU's: programs that use it run under a lease, lease.h. */
    bool is_leased;
    struct sta__map_head *head;
    union {
        struct sta__array array;
        struct sta__hash hash;
        struct sta__queue queue;
        struct sta__bloom bloom;
        struct sta__ring ring;
        struct sta__object_array objects;
        struct sta__stacks stacks;
    };
    struct sta__trie trie; /* beside `hash` */
    size_t size;           /* of the memfd */
    size_t again_size;     /* rings: the end of it, which is mapped a second time behind it */
    int fd;
    /* Maps of maps: what the verifier goes by for an element: one that is like them and has no
     * memory. Else NULL. */
    struct sta_map *inner;
    bool is_inner; /* it is such a one */

    /* Of this process: see sta__map_get(). */
    _Atomic uint32_t references; /* besides the first one */
    _Atomic uint32_t hosts;      /* likewise */
    struct sta__after_grace after_grace;
    struct sta__lock objects_lock;  /* of what follows, and of changes of HASH_OF_MAPS */
    struct sta__held *objects_held; /* what its elements lead to: objects_held.h */
};

/*
 * Who has a map holds a reference to it: hosts (the one that created it, each file descriptor of
 * bpf(2)), programs, and maps that have it as an element. Its view of the memory goes with the last
 * one, when nobody on the dispatch path can be looking at it any more; until then it is the same.
 *
 * A program array that no host has is empty: the programs that it leads to may be those that hold
 * it. So hosts are counted apart; they get a reference by sta__map_open() and give it up by
 * sta_map_close().
 *
 * From any thread, also inside callbacks; not in signal handlers that may interrupt malloc. The
 * latter two may wait for callbacks on other threads.
 */
void sta__map_get(struct sta_map *map);
void sta__map_put(struct sta_map *map);
void sta__map_open(struct sta_map *map);

/* map_constant.c: the map is frozen. If programs only read it, its values are constants from now
 * on, whatever becomes of the memory that it shares. -ENOMEM. Not on the dispatch path. */
int sta__map_keep_constants(struct sta_map *map);

#endif
