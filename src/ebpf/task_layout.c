/* SPDX-License-Identifier: MIT */
/*
 * Where the fields of the task's image lie: what programs are relocated by says so, which is the
 * running kernel's BTF where it can be read. See task.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/gate.h"
#include "ebpf/btf_members.h"
#include "ebpf/task.h"

#define KERNEL_BTF_PATH "/sys/kernel/btf/vmlinux"

const struct sta__task_member sta__task_members[STA__TASK_FIELDS] = {
#define FIELD(name, object, size, at, structure, member) \
    {structure, member, size, STA__TASK_##object},
#include "ebpf/task_fields.h"
#undef FIELD
};

static int64_t read_all(int64_t fd, char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        int64_t got = STA__RAW3(SYS_read, fd, data + done, size - done);

        if (got <= 0)
            return got < 0 ? got : -EIO;
        done += (size_t)got;
    }
    return 0;
}

/* The file's contents: mapped, which kernels since 6.16 offer, or read, 4 KiB at a time. */
static int64_t map_or_read(int64_t fd, size_t size)
{
    int64_t data = STA__RAW6(SYS_mmap, 0, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int64_t err;

    if (data > 0)
        return data;
    data = STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    err = data > 0 ? read_all(fd, (char *)data, size) : data;
    if (err == 0)
        return data;
    if (data > 0)
        STA__RAW2(SYS_munmap, data, size);
    return err;
}

/* NULL: it cannot be read. Through the gate: what the process itself opens there may be answered by
 * src/bpfcall. */
static const char *open_kernel_btf(size_t *size)
{
    int64_t fd = STA__RAW4(SYS_openat, AT_FDCWD, KERNEL_BTF_PATH, O_RDONLY | O_CLOEXEC, 0);
    int64_t data = -EIO;
    struct stat stat;

    if (fd < 0)
        return NULL;
    if (STA__RAW2(SYS_fstat, fd, &stat) == 0 && stat.st_size > 0) {
        *size = (size_t)stat.st_size;
        data = map_or_read(fd, *size);
    }
    STA__RAW1(SYS_close, fd);
    return data > 0 ? (const char *)data : NULL;
}

/* Room that an object has in the image, see sta__task_address(). */
static bool fits(unsigned field, int64_t offset)
{
    int64_t room = sta__task_members[field].object == STA__TASK_TASK ? 0x10000 : 0x2000;

    return offset >= 0 && offset + sta__task_members[field].size <= room;
}

static void take_offsets(const struct sta__btf *btf)
{
    const char *names[STA__TASK_OBJECTS];
    uint32_t ids[STA__TASK_OBJECTS];

    for (unsigned field = 0; field < STA__TASK_FIELDS; field++)
        names[sta__task_members[field].object] = sta__task_members[field].structure;
    sta__btf_structs(btf, names, ids, STA__TASK_OBJECTS);
    for (unsigned field = 0; field < STA__TASK_FIELDS; field++) {
        uint32_t id = ids[sta__task_members[field].object];
        int64_t offset = id ? sta__btf_member(btf, id, sta__task_members[field].member) : -ENOENT;

        sta__task_offsets[field] = fits(field, offset) ? (uint32_t)offset : STA__TASK_ABSENT;
    }
}

static void prepare(const struct sta__log *log)
{
    struct sta__btf btf;
    size_t size = 0;
    const char *data = open_kernel_btf(&size);
    int err = data ? sta__btf_open(&btf, data, size) : 0;

    if (err < 0)
        sta__log(log, STA_LOG_WARN, "%s is not understood: fields of tasks read as zero: %s",
                 KERNEL_BTF_PATH, strerror(-err));
    if (data && err == 0) {
        take_offsets(&btf);
        sta__btf_close(&btf);
    }
    if (data)
        STA__RAW2(SYS_munmap, data, size);
}

void sta__task_prepare(const struct sta__log *log)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool is_prepared;

    pthread_mutex_lock(&lock);
    if (!is_prepared)
        prepare(log);
    is_prepared = true;
    pthread_mutex_unlock(&lock);
}
