/* SPDX-License-Identifier: MIT */
#include "transform/newcode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "base/lock.h"
#include "base/pages.h"
#include "transform/entry.h"
#include "transform/images.h"
#include "transform/sync.h"
#include "transform/trap.h"

static _Atomic bool is_watching;

#define TRIED_COUNT 256
/* Where a call trapped and could not be rewritten. */
static _Atomic uintptr_t tried[TRIED_COUNT];

/* What a query by address asks of /proc/self/maps, and gets (linux/fs.h since 6.11). */
struct map_query {
    uint64_t size, flags, address;
    uint64_t start, end, map_flags, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};

#define MAP_QUERY            _IOWR('f', 17, struct map_query)
#define MAP_QUERY_EXECUTABLE 0x04
#define MAP_QUERY_OR_NEXT    0x10
#define MAP_QUERY_FILE       0x20

/* Release, acquire: who watches finds the images. */
void sta__newcode_watch(bool watch)
{
    atomic_store_explicit(&is_watching, watch, memory_order_release);
}

static bool watches(void)
{
    return atomic_load_explicit(&is_watching, memory_order_acquire);
}

bool sta__newcode_concerns(int64_t sys_nr)
{
    return sys_nr == SYS_mmap || sys_nr == SYS_munmap || sys_nr == SYS_mremap ||
           sys_nr == SYS_mprotect || sys_nr == SYS_pkey_mprotect || sys_nr == SYS_prctl ||
           sys_nr == SYS_seccomp;
}

/* A filter that the application has installed may kill it for calls that it does not make itself.
 */
static _Atomic bool is_filtered;

static bool overlaps(uintptr_t start, uintptr_t end)
{
    struct sta__lock_state saved;
    bool found;

    sta__lock(&sta__images_lock, &saved);
    found = sta__images_overlap(start, end);
    sta__unlock(&sta__images_lock, &saved);
    return found;
}

static void forget(uintptr_t start, uintptr_t end)
{
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    sta__images_drop(start, end);
    sta__unlock(&sta__images_lock, &saved);
}

/* Acquire: pairs with install and remove. */
static struct sta *active(void)
{
    return atomic_load_explicit(&sta__active, memory_order_acquire);
}

static int64_t make(const struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    return STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* mmap(address, size, protection, flags, fd, offset) */
static bool call_mmap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    bool replaces = (args[3] & MAP_FIXED) && overlaps(args[0], args[0] + args[1]);
    bool is_code = (args[2] & PROT_EXEC) && !(args[3] & MAP_ANONYMOUS) &&
                   (args[3] & MAP_TYPE) == MAP_PRIVATE && !(args[2] & PROT_WRITE);
    struct sta__lock_state saved;
    uintptr_t start, end;

    if (!replaces && !is_code)
        return false;
    if (replaces)
        forget(args[0], args[0] + args[1]);
    call->ret = make(call);
    if (!is_code || sta__is_error(call->ret))
        return true;
    start = (uintptr_t)call->ret;
    end = sta__page_up(start + args[1]);
    sta__lock(&sta__images_lock, &saved);
    sta__images_drop(start, end);
    if (sta__images_add_file(start, end, (int)args[4], args[5]) == 0)
        sta__sync(active());
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
    return true;
}

/* Who wants to write to code of his own is to find what he wrote before. */
static void release_guests(uintptr_t start, uintptr_t end)
{
    struct sta__lock_state saved;

    if (!overlaps(start, end))
        return;
    sta__lock(&sta__images_lock, &saved);
    sta__sync_restore(start, end, true);
    sta__images_drop_guests(start, end);
    for (unsigned i = 0; i < TRIED_COUNT; i++)
        atomic_store_explicit(&tried[i], 0, memory_order_relaxed);
    sta__unlock(&sta__images_lock, &saved);
}

/* Whether executable mappings of files lie there. Without the query nobody knows: look. */
static bool has_code(uintptr_t start, uintptr_t end)
{
    struct map_query query = {.size = sizeof(query)};
    int64_t fd, err;

    query.flags = MAP_QUERY_EXECUTABLE | MAP_QUERY_OR_NEXT | MAP_QUERY_FILE;
    query.address = start;
    fd = STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    err = STA__RAW3(SYS_ioctl, fd, MAP_QUERY, &query);
    STA__RAW1(SYS_close, fd);
    return err == -ENOTTY || (err == 0 && query.start < end);
}

/* mprotect(address, size, protection), pkey_mprotect(..., key) */
static bool call_mprotect(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uintptr_t start = args[0], end = sta__page_up(args[0] + args[1]);
    struct sta__lock_state saved;

    if (!(args[2] & PROT_EXEC) || (args[2] & PROT_WRITE)) {
        release_guests(start, end);
        return false;
    }
    call->ret = make(call);
    if (call->ret < 0 || overlaps(start, end) || !has_code(start, end))
        return true;
    sta__lock(&sta__images_lock, &saved);
    if (sta__images_add_mapped(start, end) == 0)
        sta__sync(active());
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
    return true;
}

/* munmap(address, size) */
static bool call_munmap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    if (overlaps(args[0], args[0] + args[1]))
        forget(args[0], args[0] + args[1]);
    return false;
}

/* mremap(address, size, ...): jumps to stubs are right in one place only. */
static bool call_mremap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    struct sta__lock_state saved;

    if (!overlaps(args[0], args[0] + args[1]))
        return false;
    sta__lock(&sta__images_lock, &saved);
    sta__sync_restore(args[0], args[0] + args[1], false);
    sta__images_drop(args[0], args[0] + args[1]);
    call->ret = make(call);
    sta__unlock(&sta__images_lock, &saved);
    return true;
}

/* prctl(PR_SET_SECCOMP, ...), seccomp(SECCOMP_SET_MODE_..., ...) */
static bool call_seccomp(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    if (call->enter.id == SYS_prctl
            ? args[0] != PR_SET_SECCOMP
            : args[0] != SECCOMP_SET_MODE_STRICT && args[0] != SECCOMP_SET_MODE_FILTER)
        return false;
    call->ret = make(call);
    /* Relaxed: it concerns the calling thread, and others only from some moment on. */
    if (call->ret >= 0)
        atomic_store_explicit(&is_filtered, true, memory_order_relaxed);
    return true;
}

bool sta__newcode_call(struct sta__call *call)
{
    if (!watches() || atomic_load_explicit(&is_filtered, memory_order_relaxed))
        return false;
    switch (call->enter.id) {
    case SYS_prctl:
    case SYS_seccomp:
        return call_seccomp(call);
    case SYS_mmap:
        return call_mmap(call);
    case SYS_mprotect:
    case SYS_pkey_mprotect:
        return call_mprotect(call);
    case SYS_munmap:
        return call_munmap(call);
    case SYS_mremap:
        return call_mremap(call);
    default:
        return false;
    }
}

void sta__newcode_trapped(uintptr_t address, int64_t sys_nr)
{
    _Atomic uintptr_t *slot = &tried[address / 2 % TRIED_COUNT];
    struct sta__lock_state saved;

    /* Relaxed: at worst it is tried again. */
    if (!watches() || atomic_load_explicit(slot, memory_order_relaxed) == address)
        return;
    atomic_store_explicit(slot, address, memory_order_relaxed);
    sta__lock(&sta__images_lock, &saved);
    if (sta__images_add_guest(address, sys_nr) == 0)
        sta__sync(active());
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
}
