/* SPDX-License-Identifier: MIT */
#include "transform/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/wait.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/pages.h"
#include "base/quiesce.h"

/* Directory entries of a task directory with one thread: ".", ".." and the thread. */
#define LINKS_IF_ALONE 3

/* What is written at once, at most. */
#define RUN_MAX ((size_t)4 * STA__PAGE_SIZE)

bool sta__text_is_alone(void)
{
    struct stat tasks;

    return STA__RAW4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &tasks, 0) == 0 &&
           tasks.st_nlink == LINKS_IF_ALONE;
}

/* Whether nobody else can be executing this memory: no other thread, and no other process that it
 * is shared with (CLONE_VM without CLONE_THREAD). Whether a child is one of these cannot be told;
 * nor can it in a process that has not asked for its id since it was forked, or in a vfork child.
 */
bool sta__text_is_unshared(void)
{
    const struct sta__reader_pool *pool = atomic_load_explicit(&sta__readers, memory_order_acquire);

    if (!sta__text_is_alone() ||
        STA__RAW6(SYS_waitid, P_ALL, 0, 0, WEXITED | WNOHANG | WNOWAIT | __WALL, 0, 0) != -ECHILD)
        return false;
    return !pool || atomic_load_explicit(&pool->pid, memory_order_relaxed) == STA__RAW0(SYS_getpid);
}

/* A way to the memory that does not mind its protection; -errno: there is none. */
static int open_memory(void)
{
    return (int)STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
}

static void close_memory(int memory)
{
    if (memory >= 0)
        STA__RAW1(SYS_close, memory);
}

/* Executable all the time: it may be our own code that lies in the same page. */
static int write_by_protection(uintptr_t at, const void *bytes, size_t size)
{
    uintptr_t start = sta__page_of(at), length = sta__page_up(at + size) - start;
    int64_t err = STA__RAW3(SYS_mprotect, start, length, PROT_READ | PROT_WRITE | PROT_EXEC);

    if (err < 0)
        return (int)err;
    sta__memory_copy((void *)at, bytes, size);
    STA__RAW3(SYS_mprotect, start, length, PROT_READ | PROT_EXEC);
    return 0;
}

static int write_bytes(int memory, uintptr_t at, const void *bytes, size_t size)
{
    if (memory >= 0 && STA__RAW4(SYS_pwrite64, memory, bytes, size, at) == (int64_t)size)
        return 0;
    return write_by_protection(at, bytes, size);
}

int sta__text_fill(uintptr_t at, const void *bytes, size_t size)
{
    int memory = open_memory();
    int err = write_bytes(memory, at, bytes, size);

    close_memory(memory);
    return err;
}

static bool is_as_expected(const uint8_t *bytes, const struct sta__change *change)
{
    return sta__memory_is_equal(bytes, change->from, change->size);
}

/* Makes the changes in `bytes`, which are what is at `start`, or a copy of it. */
static void apply(uint8_t *bytes, uintptr_t start, const struct sta__change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = bytes + (changes[i].at - start);

        if (is_as_expected(at, &changes[i]))
            sta__memory_copy(at, changes[i].to, changes[i].size);
    }
}

/* How many of the changes can be written together: each page in between has one, so that no page
 * is copied by the kernel for nothing, and all is `room` bytes at most. */
static size_t run_of(const struct sta__change *changes, size_t count, size_t room)
{
    size_t run = 1;

    while (run < count &&
           sta__page_of(changes[run].at) <=
               sta__page_of(changes[run - 1].at + changes[run - 1].size - 1) + STA__PAGE_SIZE &&
           changes[run].at + changes[run].size - changes->at <= room)
        run++;
    return run;
}

/* A write takes longer than copying a page. */
static int write_changes(uint8_t *draft, size_t room, const struct sta__change *changes,
                         size_t count)
{
    int memory = open_memory();
    int err = 0;

    for (size_t done = 0, run; done < count && err == 0; done += run) {
        const struct sta__change *first = &changes[done], *last;
        size_t size;

        run = run_of(first, count - done, room);
        last = &first[run - 1];
        size = last->at + last->size - first->at;
        sta__memory_copy(draft, (const void *)first->at, size);
        apply(draft, first->at, first, run);
        err = write_bytes(memory, first->at, draft, size);
    }
    close_memory(memory);
    return err;
}

static int change_in_place(const struct sta__text *text, const struct sta__change *changes,
                           size_t count)
{
    uint8_t one[STA__CHANGE_MAX], *draft;
    int err;

    if (text->is_writable) {
        apply((uint8_t *)text->start, text->start, changes, count);
        return 0;
    }
    draft = sta__pages_alloc(RUN_MAX);
    if (!draft)
        return write_changes(one, sizeof(one), changes, count);
    err = write_changes(draft, RUN_MAX, changes, count);
    sta__pages_free(draft, RUN_MAX);
    return err;
}

/* Whether `file` can be the one that is mapped, and reaches to `end`: reading behind its last page
 * would be SIGBUS. Not by its device, which some file systems name in two ways: what is read there
 * does not matter, only what the mapping is called. */
static bool is_file_of(const struct stat *file, const struct sta__text *text, uint64_t end)
{
    return S_ISREG(file->st_mode) && file->st_ino == text->inode && file->st_size > 0 &&
           sta__page_up((uint64_t)file->st_size) >= end;
}

/* The file that is mapped, if its path still leads to it; else -errno. */
static int open_file(const struct sta__text *text, uint64_t end)
{
    struct stat file;
    int64_t fd;

    if (text->path[0] != '/')
        return -ENOENT;
    fd = STA__RAW4(SYS_openat, AT_FDCWD, text->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return (int)fd;
    if (STA__RAW2(SYS_fstat, fd, &file) == 0 && is_file_of(&file, text, end))
        return (int)fd;
    STA__RAW1(SYS_close, fd);
    return -ESTALE;
}

/* Executable memory for a copy: of the same file, so that the mapping goes on to be known by it;
 * without a file if need be. */
static int64_t map_like(const struct sta__text *text, uintptr_t start, size_t size)
{
    uint64_t offset = text->offset + (start - text->start);
    int fd = open_file(text, offset + size);
    int64_t got;

    if (fd >= 0) {
        got = STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, offset);
        STA__RAW1(SYS_close, fd);
        if (!sta__is_error(got))
            return got;
    }
    return STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Writes the pages from `start` on, as they are to be, to `copy`. */
static int fill_copy(uintptr_t copy, uintptr_t start, size_t size,
                     const struct sta__change *changes, size_t count)
{
    uint8_t *draft = sta__pages_alloc(size);
    int err;

    if (!draft)
        return -ENOMEM;
    sta__memory_copy(draft, (const void *)start, size);
    apply(draft, start, changes, count);
    /* Pages that are as in the file again are the file's again, and take no memory of their own. */
    err = sta__memory_is_equal((const void *)copy, draft, size) ? 0
                                                                : sta__text_fill(copy, draft, size);
    sta__pages_free(draft, size);
    return err;
}

static int exchange(const struct sta__text *text, const struct sta__range *pages,
                    const struct sta__change *changes, size_t count)
{
    size_t size = pages->end - pages->start;
    int64_t copy = map_like(text, pages->start, size), got;
    int err;

    if (sta__is_error(copy))
        return (int)copy;
    err = fill_copy((uintptr_t)copy, pages->start, size, changes, count);
    if (err == 0) {
        got =
            STA__RAW6(SYS_mremap, copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, pages->start, 0);
        err = sta__is_error(got) ? (int)got : 0;
    }
    if (err < 0)
        STA__RAW2(SYS_munmap, copy, size);
    return err;
}

/* The pages that a change lies in. */
static struct sta__range pages_of(const struct sta__text *text, const struct sta__change *change)
{
    struct sta__range pages = {text->start, text->end};

    if (!text->is_special) {
        pages.start = sta__page_of(change->at);
        pages.end = sta__page_up(change->at + change->size);
    }
    return pages;
}

static int change_by_exchange(const struct sta__text *text, const struct sta__change *changes,
                              size_t count)
{
    size_t done = 0;

    while (done < count) {
        struct sta__range pages = pages_of(text, &changes[done]);
        size_t next = done + 1;
        int err;

        while (next < count && changes[next].at < pages.end) {
            struct sta__range more = pages_of(text, &changes[next++]);

            if (more.end > pages.end)
                pages.end = more.end;
        }
        err = exchange(text, &pages, changes + done, next - done);
        if (err < 0)
            return err;
        done = next;
    }
    return 0;
}

/* What the processors may have read ahead of code that was written in place: the caller's thread
 * may go on on another one. */
static void serialise(void)
{
    if (STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0)
        return;
    STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

int sta__text_change(const struct sta__text *text, const struct sta__change *changes, size_t count)
{
    int err;

    if (!sta__text_is_unshared())
        return text->is_writable ? -EBUSY : change_by_exchange(text, changes, count);
    err = change_in_place(text, changes, count);
    serialise();
    return err;
}
