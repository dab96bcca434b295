/* SPDX-License-Identifier: MIT */
/*
 * Where the fields of the task's image lie: what programs are relocated by says so, which is the
 * running kernel's BTF where it can be read. See task.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/gate.h"
#include "ebpf/btf_members.h"
#include "ebpf/task.h"

#define KERNEL_BTF_PATH "/sys/kernel/btf/vmlinux"

static const struct {
    const char *structure;
    const char *member;
    uint32_t size;
    bool is_in_task;
} fields[] = {
#define FIELD(name, object, size, at, structure, member) \
    {structure, member, size, STA__TASK_##object == STA__TASK_TASK},
#include "ebpf/task_fields.h"
#undef FIELD
};

/* Through the gate: what the process itself opens there may be answered by src/bpfcall. */
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

/* All of the file in malloc'ed memory; NULL: it cannot be read. */
static char *read_kernel_btf(size_t *size)
{
    int64_t fd = STA__RAW4(SYS_openat, AT_FDCWD, KERNEL_BTF_PATH, O_RDONLY | O_CLOEXEC, 0);
    struct stat stat;
    char *data = NULL;

    if (fd < 0)
        return NULL;
    if (STA__RAW2(SYS_fstat, fd, &stat) == 0 && stat.st_size > 0) {
        *size = (size_t)stat.st_size;
        data = malloc(*size);
        if (data && read_all(fd, data, *size) < 0) {
            free(data);
            data = NULL;
        }
    }
    STA__RAW1(SYS_close, fd);
    return data;
}

/* Room that an object has in the image, see sta__task_address(). */
static bool fits(unsigned field, int64_t offset)
{
    int64_t room = fields[field].is_in_task ? 0x10000 : 0x2000;

    return offset >= 0 && offset + fields[field].size <= room;
}

static void take_offsets(const struct sta__btf *btf)
{
    const char *last = "";
    uint32_t structure = 0;

    for (unsigned field = 0; field < STA__TASK_FIELDS; field++) {
        int64_t offset;

        if (strcmp(fields[field].structure, last) != 0) {
            last = fields[field].structure;
            structure = sta__btf_struct(btf, last);
        }
        offset = structure ? sta__btf_member(btf, structure, fields[field].member) : -ENOENT;
        sta__task_offsets[field] = fits(field, offset) ? (uint32_t)offset : STA__TASK_ABSENT;
    }
}

static void prepare(const struct sta__log *log)
{
    struct sta__btf btf;
    size_t size = 0;
    char *data = read_kernel_btf(&size);
    int err = data ? sta__btf_open(&btf, data, size) : 0;

    if (err < 0)
        sta__log(log, STA_LOG_WARN, "%s is not understood: fields of tasks read as zero: %s",
                 KERNEL_BTF_PATH, strerror(-err));
    if (data && err == 0) {
        take_offsets(&btf);
        sta__btf_close(&btf);
    }
    free(data);
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
