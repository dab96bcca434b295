/* SPDX-License-Identifier: MIT */
/* See calls.h. */
#define _GNU_SOURCE
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define UNKNOWN_NR \
    500 /* no kernel has it, so that nothing but the way there and back is measured */
#define LOOP __attribute__((noinline)) static int64_t

static int null_fd, zero_fd;

/* The number is a constant next to the instruction. */
LOOP loop_inline(uint64_t n)
{
    int64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        int64_t result;

        __asm__ volatile("mov %1, %%eax\n\tsyscall"
                         : "=&a"(result)
                         : "i"(UNKNOWN_NR)
                         : "rcx", "r11", "memory");
        sum += result;
    }
    return sum;
}

/* The number is an argument of a function of libc. */
LOOP loop_syscall(uint64_t n)
{
    int64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += syscall(UNKNOWN_NR);
    return sum;
}

LOOP loop_getppid(uint64_t n)
{
    int64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += getppid();
    return sum;
}

LOOP loop_write(uint64_t n)
{
    int64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += write(null_fd, "hello", 5);
    return sum;
}

LOOP loop_read(uint64_t n)
{
    int64_t sum = 0;
    char byte;

    for (uint64_t i = 0; i < n; i++)
        sum += read(zero_fd, &byte, 1);
    return sum;
}

#define RAW_EVENTS .enter_event = "raw_syscalls:sys_enter", .exit_event = "raw_syscalls:sys_exit"
#define EVENTS_OF(name) \
    .enter_event = "syscalls:sys_enter_" #name, .exit_event = "syscalls:sys_exit_" #name

/* clang-format off */
struct call calls[CALL_COUNT] = {
    {"number 500", UNKNOWN_NR, loop_inline, .result = -ENOSYS, .seen = -ENOSYS, RAW_EVENTS},
    {"number 500 by syscall(3)", UNKNOWN_NR, loop_syscall, .result = -ENOSYS, .seen = -1, RAW_EVENTS},
    {"getppid", SYS_getppid, loop_getppid, EVENTS_OF(getppid)},
    {"write, 5 bytes to /dev/null", SYS_write, loop_write, .result = 5, .seen = 5, EVENTS_OF(write)},
    {"read, 1 byte of /dev/zero", SYS_read, loop_read, .result = 1, .seen = 1, EVENTS_OF(read)},
};
/* clang-format on */

static int open_device(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        die(path, strerror(errno));
    return fd;
}

void calls_init(void)
{
    null_fd = open_device("/dev/null", O_WRONLY);
    zero_fd = open_device("/dev/zero", O_RDONLY);
    for (struct call *call = calls; call < calls + CALL_COUNT; call++)
        if (call->sys_nr == SYS_getppid)
            call->result = call->seen = getppid();
}

bool has_vectors(void)
{
    return __builtin_cpu_supports("avx");
}

static void set_vectors(void)
{
    __asm__ volatile("vcmptrueps %%ymm15, %%ymm15, %%ymm15" : : : "xmm15");
}

static void clear_vectors(void)
{
    __asm__ volatile("vzeroupper" : : : "memory");
}

/* Both halves are still all ones. */
static bool vectors_are_set(void)
{
    int mask;

    __asm__ volatile("vmovmskps %%ymm15, %0" : "=r"(mask));
    return mask == 0xff;
}

double time_calls(const struct call *call, uint64_t n, bool with_vectors)
{
    double start = cpu_ns(), end;
    int64_t sum;

    if (has_vectors())
        clear_vectors();
    if (with_vectors)
        set_vectors();
    sum = call->loop(n);
    if (with_vectors && !vectors_are_set())
        die(call->name, "the vector registers have changed");
    end = cpu_ns();
    if (sum != (int64_t)n * call->seen)
        die(call->name, "the results are others");
    return (end - start) / (double)n;
}
