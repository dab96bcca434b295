/* SPDX-License-Identifier: MIT */
/* Running loaded programs. On the dispatch path. */
#include "ebpf/program.h"

#include <asm/ptrace.h>
#include <errno.h>

#include "attach/dispatch.h"
#include "maps/lease.h"

int sta__program_run_interpreted(void *ctx, size_t ctx_size, uint64_t *ret, void *program)
{
    const struct sta_program *self = program;
    struct sta__tail_run run;

    run.ctx_size = ctx_size;
    run.count = 0;
    *ret = sta__interpret(self->interpreted, ctx, &run);
    return 0;
}

int sta__program_run_on_cpu(void *ctx, size_t ctx_size, uint64_t *ret, void *program)
{
    const struct sta_program *self = program;
    struct sta__lease lease;
    int err = sta__lease_enter(&lease);

    if (sta__unlikely(err < 0))
        return err;
    err = self->run_leased(ctx, ctx_size, ret, program);
    sta__lease_leave(&lease);
    return err;
}

uint64_t sta__program_enter_interpreted(void *ctx, struct sta__tail_run *run,
                                        const struct sta__tail_target *self)
{
    return sta__interpret(((const struct sta_program *)self)->interpreted, ctx, run);
}

#define USER_CS 0x33
#define USER_SS 0x2b

/* Where the call was made; NULL: that is not known. The instruction leaves rip in rcx and flags in
 * r11. */
static void fill_place(struct pt_regs *regs, const struct sta__call_site *site)
{
    regs->rbp = site ? site->call.frame_pointer : 0;
    regs->rip = regs->rcx = site ? site->return_address : 0;
    regs->eflags = regs->r11 = site ? site->flags : 0;
    regs->rsp = site ? site->sp : 0;
    regs->cs = site ? USER_CS : 0;
    regs->ss = site ? USER_SS : 0;
}

/* As the kernel's entry code leaves them: what is not known of the application is 0. */
static void fill_registers(struct pt_regs *regs, const struct sta__call_site *site, long id,
                           const unsigned long *args)
{
    regs->r15 = regs->r14 = regs->r13 = regs->r12 = regs->rbx = 0;
    fill_place(regs, site);
    regs->orig_rax = (unsigned long)id;
    regs->rax = (unsigned long)-ENOSYS;
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

STA__THREAD_LOCAL const struct pt_regs *sta__program_registers;

int sta__program_run_raw(void *ctx, size_t ctx_size, uint64_t *ret, void *program)
{
    const struct sta_program *self = program;
    const struct sta_sys_enter *enter = ctx;
    const struct sta_sys_exit *leave = ctx;
    struct pt_regs regs;
    uint64_t arguments[STA__RAW_CONTEXT_SIZE / sizeof(uint64_t)];
    int err;

    arguments[0] = (uintptr_t)&regs;
    if (ctx_size == sizeof(*enter)) {
        fill_registers(&regs, sta__current_site(), enter->id, enter->args);
        arguments[1] = (uint64_t)enter->id;
    } else {
        fill_registers(&regs, sta__current_site(), leave->id, sta_current_args());
        regs.rax = (unsigned long)leave->ret;
        arguments[1] = (uint64_t)leave->ret;
    }
    sta__program_registers = &regs;
    err = self->run(arguments, sizeof(arguments), ret, program);
    sta__program_registers = NULL;
    return err;
}

/* The registers of a probe at the kernel's function for one call, as the compiler's calling
 * convention has them: it takes the caller's registers, and returns the result. */
int sta__program_run_probe(void *ctx, size_t ctx_size, uint64_t *ret, void *program)
{
    const struct sta_program *self = program;
    const struct sta_sys_enter *enter = ctx;
    const struct sta_sys_exit *leave = ctx;
    static const unsigned long nothing[6];
    struct pt_regs regs, caller;
    int err;

    fill_registers(&regs, NULL, 0, nothing);
    if (ctx_size == sizeof(*enter)) {
        fill_registers(&caller, sta__current_site(), enter->id, enter->args);
        regs.rdi = (uintptr_t)&caller;
        sta__program_registers = &caller;
    } else {
        regs.rax = (unsigned long)leave->ret;
    }
    err = self->run(&regs, sizeof(regs), ret, program);
    sta__program_registers = NULL;
    return err;
}

int sta_program_run(struct sta_program *program, void *ctx, size_t ctx_size, uint64_t *ret)
{
    if (!program || !ret || ctx_size < program->context_size)
        return -EINVAL;
    return program->run(ctx, ctx_size, ret, program);
}
