/* SPDX-License-Identifier: MIT */
/*
 * The image of tasks: what programs read behind bpf_get_current_task().
 *
 * There is no memory of it. An address in the image says which thread and which of the kernel's
 * structs, and reading it with bpf_probe_read_kernel() finds out what the fields have right then,
 * by system calls or in /proc: after a fork, setuid, setns or a parent's end it is right by itself,
 * and a program pays for the fields that it reads. (What changes seldom, and not unseen, is kept:
 * see task_values.c.) The addresses look like the kernel's, where nothing of the process can be.
 *
 *      STA__TASK_BASE | is a process's first thread | thread id << 18 | object and offset
 *
 *      .. |      thread 4711       |      thread 4712       | ..
 *         | task_struct | nsproxy | cred | pid | namespaces |
 *
 * Where the fields lie is what the running kernel's BTF says, as libbpf relocates programs by it;
 * where that cannot be read, a layout of our own, of which src/bpfcall makes a BTF. Thread ids are
 * those that the process itself sees.
 */
#ifndef STA_EBPF_TASK_H
#define STA_EBPF_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

#define STA__TASK_BASE     0xffff888000000000ull
#define STA__TASK_TID_BITS 22
#define STA__TASK_BITS     18 /* of one thread's structs */
#define STA__TASK_SPAN     (UINT64_C(1) << (1 + STA__TASK_TID_BITS + STA__TASK_BITS))

/* Who a struct is about: a thread's id, and whether that is its process's too. Whoever makes an
 * address knows it, so that a task has one, and nobody has to look it up. */
#define STA__TASK_LEADER   (1u << STA__TASK_TID_BITS)
#define STA__TASK_TID_MASK (STA__TASK_LEADER - 1)

enum sta__task_object {
    STA__TASK_TASK,
    STA__TASK_NSPROXY,
    STA__TASK_CRED,
    STA__TASK_PID,
    STA__TASK_UTS,
    STA__TASK_IPC,
    STA__TASK_MNT,
    STA__TASK_PID_NS,
    STA__TASK_NET,
    STA__TASK_TIME,
    STA__TASK_CGROUP,
    STA__TASK_USER,
    STA__TASK_OBJECTS,
};

enum sta__task_field {
#define FIELD(name, object, size, at, structure, member) STA__FIELD_##name,
#include "ebpf/task_fields.h"
#undef FIELD
    STA__TASK_FIELDS,
};

/* The largest of them. */
#define STA__TASK_FIELD_MAX 390

/* The address of an object of a thread, or of a process's first one. */
static inline uint64_t sta__task_address(uint32_t who, enum sta__task_object object)
{
    /* task_struct has 64 KiB, the others 8 KiB each. */
    uint64_t at = object == STA__TASK_TASK ? 0 : 0x10000 + (uint64_t)(object - 1) * 0x2000;

    return STA__TASK_BASE + ((uint64_t)who << STA__TASK_BITS) + at;
}

static inline uint32_t sta__task_leader(uint32_t tgid)
{
    return (tgid & STA__TASK_TID_MASK) | STA__TASK_LEADER;
}

/* Reads the image; false: not all of these bytes are in it. Async-signal-safe. */
bool sta__task_read(void *to, uint64_t address, uint32_t size);

/* task_values.c: what a field has, in `out`, which is zeros. */
void sta__task_value(enum sta__task_field field, uint32_t who, void *out);
/* The thread that runs. */
uint32_t sta__task_self(void);

/* task_layout.c: finds out where fields lie, once in the process's life. Not on the dispatch path.
 */
void sta__task_prepare(const struct sta__log *log);

/* Which member of which struct a field is, "a.b" of one in another one, and its size in bytes. */
struct sta__task_member {
    const char *structure;
    const char *member;
    uint32_t size;
    enum sta__task_object object;
};

extern const struct sta__task_member sta__task_members[STA__TASK_FIELDS]
    __attribute__((visibility("hidden")));

/* Where a field lies; STA__TASK_ABSENT: this kernel has none. Written before any program reads. */
#define STA__TASK_ABSENT UINT32_MAX
extern uint32_t sta__task_offsets[STA__TASK_FIELDS] __attribute__((visibility("hidden")));

#endif
