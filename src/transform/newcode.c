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

/* Acquire: pairs with install and remove. */
static struct sta *active(void)
{
    return atomic_load_explicit(&sta__active, memory_order_acquire);
}

/* To be asked under the lock: who removes the transformer may have been faster. From then on
 * nothing is rewritten, and nothing is added. */
static bool adds(void)
{
    return watches() && active();
}

static void sync(void)
{
    struct sta *sta = active();

    if (sta)
        sta__sync(sta);
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

static int64_t make(const struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    return STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* Makes a call that unmaps what is in this range, or maps something over it. It may fail: then all
 * is as it was. Under the lock, so that nobody writes to what another thread maps there next. */
static void make_replacing(struct sta__call *call, uintptr_t start, uintptr_t end)
{
    struct sta__lock_state saved;
    bool straddles;

    sta__lock(&sta__images_lock, &saved);
    straddles = sta__images_straddle(start, end);
    if (straddles)
        sta__sync_restore(start, end, false);
    call->ret = make(call);
    if (!sta__is_error(call->ret))
        sta__images_drop(start, end);
    if (straddles)
        sync();
    sta__unlock(&sta__images_lock, &saved);
}

/* What was mapped is code. */
static void add_file(uintptr_t start, uintptr_t end, const struct sta__call *call)
{
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    sta__images_drop(start, end);
    if (adds() &&
        sta__images_add_file(start, end, (int)call->enter.args[4], call->enter.args[5]) == 0)
        sync();
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
}

/* mmap(address, size, protection, flags, fd, offset) */
static bool call_mmap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uintptr_t end = sta__page_up(args[0] + args[1]);
    bool replaces = (args[3] & MAP_FIXED) && overlaps(args[0], end);
    bool is_code = (args[2] & PROT_EXEC) && !(args[3] & MAP_ANONYMOUS) &&
                   (args[3] & MAP_TYPE) == MAP_PRIVATE && !(args[2] & PROT_WRITE);

    if (!replaces && !is_code)
        return false;
    if (replaces)
        make_replacing(call, args[0], end);
    else
        call->ret = make(call);
    if (is_code && !sta__is_error(call->ret))
        add_file((uintptr_t)call->ret, sta__page_up((uintptr_t)call->ret + args[1]), call);
    return true;
}

/* Takes code away, or makes it writable: who wants to write to code of his own is to find what he
 * wrote before, and what lies in a file stays as it is until it is code only again. */
static void make_protecting(struct sta__call *call, uintptr_t start, uintptr_t end)
{
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    sta__sync_restore(start, end, true);
    sta__images_drop_guests(start, end);
    sta__images_protect(start, end, call->enter.args[2]);
    for (unsigned i = 0; i < TRIED_COUNT; i++)
        atomic_store_explicit(&tried[i], 0, memory_order_relaxed);
    call->ret = make(call);
    if (call->ret < 0)
        sta__images_look_again();
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
    bool is_known = overlaps(start, end);

    if (!(args[2] & PROT_EXEC) || !(args[2] & PROT_READ) || (args[2] & PROT_WRITE)) {
        if (is_known)
            make_protecting(call, start, end);
        return is_known;
    }
    call->ret = make(call);
    if (call->ret < 0 || (!is_known && !has_code(start, end)))
        return true;
    sta__lock(&sta__images_lock, &saved);
    if (adds() && (!is_known || sta__images_look_again() == 0) &&
        sta__images_add_mapped(start, end) == 0)
        sync();
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
    return true;
}

/* munmap(address, size) */
static bool call_munmap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uintptr_t end = sta__page_up(args[0] + args[1]);

    if (!overlaps(args[0], end))
        return false;
    make_replacing(call, args[0], end);
    return true;
}

/* Jumps to stubs are right in one place only, so that code is restored before it moves. */
static void make_moving(struct sta__call *call, const struct sta__range *from,
                        const struct sta__range *to)
{
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    sta__sync_restore(from->start, from->end, false);
    if (sta__images_straddle(to->start, to->end))
        sta__sync_restore(to->start, to->end, false);
    call->ret = make(call);
    if (!sta__is_error(call->ret)) {
        if (call->ret != (int64_t)from->start)
            sta__images_drop(from->start, from->end);
        sta__images_drop(to->start, to->end);
    }
    if (adds() && sta__images_look_again() == 0 && sta__images_add_mapped(0, UINTPTR_MAX) == 0)
        sync();
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
}

/* mremap(address, size, new size, flags, new address) */
static bool call_mremap(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    struct sta__range from = {args[0], sta__page_up(args[0] + args[1])}, to = {0, 0};

    if (args[3] & MREMAP_FIXED)
        to = (struct sta__range){args[4], sta__page_up(args[4] + args[2])};
    if (!overlaps(from.start, from.end) && !overlaps(to.start, to.end))
        return false;
    make_moving(call, &from, &to);
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
    /* Relaxed: it concerns the calling thread, and others only from some moment on. A vfork child's
     * filter is not its parent's. */
    if (call->ret >= 0 && !sta__entry_borrows)
        atomic_store_explicit(&is_filtered, true, memory_order_relaxed);
    return true;
}

/* Relaxed: as above. */
bool sta__newcode_is_blind(void)
{
    return atomic_load_explicit(&is_filtered, memory_order_relaxed);
}

bool sta__newcode_call(struct sta__call *call)
{
    if (!watches() || sta__newcode_is_blind())
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
    if (adds() && sta__images_add_guest(address, sys_nr) == 0)
        sync();
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_unblock();
}
