/* SPDX-License-Identifier: MIT */
/*
 * How much of the context a program may read is what the kernel allows at the same event. Needs
 * root and tracefs.
 */
#include "core.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>

#include "ebpf/program.h"
#include "vm/kernel_bpf.h"

/* Loads a program into the kernel that reads the byte before `end`. */
static int load_reader(int end)
{
    const struct bpf_insn insns[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_B, .src_reg = 1, .off = (int16_t)(end - 1)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K},
        {.code = BPF_JMP | BPF_EXIT},
    };

    return kernel_load(BPF_PROG_TYPE_TRACEPOINT, insns, COUNT(insns), NULL, 0);
}

static int open_event(int id)
{
    struct perf_event_attr attr;
    long fd;

    memset(&attr, 0, sizeof(attr));
    attr.size = sizeof(attr);
    attr.type = PERF_TYPE_TRACEPOINT;
    attr.config = (uint64_t)id;
    attr.sample_period = 1;
    fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

/* 1: the kernel attaches it; 0: it refuses; else -errno. */
static int kernel_attaches(int id, int end)
{
    int program = load_reader(end);
    int event = open_event(id);
    int err = program < 0 ? program : event < 0 ? event : 0;

    if (err == 0 && ioctl(event, PERF_EVENT_IOC_SET_BPF, program) < 0)
        err = -errno;
    if (program >= 0)
        close(program);
    if (event >= 0)
        close(event);
    if (err == 0)
        return 1;
    return err == -EACCES ? 0 : err;
}

/* The last byte that may be read, and the next one. */
static void compare_event(const char *name)
{
    struct sta_tracepoint tracepoint;
    struct sta_target target;
    int limit;

    assert_int_equal(sta_target_parse(&target, name), 0);
    assert_int_equal(sta_tracepoint_by_name(name, &tracepoint), 0);
    if (tracepoint.source != STA_TRACEPOINT_TRACEFS) {
        print_message("tracefs cannot be read\n");
        skip();
    }
    limit = (int)sta__program_context_limit(&target);
    for (int end = limit; end <= limit + 1; end++) {
        int verdict = kernel_attaches(tracepoint.id, end);

        if (verdict < 0) {
            print_message("the kernel attaches nothing here: %s\n", strerror(-verdict));
            skip();
        }
        if (verdict != (end <= limit))
            fail_msg("%s: %d bytes: the kernel %s, the limit here is %d", name, end,
                     verdict ? "attaches" : "refuses", limit);
    }
}

static void limits_are_the_kernels(void **state)
{
    static const char *const names[] = {
        "sys_enter_getpid", "sys_enter_close", "sys_enter_openat",
        "sys_enter_mmap",   "sys_exit_getpid", "sys_exit_read",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        compare_event(names[i]);
}

static void limits_of_all_calls_are_the_whole_context(void **state)
{
    static const struct sta_target enter = {STA_ALL_SYSCALLS, true};
    static const struct sta_target leave = {STA_ALL_SYSCALLS, false};

    (void)state;
    assert_int_equal(sta__program_context_limit(&enter), sizeof(struct sta_sys_enter));
    assert_int_equal(sta__program_context_limit(&leave), sizeof(struct sta_sys_exit));
    compare_event("raw_syscalls:sys_enter");
    compare_event("raw_syscalls:sys_exit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_the_kernels),
        cmocka_unit_test(limits_of_all_calls_are_the_whole_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
