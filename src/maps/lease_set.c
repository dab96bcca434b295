/* SPDX-License-Identifier: MIT */
/* Making and joining sets of leases: see lease.h. Not on the dispatch path. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/gate.h"
#include "base/grace.h"
#include "base/lock.h"
#include "base/pages.h"
#include "maps/lease.h"

#define MAGIC   UINT64_C(0x6573616c2d617473) /* "sta-lase" */
#define VERSION 1
#define SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct sta__lock lock; /* of what follows and of sta__leases being set */
static int set_fd = -1;

/* The highest number of a list such as "0-3,8": what libbpf takes for the number of CPUs, too. */
static uint32_t count_in(const char *list)
{
    uint32_t last = 0, number = 0;

    for (; *list; list++) {
        if (*list >= '0' && *list <= '9')
            number = number * 10 + (uint32_t)(*list - '0');
        else
            number = 0;
        if (number > last)
            last = number;
    }
    return last + 1;
}

uint32_t sta__lease_cpus(void)
{
    char list[1024];
    int64_t fd = STA__RAW4(SYS_openat, AT_FDCWD, "/sys/devices/system/cpu/possible",
                           O_RDONLY | O_CLOEXEC, 0);
    int64_t got = fd < 0 ? fd : STA__RAW3(SYS_read, fd, list, sizeof(list) - 1);
    uint32_t cpus;

    if (fd >= 0)
        STA__RAW1(SYS_close, fd);
    if (got <= 0)
        return STA__CPUS_MAX / 16; /* no sysfs: more than most machines have */
    list[got] = '\0';
    cpus = count_in(list);
    return cpus < STA__CPUS_MAX ? cpus : STA__CPUS_MAX;
}

static size_t size_of(uint32_t cpus)
{
    return sta__page_up(sizeof(struct sta__lease_set) + cpus * sizeof(struct sta__lease_slot));
}

static int make(const struct sta__log *log)
{
    uint32_t cpus = sta__lease_cpus();
    struct sta__lease_set *set;
    int64_t fd, err, at;
    uint64_t id = 0;

    fd = STA__RAW2(SYS_memfd_create, "sta-cpus", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    err = fd < 0 ? fd : STA__RAW2(SYS_ftruncate, fd, size_of(cpus));
    if (err >= 0)
        err = STA__RAW3(SYS_fcntl, fd, F_ADD_SEALS, SEALS);
    if (err >= 0) {
        at = STA__RAW6(SYS_mmap, 0, size_of(cpus), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        err = sta__is_error(at) ? at : 0;
    }
    if (err < 0) {
        if (fd >= 0)
            STA__RAW1(SYS_close, fd);
        sta__log(log, STA_LOG_ERROR, "no memory for leases of %u CPUs: %s", cpus,
                 strerror((int)-err));
        return (int)err;
    }
    set = (struct sta__lease_set *)at;
    STA__RAW3(SYS_getrandom, &id, sizeof(id), 0);
    set->magic = MAGIC;
    set->version = VERSION;
    set->cpus = cpus;
    set->id = id | 1;
    set_fd = (int)fd;
    sta__lease_slots = cpus;
    /* Release: pairs with sta__lease_enter(). */
    atomic_store_explicit(&sta__leases, set, memory_order_release);
    return 0;
}

int sta__lease_prepare(uint64_t *id, const struct sta__log *log)
{
    struct sta__lock_state saved;
    int err = 0;

    sta__lock(&lock, &saved);
    if (!atomic_load_explicit(&sta__leases, memory_order_relaxed))
        err = make(log);
    if (err == 0)
        *id = atomic_load_explicit(&sta__leases, memory_order_relaxed)->id;
    sta__unlock(&lock, &saved);
    return err;
}

int sta__lease_fd(void)
{
    return atomic_load_explicit(&sta__leases, memory_order_acquire) ? set_fd : -ENOENT;
}

/* How many CPUs it has in *cpus: other processes may change what the set says. */
static int map_set(int fd, struct sta__lease_set **out, uint32_t *cpus)
{
    struct sta__lease_set *set;
    struct stat stat;
    int64_t err = STA__RAW2(SYS_fstat, fd, &stat);
    int64_t seals, at;

    if (err < 0)
        return (int)err;
    seals = STA__RAW2(SYS_fcntl, fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || (size_t)stat.st_size < size_of(1))
        return -EINVAL;
    at = STA__RAW6(SYS_mmap, 0, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sta__is_error(at))
        return (int)at;
    set = (struct sta__lease_set *)at;
    *cpus = *(volatile uint32_t *)&set->cpus;
    if (set->magic != MAGIC || set->version != VERSION || *cpus == 0 || *cpus > STA__CPUS_MAX ||
        (size_t)stat.st_size != size_of(*cpus)) {
        STA__RAW2(SYS_munmap, at, stat.st_size);
        return -EINVAL;
    }
    *out = set;
    return 0;
}

int sta__lease_join(int fd, const struct sta__log *log)
{
    struct sta__lease_set *set = NULL, *own;
    struct sta__lock_state saved;
    uint32_t cpus = 0;
    int err = map_set(fd, &set, &cpus);
    int64_t copy;

    if (err < 0) {
        sta__log(log, STA_LOG_ERROR, "fd %d is no set of leases: %s", fd, strerror(-err));
        return err;
    }
    sta__lock(&lock, &saved);
    own = atomic_load_explicit(&sta__leases, memory_order_relaxed);
    copy = own ? -EBUSY : STA__RAW3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
    if (own && own->id == set->id)
        err = 1; /* joined already */
    else if (copy < 0)
        err = (int)copy;
    else {
        set_fd = (int)copy;
        sta__lease_slots = cpus;
        /* Release: as in make(). */
        atomic_store_explicit(&sta__leases, set, memory_order_release);
    }
    sta__unlock(&lock, &saved);
    if (err != 0)
        STA__RAW2(SYS_munmap, set, size_of(cpus));
    if (err < 0)
        sta__log(log, STA_LOG_ERROR, "this process's CPUs are leased from another set: %s",
                 strerror(-err));
    return err < 0 ? err : 0;
}
