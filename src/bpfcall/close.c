/* SPDX-License-Identifier: MIT */
/*
 * The end of descriptors. Where one of ours is closed, the call is made here and the object asked
 * afterwards whether any is left: see fds.h. The library's own descriptors are passed over, so that
 * a program which closes all that it did not open leaves its objects in order.
 */
#include <errno.h>
#include <linux/close_range.h>

#include "base/after_grace.h"
#include "base/gate.h"
#include "bpfcall/bpfcall.h"

#ifndef CLOSE_RANGE_UNSHARE
#    define CLOSE_RANGE_UNSHARE (1u << 1)
#endif

long sta__hook_close(struct sta__bpf *bpf, const unsigned long *args)
{
    int fd = (int)args[0];
    struct sta__fd_object *object;
    long result;

    if (!sta__fds_any(bpf))
        return STA__NOT_OURS;
    sta__fds_ask_again(bpf);
    if (sta__fds_is_own(bpf, fd))
        return -EBADF;
    object = sta__fds_get_known(bpf, fd);
    if (!object)
        return STA__NOT_OURS;
    result = (long)STA__RAW1(SYS_close, fd);
    sta__after_grace_rest(); /* of what was given back by earlier calls */
    sta__fds_closed(bpf, object);
    sta__fds_put(object);
    return result;
}

/* Piece by piece between our own. */
long sta__hook_close_range(struct sta__bpf *bpf, const unsigned long *args)
{
    unsigned first = (unsigned)args[0], last = (unsigned)args[1], flags = (unsigned)args[2];
    long result = 0;

    if (!sta__fds_any(bpf) || first > last || flags & ~CLOSE_RANGE_UNSHARE)
        return STA__NOT_OURS;
    for (;;) {
        int own = sta__fds_own(bpf, first);

        if (own < 0 || (unsigned)own > last) {
            result = (long)STA__RAW3(SYS_close_range, first, last, flags);
            break;
        }
        if ((unsigned)own > first)
            result = (long)STA__RAW3(SYS_close_range, first, (unsigned)own - 1, flags);
        if (result < 0 || (unsigned)own == last)
            break;
        first = (unsigned)own + 1;
    }
    sta__fds_closed(bpf, NULL);
    return result;
}

static long replace(struct sta__bpf *bpf, int old_fd, int new_fd, int flags)
{
    struct sta__fd_object *object;
    long result;

    if (!sta__fds_any(bpf) || old_fd == new_fd)
        return STA__NOT_OURS;
    if (sta__fds_is_own(bpf, new_fd))
        sta__fds_make_room(bpf, new_fd);
    object = sta__fds_get_known(bpf, new_fd);
    if (!object)
        return STA__NOT_OURS;
    result = (long)STA__RAW3(SYS_dup3, old_fd, new_fd, flags);
    if (result >= 0)
        sta__fds_closed(bpf, object);
    sta__fds_put(object);
    return result;
}

long sta__hook_dup2(struct sta__bpf *bpf, const unsigned long *args)
{
    return replace(bpf, (int)args[0], (int)args[1], 0);
}

long sta__hook_dup3(struct sta__bpf *bpf, const unsigned long *args)
{
    return replace(bpf, (int)args[0], (int)args[1], (int)args[2]);
}
