/* SPDX-License-Identifier: MIT */
/* Helpers that read what an address names, and may name nothing. On the dispatch path. */
#include <asm/ptrace.h>
#include <errno.h>
#include <stddef.h>

#include "base/copy_user.h"
#include "base/memory.h"
#include "ebpf/helpers.h"
#include "ebpf/program.h"
#include "ebpf/task.h"

/* What bpf_probe_read takes for a user address: with four levels of page tables (TASK_SIZE_MAX). */
#define USER_END ((UINT64_C(1) << 47) - 4096)

/* Below this, and on that page, the kernel does not try. */
#define KERNEL_START   (UINT64_C(1) << 47)
#define VSYSCALL_START 0xffffffffff600000ull
#define VSYSCALL_END   0xffffffffff601000ull

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

static void clear(void *memory, uint32_t size)
{
    __asm__ volatile("rep stosb" : "+D"(memory), "+c"(size) : "a"(0) : "memory");
}

static unsigned address_bits = 48;

void sta__reads_prepare(void)
{
    uint32_t a = 0x80000008, b, c = 0, d;

    __asm__("cpuid"
            : "+a"(a), "=b"(b), "+c"(c), "=d"(d)); /* as the kernel does, whatever it uses */
    address_bits = a >> 8 & 0xff;
}

static bool is_canonical(uint64_t address)
{
    unsigned unused = 64 - address_bits;

    return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

/* Of what the kernel has, a program here can read the image of tasks, and the registers of the call
 * that it was run for. */
static bool read_what_there_is(void *to, uint64_t from, uint32_t size)
{
    uint64_t registers = (uintptr_t)sta__program_registers;

    if (sta__likely(!registers || from - registers >= sizeof(struct pt_regs)))
        return sta__task_read(to, from, size);
    if (size > sizeof(struct pt_regs) - (from - registers))
        return false;
    sta__memory_copy(to, pointer(from), size);
    return true;
}

static int64_t kernel_address_error(uint64_t from)
{
    if (from < KERNEL_START || (from >= VSYSCALL_START && from < VSYSCALL_END) ||
        !is_canonical(from))
        return -ERANGE;
    return -EFAULT;
}

static int64_t read_kernel(void *to, uint64_t from, uint32_t size)
{
    int64_t err;

    if (sta__likely(read_what_there_is(to, from, size)))
        return 0;
    err = kernel_address_error(from);
    if (size == 0)
        return err == -EFAULT ? 0 : err;
    clear(to, size);
    return err;
}

/* Objects of the image are of so many bytes, and lie on such addresses. */
#define PART 16

static int64_t read_kernel_string(char *to, uint64_t from, uint32_t size)
{
    char part[PART];

    if (size == 0)
        return 0;
    for (uint32_t done = 0; done < size;) {
        uint32_t count = PART - (uint32_t)((from + done) % PART);

        if (!read_what_there_is(part, from + done, count)) {
            clear(to, size);
            return kernel_address_error(from + done);
        }
        for (uint32_t i = 0; i < count && done < size; i++) {
            to[done++] = part[i];
            if (!part[i])
                return done;
        }
    }
    to[size - 1] = '\0';
    return size;
}

STA__HELPER_FUNCTION(probe_read_user)
{
    (void)r4, (void)r5;
    return (uint64_t)sta__copy_from_user(pointer(r1), r3, (uint32_t)r2);
}

STA__HELPER_FUNCTION(probe_read_user_str)
{
    (void)r4, (void)r5;
    return (uint64_t)sta__copy_string_from_user(pointer(r1), r3, (uint32_t)r2);
}

STA__HELPER_FUNCTION(probe_read_kernel)
{
    (void)r4, (void)r5;
    return (uint64_t)read_kernel(pointer(r1), r3, (uint32_t)r2);
}

STA__HELPER_FUNCTION(probe_read_kernel_str)
{
    (void)r4, (void)r5;
    return (uint64_t)read_kernel_string(pointer(r1), r3, (uint32_t)r2);
}

STA__HELPER_FUNCTION(probe_read)
{
    if (r3 < USER_END)
        return sta__helper_probe_read_user(r1, r2, r3, r4, r5);
    return sta__helper_probe_read_kernel(r1, r2, r3, r4, r5);
}

STA__HELPER_FUNCTION(probe_read_str)
{
    if (r3 < USER_END)
        return sta__helper_probe_read_user_str(r1, r2, r3, r4, r5);
    return sta__helper_probe_read_kernel_str(r1, r2, r3, r4, r5);
}

STA__HELPER_FUNCTION(probe_write_user)
{
    (void)r4, (void)r5;
    return (uint64_t)sta__copy_to_user(r1, pointer(r2), (uint32_t)r3);
}
