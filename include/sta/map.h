/* SPDX-License-Identifier: MIT */
/*
 * eBPF maps in user space: what programs keep between runs, and hosts read.
 *
 * Maps are those of the kernel: types, flags, errors and the meaning of each call are those of
 * bpf(2). A map's memory is one memfd, so that it can be shared: a forked child has the very same
 * map, and another process can map it by its file descriptor.
 *
 * Concurrency: all functions but those that create, open and close may be called from any thread
 * and process at any time, from inside callbacks and in signal handlers. Look-ups take no lock.
 * Whoever is killed in the middle of a change, by whatever signal, leaves the map in order and
 * holds up nobody.
 *
 * -EBUSY is what a signal handler gets that wants to change what the thread it interrupted is
 * changing; and whoever waited for a second for a thread that lives and does not run.
 */
#ifndef STA_MAP_H
#define STA_MAP_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sta_map;

/* What map to create: as in bpf(2). Zero it, then set `size`. */
struct sta_map_options {
    size_t size;                   /* sizeof(struct sta_map_options) */
    uint32_t type;                 /* BPF_MAP_TYPE_* */
    uint32_t key_size, value_size; /* bytes */
    uint32_t max_entries;
    uint32_t map_flags; /* BPF_F_* */
    uint64_t map_extra; /* Bloom filters: how many hashes; else 0 */
    /* Where in each value a struct bpf_spin_lock is, at a multiple of 4; has_spin_lock 0: nowhere.
     * In the kernel the value's BTF says so. Hash maps and arrays. */
    uint32_t has_spin_lock, spin_lock_at;
    const char *name;            /* letters, digits, '_' and '.', at most 15; may be NULL */
    const struct sta_map *inner; /* maps of maps: what the inner ones have to be like */
    sta_log_fn log;              /* receives one line about a refusal; may be NULL */
    void *log_data;
};

/*
 * Creates a map. Returns 0 and the map in *out, or -errno: -EINVAL (attributes that the type does
 * not allow, an unknown type), -E2BIG (too large), -ENOMEM and others of memfd_create(2) and
 * mmap(2). Not from inside a callback.
 */
STA_API int sta_map_create(struct sta_map **out, const struct sta_map_options *options);

/*
 * Opens a map of another process by its memfd, which may be closed afterwards. Of `options`, which
 * may be NULL, only the log is looked at. Both processes have the same map, as if it was inherited.
 *
 * Returns 0, or -errno: -EINVAL (it is no map, is of another version of the layout, or was cut
 * off), -EXDEV (a map per CPU, and this process has not joined its set of CPUs: see
 * sta_map_cpus_join()), -EBADF and others of fstat(2) and mmap(2).
 */
STA_API int sta_map_open_fd(struct sta_map **out, int fd, const struct sta_map_options *options);

/*
 * Gives the map back; NULL is allowed. No other call with it may be under way. Programs that use it
 * and maps that have it as an element keep it; a program array, though, is empty from then on.
 *
 * This process's view of the map goes with the last of them, and the map with its last view. Like
 * sta_detach() this may wait for callbacks on other threads: hold no lock that they may want.
 */
STA_API void sta_map_close(struct sta_map *map);

/* The map's memfd, which belongs to the map; -EINVAL for NULL. */
STA_API int sta_map_fd(const struct sta_map *map);

/*
 * Values per CPU. Each run of a program that uses such maps leases a CPU's number, so that it is
 * alone on it: that of the CPU it runs on, or one that is free. All processes that share such maps
 * have to lease from the same set. Forked children do. Another process joins by this memfd before
 * it opens or creates its first map per CPU.
 *
 * sta_map_cpus_fd: the memfd, or -ENOENT: no map per CPU was created yet. sta_map_cpus_join: 0 or
 * -errno: -EINVAL (it is none), -EBUSY (this process has another set already).
 */
STA_API int sta_map_cpus_fd(void);
STA_API int sta_map_cpus_join(int fd);

/* How many values each key of a map per CPU has. */
STA_API uint32_t sta_map_cpus(void);

/*
 * Values with a lock: with BPF_F_LOCK among the flags the value is copied under it, and an update
 * changes it in place, as in the kernel; -EINVAL if there is none. Without, copies leave the lock
 * alone. A value that is read has zeroes there.
 */

/*
 * Copies the value of `key`, those of all CPUs in a row, each of value_size bytes rounded up to 8.
 * Queues, stacks and Bloom filters: as peek does; key is NULL.
 *
 * Returns 0, -ENOENT, -EPERM (BPF_F_WRONLY), -EINVAL (unknown flags), -EBUSY.
 */
STA_API int sta_map_lookup(struct sta_map *map, const void *key, void *value, uint64_t flags);

/* Sets a value: BPF_ANY, BPF_NOEXIST, BPF_EXIST. Values per CPU as above. Queues, stacks and Bloom
 * filters: as push does; key is NULL.
 *
 * Returns 0, -EEXIST, -ENOENT, -E2BIG (the map is full; an index past the end), -EPERM
 * (BPF_F_RDONLY, or frozen), -EINVAL, -EBUSY. */
STA_API int sta_map_update(struct sta_map *map, const void *key, const void *value, uint64_t flags);

/* Returns 0, -ENOENT, -EPERM, -EINVAL (arrays), -EBUSY. */
STA_API int sta_map_delete(struct sta_map *map, const void *key);

/* Both at once; of queues and stacks, as pop does. -ENOTSUPP (524): not of this type. */
STA_API int sta_map_lookup_and_delete(struct sta_map *map, const void *key, void *value,
                                      uint64_t flags);

/*
 * The key after `key`; the first, if key is NULL or not in the map. A key that this function gave
 * last and that has been removed since keeps its place, so that walking through a map ends even
 * while others remove what is visited. `key` and `next` may be the same.
 *
 * Returns 0, -ENOENT (it was the last), -EPERM.
 */
STA_API int sta_map_next_key(struct sta_map *map, const void *key, void *next);

/*
 * Many at once, as in bpf(2): `count` is how many there is room for or how many are given, and
 * afterwards how many were done. in_batch is NULL at first and then what out_batch was, four bytes
 * or a key, whichever is more; -ENOENT: these were the last. -ENOSPC: `count` is too small for one
 * bucket.
 */
STA_API int sta_map_lookup_batch(struct sta_map *map, const void *in_batch, void *out_batch,
                                 void *keys, void *values, uint32_t *count, uint64_t flags);
STA_API int sta_map_lookup_and_delete_batch(struct sta_map *map, const void *in_batch,
                                            void *out_batch, void *keys, void *values,
                                            uint32_t *count, uint64_t flags);
STA_API int sta_map_update_batch(struct sta_map *map, const void *keys, const void *values,
                                 uint32_t *count, uint64_t flags);
STA_API int sta_map_delete_batch(struct sta_map *map, const void *keys, uint32_t *count,
                                 uint64_t flags);

/*
 * Maps of maps (ARRAY_OF_MAPS, HASH_OF_MAPS): makes an element lead to a map, where the kernel's
 * hosts give a file descriptor. The inner map has to be like `inner` of the options, and may be
 * closed afterwards; a process finds what it, or a process it was forked from, had open then.
 * sta_map_lookup() gives its id, sta_map_delete() takes it out; by that, and by setting it, the map
 * that the element led to before may end, as by sta_map_close().
 *
 * Returns 0 or -errno: -EINVAL (not such a map, or not alike), -E2BIG, -ENFILE, -ENOMEM, those of
 * sta_map_update(). Not from inside a callback.
 */
STA_API int sta_map_set_map(struct sta_map *map, const void *key, struct sta_map *inner,
                            uint64_t flags);

/*
 * CGROUP_ARRAY: makes an element stand for a control group of the unified hierarchy (version 2), of
 * which `fd` is the directory; it may be closed afterwards. For bpf_current_task_under_cgroup().
 *
 * Returns 0 or -errno: -EBADF (no such directory), -EINVAL (no such map, or flags), -E2BIG, -EPERM
 * (BPF_F_RDONLY, or frozen). Not from inside a callback.
 */
STA_API int sta_map_set_cgroup(struct sta_map *map, uint32_t index, int fd, uint64_t flags);

/*
 * Ring buffers (BPF_MAP_TYPE_RINGBUF): calls `fn` for each record in turn, until there is none, or
 * one that its producer has yet to submit. `record` lasts for the call. What `fn` returns, if it is
 * negative, ends this and is returned, with the record consumed.
 *
 * Returns how many there were; -EINVAL: no ring buffer; -EBADMSG: another process spoiled it. One
 * consumer at a time. sta_ring_poll waits for the first record, for at most so many milliseconds,
 * -1: for ever; 0 is returned when there was none.
 */
typedef int (*sta_ring_fn)(void *data, const void *record, size_t size);

STA_API int sta_ring_consume(struct sta_map *map, sta_ring_fn fn, void *data);
STA_API int sta_ring_poll(struct sta_map *map, int timeout_ms, sta_ring_fn fn, void *data);

/*
 * Perf event arrays (BPF_MAP_TYPE_PERF_EVENT_ARRAY): rings for what bpf_perf_event_output() writes,
 * one for each CPU, of so many pages (a power of two); they are put into the array, which has to
 * have an element for each CPU, and taken out by sta_perf_close().
 *
 * sta_perf_consume() calls `fn` for each sample in turn, those of one CPU in the order in which
 * they were written; `sample` lasts for the call, and its size is filled up to a multiple of 8,
 * less 4, as in the kernel. NULL: `size` samples were lost here, for which there was no room. What
 * `fn` returns, if it is negative, ends this and is returned. sta_perf_poll() waits as
 * sta_ring_poll().
 *
 * Return 0, how many there were, or -errno: -EINVAL (no such map, `pages`), -E2BIG (too few
 * elements), -EBADMSG (somebody spoiled a ring), -ENOMEM and others of memfd_create(2). One
 * consumer at a time; not from inside a callback.
 */
struct sta_perf;

typedef int (*sta_perf_fn)(void *data, uint32_t cpu, const void *sample, size_t size);

STA_API int sta_perf_open(struct sta_perf **out, struct sta_map *map, uint32_t pages);
STA_API int sta_perf_consume(struct sta_perf *perf, sta_perf_fn fn, void *data);
STA_API int sta_perf_poll(struct sta_perf *perf, int timeout_ms, sta_perf_fn fn, void *data);
STA_API void sta_perf_close(struct sta_perf *perf); /* NULL is allowed */

/* From now on hosts cannot change it, in no process; programs can, unless it has
 * BPF_F_RDONLY_PROG. Returns 0 or -EPERM: it is frozen already, or BPF_F_RDONLY. */
STA_API int sta_map_freeze(struct sta_map *map);

/* What is known of a map. Set `size`; fields past it are not filled. */
struct sta_map_info {
    size_t size;
    uint32_t type, key_size, value_size, max_entries, map_flags;
    uint32_t id; /* the same in all processes; never 0 */
    uint64_t map_extra;
    uint32_t is_frozen;
    uint32_t cpus;         /* values of each key; 1 if they are not per CPU */
    uint64_t memory_bytes; /* of the memfd; pages that nobody touched take none */
    uint64_t values_at;    /* arrays, not per CPU: where in the memfd the values begin */
    char name[16];
};

STA_API int sta_map_info(const struct sta_map *map, struct sta_map_info *out);

#ifdef __cplusplus
}
#endif

#endif
