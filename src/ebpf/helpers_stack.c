/* SPDX-License-Identifier: MIT */
/*
 * The application's stack at the call, by frame pointers, as the kernel walks it: first where the
 * call returns to, then the return address of each frame.
 *
 *      rbp ──► | next frame ── | ──► | next frame ── | ──► .. what cannot be read ends it
 *              | return address|     | return address|
 *
 * Frames of functions without frame pointers are not seen, as in the kernel. Of the kernel itself
 * there are no frames. On the dispatch path.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>

#include "attach/dispatch.h"
#include "base/compiler.h"
#include "base/copy_user.h"
#include "base/memory.h"
#include "ebpf/helpers.h"
#include "maps/stack_trace.h"

#define DEPTH_MAX 127 /* kernel.perf_event_max_stack, unless somebody changed it */

#define STACK_FLAGS (BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID)
#define STACKID_FLAGS \
    (BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID)

/* A program's buffer may begin anywhere. */
typedef uint64_t __attribute__((may_alias, aligned(1))) word;

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* One frame, as `push %rbp; mov %rsp, %rbp` makes it. */
struct frame {
    uint64_t next;
    uint64_t return_address;
};

/* Writes up to `max` addresses, after `skip` of them. Returns how many there are, those that were
 * skipped included. */
static uint32_t walk(word *addresses, uint32_t max, uint32_t skip, uint64_t flags)
{
    const struct sta__call_site *site = flags & BPF_F_USER_STACK ? sta__current_site() : NULL;
    struct frame frame;
    uint32_t count = 0;

    if (!site)
        return 0;
    max = min(max + skip, DEPTH_MAX);
    frame.next = site->call.frame_pointer;
    frame.return_address = site->return_address;
    while (count < max) {
        if (count >= skip)
            addresses[count - skip] = frame.return_address;
        count++;
        if (sta__copy_from_user(&frame, frame.next, sizeof(frame)) < 0)
            break;
    }
    return count;
}

static void clear(void *memory, size_t size)
{
    __asm__ volatile("rep stosb" : "+D"(memory), "+c"(size) : "a"(0) : "memory");
}

/* From addresses at the end of the room to what says that no build id is known of them. */
static void add_no_build_ids(char *ids, const word *addresses, uint32_t count)
{
    struct bpf_stack_build_id id;

    clear(&id, sizeof(id));
    id.status = BPF_STACK_BUILD_ID_IP;
    for (uint32_t i = 0; i < count; i++, ids += sizeof(id)) {
        id.ip = addresses[i];
        sta__memory_copy(ids, &id, sizeof(id));
    }
}

static int64_t get_stack(void *buffer, uint32_t size, uint64_t flags)
{
    bool by_id = flags & BPF_F_USER_BUILD_ID;
    uint32_t element = by_id ? sizeof(struct bpf_stack_build_id) : sizeof(uint64_t);
    uint32_t skip = flags & BPF_F_SKIP_FIELD_MASK, max = size / element, count, bytes;
    /* Each element is larger than an address, so the last ones lie behind what they become. */
    word *addresses = (word *)((char *)buffer + size) - max;

    if ((flags & ~(uint64_t)STACK_FLAGS) || size % element != 0 ||
        (by_id && !(flags & BPF_F_USER_STACK)))
        return -EINVAL;
    count = walk(addresses, max, skip, flags);
    if (count < skip)
        return -EFAULT;
    count -= skip;
    bytes = count * element;
    if (by_id)
        add_no_build_ids(buffer, addresses, count);
    clear((char *)buffer + bytes, size - bytes);
    return bytes;
}

STA__HELPER_FUNCTION(get_stack)
{
    void *buffer = (void *)(uintptr_t)r2;
    int64_t result = get_stack(buffer, (uint32_t)r3, r4);

    (void)r1, (void)r5;
    if (result < 0)
        clear(buffer, (uint32_t)r3);
    return (uint64_t)result;
}

STA__HELPER_FUNCTION(get_stackid)
{
    struct sta_map *map = (struct sta_map *)(uintptr_t)r2;
    uint32_t skip = r3 & BPF_F_SKIP_FIELD_MASK, count;
    uint64_t addresses[DEPTH_MAX];

    (void)r1, (void)r4, (void)r5;
    if (r3 & ~(uint64_t)STACKID_FLAGS)
        return (uint64_t)-EINVAL;
    count = walk(addresses, map->value_size / sizeof(uint64_t), skip, r3);
    if (count <= skip)
        return (uint64_t)-EFAULT;
    return (uint64_t)sta__stack_trace_put(map, addresses, count - skip, r3);
}
