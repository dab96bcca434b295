/* SPDX-License-Identifier: MIT */
/* BPF_PROG_TEST_RUN: for programs on raw tracepoints, as in the kernel, whose other tracing
 * programs have none either (-ENOTSUPP). */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "bpfcall/command.h"
#include "bpfcall/user.h"
#include "ebpf/program.h"
#include "maps/types.h"

#ifndef BPF_F_TEST_RUN_ON_CPU
#    define BPF_F_TEST_RUN_ON_CPU (1u << 0)
#endif
#define ARGUMENTS_MAX 12 /* MAX_BPF_FUNC_ARGS */

static int check(const struct sta__command *command, const struct sta__bpf_program *program)
{
    const union bpf_attr *attr = &command->attr;

    if (attr->test.data_in || attr->test.data_out || attr->test.ctx_out || attr->test.duration ||
        attr->test.repeat || attr->test.batch_size)
        return -EINVAL;
    if (attr->test.ctx_size_in < program->program->context_size ||
        attr->test.ctx_size_in > ARGUMENTS_MAX * sizeof(uint64_t))
        return -EINVAL;
    return !(attr->test.flags & BPF_F_TEST_RUN_ON_CPU) && attr->test.cpu ? -EINVAL : 0;
}

/* To where the application wants it to run. -ENXIO: there is no such CPU. */
static int move_to(const struct sta__command *command, cpu_set_t *before)
{
    uint32_t cpu = command->attr.test.cpu;
    cpu_set_t wanted;

    if (!(command->attr.test.flags & BPF_F_TEST_RUN_ON_CPU))
        return 0;
    if (cpu >= CPU_SETSIZE || (long)cpu >= sysconf(_SC_NPROCESSORS_CONF))
        return -ENXIO;
    CPU_ZERO(&wanted);
    CPU_SET(cpu, &wanted);
    if (sched_getaffinity(0, sizeof(*before), before) < 0 ||
        sched_setaffinity(0, sizeof(wanted), &wanted) < 0)
        return -ENXIO;
    return 1;
}

static long run(const struct sta__command *command, struct sta__bpf_program *program)
{
    uint64_t arguments[ARGUMENTS_MAX] = {0}, result = 0;
    uint32_t value;
    cpu_set_t before;
    int moved, err;

    if (sta__user_read(arguments, command->attr.test.ctx_in, command->attr.test.ctx_size_in) < 0)
        return -EFAULT;
    moved = move_to(command, &before);
    if (moved < 0)
        return moved;
    err = sta_program_run(program->program, arguments, sizeof(arguments), &result);
    if (moved)
        sched_setaffinity(0, sizeof(before), &before);
    if (err < 0)
        return err;
    atomic_fetch_add(&program->runs, 1);
    value = (uint32_t)result;
    return STA__COMMAND_PUT(command, test.retval, &value);
}

long sta__command_prog_test_run(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf_program *program;
    long result;

    if (!attr->test.ctx_size_in != !attr->test.ctx_in ||
        !attr->test.ctx_size_out != !attr->test.ctx_out)
        return -EINVAL;
    program = sta__command_program(command, attr->test.prog_fd, &result);
    if (!program)
        return result;
    if (program->type == BPF_PROG_TYPE_RAW_TRACEPOINT || program->is_tracing)
        result = check(command, program);
    else
        result = -STA__ENOTSUPP;
    if (result == 0)
        result = run(command, program);
    sta__fds_put(&program->object);
    return result;
}
