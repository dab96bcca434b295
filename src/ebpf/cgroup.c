/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see cgroup.h. */
#include "ebpf/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "ebpf/cgroup_state.h"

#define ROOT_ID 1 /* of the hierarchy, in any kernel */

_Atomic(const struct sta__cgroup_mount *) sta__cgroup_mounted;

/* ---- answers that still hold ---- */

enum { OWN, ABOVE, UNDER, QUESTIONS };

/* Of this thread: who asked, when, what, and the answer. */
static STA__THREAD_LOCAL struct answer {
    uint64_t ids, tick, about, value;
} answers[QUESTIONS];

/* Fills in the question; true: its answer is there. A signal handler that asks in the middle of
 * this finds ids of 0, and asks anew. */
static bool is_answered(struct answer *answer, uint64_t about, uint64_t *tick)
{
    *tick = sta__clock_ns(CLOCK_MONOTONIC_COARSE);
    return answer->ids == sta__pid_tgid() && answer->tick == *tick && answer->about == about;
}

static uint64_t note_answer(struct answer *answer, uint64_t about, uint64_t tick, uint64_t value)
{
    volatile struct answer *a = answer;

    a->ids = 0;
    a->tick = tick;
    a->about = about;
    a->value = value;
    a->ids = sta__pid_tgid();
    return value;
}

/* ---- the group's path ---- */

struct path {
    uint32_t length;
    char text[STA__CGROUP_PATH_MAX];
};

/* Takes one byte of the file, of which the line that begins with "0::" is wanted. `state`: how much
 * of that was seen; WANTED: this is the line; OTHER: another; OVER: it was read. */
enum { WANTED = 3, OTHER, OVER };

static void take(struct path *path, int *state, char c)
{
    static const char begin[WANTED] = {'0', ':', ':'};

    if (*state == OVER)
        return;
    if (c == '\n')
        *state = *state == WANTED ? OVER : 0;
    else if (*state < WANTED)
        *state = c == begin[*state] ? *state + 1 : OTHER;
    else if (*state == WANTED && path->length < sizeof(path->text))
        path->text[path->length++] = c;
}

/* False: there is no such hierarchy. A length of 0: the path is too long. */
static bool read_path(struct path *path)
{
    int64_t fd = STA__RAW3(SYS_openat, AT_FDCWD, "/proc/thread-self/cgroup", O_RDONLY | O_CLOEXEC);
    char piece[256];
    int64_t got;
    int state = 0;

    path->length = 0;
    if (fd < 0)
        return false;
    while ((got = STA__RAW3(SYS_read, fd, piece, sizeof(piece))) > 0) {
        for (int64_t i = 0; i < got; i++)
            take(path, &state, piece[i]);
    }
    STA__RAW1(SYS_close, fd);
    if (path->length == sizeof(path->text))
        path->length = 0;
    return state == OVER;
}

/* The id of the group with the first `length` bytes of the path; 0: it cannot be seen. */
static uint64_t id_of(const struct path *path, uint32_t length)
{
    const struct sta__cgroup_mount *mount =
        atomic_load_explicit(&sta__cgroup_mounted, memory_order_acquire);
    char name[2 * STA__CGROUP_PATH_MAX];
    struct stat status;
    uint32_t at = 0, from = 0;

    if (!mount)
        return 0;
    for (; mount->root[from]; from++) {
        if (from >= length || path->text[from] != mount->root[from])
            return 0;
    }
    if (from < length && path->text[from] != '/')
        return 0;
    if (length - from > 2 && path->text[from + 1] == '.' && path->text[from + 2] == '.')
        return 0; /* outside of this cgroup namespace */
    for (uint32_t i = 0; mount->directory[i]; i++)
        name[at++] = mount->directory[i];
    for (; from < length; from++)
        name[at++] = path->text[from];
    name[at] = 0;
    return STA__RAW4(SYS_newfstatat, AT_FDCWD, name, &status, 0) < 0 ? 0 : status.st_ino;
}

/* Where the name of the group at this level ends; 0: the path is not that deep. */
static uint32_t end_of_level(const struct path *path, int level)
{
    int depth = 0;

    if (level == 0)
        return path->length ? 1 : 0;
    if (path->length <= 1)
        return 0;
    for (uint32_t i = 1; i <= path->length; i++) {
        if ((i == path->length || path->text[i] == '/') && ++depth == level)
            return i;
    }
    return 0;
}

/* ---- the kernel's word ---- */

/* linux/pidfd.h of Linux 6.13. */
struct pidfd_info {
    uint64_t mask, cgroup;
    uint32_t others[12];
};

#define PIDFD_GET_INFO    _IOWR(0xff, 11, struct pidfd_info)
#define PIDFD_INFO_CGROUP (UINT64_C(1) << 2)
#define PIDFD_THREAD      O_EXCL

static uint64_t ask_kernel(void)
{
    int64_t fd = STA__RAW2(SYS_pidfd_open, (uint32_t)sta__pid_tgid(), PIDFD_THREAD);
    struct pidfd_info info;
    int64_t err;

    if (fd < 0)
        return 0;
    info.mask = PIDFD_INFO_CGROUP;
    info.cgroup = 0;
    err = STA__RAW3(SYS_ioctl, fd, PIDFD_GET_INFO, &info);
    STA__RAW1(SYS_close, fd);
    return err < 0 || !(info.mask & PIDFD_INFO_CGROUP) ? 0 : info.cgroup;
}

/* ---- questions ---- */

static uint64_t ask_id(void)
{
    uint64_t id = ask_kernel();
    struct path path;

    if (id)
        return id;
    if (!read_path(&path))
        return ROOT_ID;
    return path.length ? id_of(&path, path.length == 1 ? 0 : path.length) : 0;
}

uint64_t sta__cgroup_id(void)
{
    uint64_t tick;

    if (is_answered(&answers[OWN], 0, &tick))
        return answers[OWN].value;
    return note_answer(&answers[OWN], 0, tick, ask_id());
}

static uint64_t ask_ancestor(int level)
{
    struct path path;
    uint32_t end;

    if (!read_path(&path))
        return level == 0 ? ROOT_ID : 0;
    end = end_of_level(&path, level);
    if (end && end == path.length)
        return sta__cgroup_id();
    return end ? id_of(&path, end == 1 ? 0 : end) : 0;
}

uint64_t sta__cgroup_ancestor(int level)
{
    uint64_t tick;

    if (level < 0)
        return 0;
    if (is_answered(&answers[ABOVE], (uint64_t)level, &tick))
        return answers[ABOVE].value;
    return note_answer(&answers[ABOVE], (uint64_t)level, tick, ask_ancestor(level));
}

static bool ask_under(uint64_t id)
{
    struct path path;

    if (sta__cgroup_id() == id)
        return true;
    if (!read_path(&path))
        return id == ROOT_ID;
    for (int level = 0;; level++) {
        uint32_t end = end_of_level(&path, level);

        if (end == 0)
            return false;
        if (id_of(&path, end == 1 ? 0 : end) == id)
            return true;
    }
}

bool sta__cgroup_is_under(uint64_t id)
{
    uint64_t tick;

    if (is_answered(&answers[UNDER], id, &tick))
        return answers[UNDER].value;
    return note_answer(&answers[UNDER], id, tick, ask_under(id));
}
