/* SPDX-License-Identifier: MIT */
/* Numbers: arch/x86/entry/syscalls/syscall_32.tbl. On the dispatch path. */
#include "transform/int80.h"

#include <stdint.h>

#include "transform/entry.h"

#define NR32_EXIT         1
#define NR32_FORK         2
#define NR32_SIGRETURN    119
#define NR32_CLONE        120
#define NR32_RT_SIGRETURN 173
#define NR32_VFORK        190
#define NR32_CLONE3       435

/* int64_t sta__raw_int80(nr rdi, args rsi): in the gate */
int64_t sta__raw_int80(int64_t nr, const unsigned long *args);

__asm__(".pushsection sta_gate, \"ax\", @progbits\n"
        ".balign 16\n"
        ".globl sta__raw_int80\n"
        ".hidden sta__raw_int80\n"
        ".type sta__raw_int80, @function\n"
        "sta__raw_int80:\n"
        "        .cfi_startproc\n"
        "        push %rbx\n"
        "        .cfi_def_cfa_offset 16\n"
        "        .cfi_offset %rbx, -16\n"
        "        push %rbp\n"
        "        .cfi_def_cfa_offset 24\n"
        "        .cfi_offset %rbp, -24\n"
        "        mov %rdi, %rax\n"
        "        mov %rsi, %r8\n"
        "        mov 0(%r8), %rbx\n"
        "        mov 8(%r8), %rcx\n"
        "        mov 16(%r8), %rdx\n"
        "        mov 24(%r8), %rsi\n"
        "        mov 32(%r8), %rdi\n"
        "        mov 40(%r8), %rbp\n"
        "        int $0x80\n"
        "        pop %rbp\n"
        "        .cfi_def_cfa_offset 16\n"
        "        pop %rbx\n"
        "        .cfi_def_cfa_offset 8\n"
        "        ret\n"
        "        .cfi_endproc\n"
        ".size sta__raw_int80, . - sta__raw_int80\n"
        ".popsection\n");

bool sta__int80(greg_t *regs)
{
    struct sta *sta = atomic_load_explicit(&sta__active, memory_order_acquire);
    const struct sta__thread_hooks *hooks =
        atomic_load_explicit(&sta__thread_hooks, memory_order_acquire);
    unsigned kind = atomic_load_explicit(&sta__entry_kind, memory_order_relaxed);
    struct sta__call_site site;
    struct sta__call *call = &site.call;

    kind = STA__CALL_COMPAT | STA__CALL_SITE | (kind & STA__CALL_PRIVATE_STACK);
    site.return_address = (uint64_t)regs[REG_RIP];
    site.flags = (uint64_t)regs[REG_EFL];
    site.sp = (uint64_t)regs[REG_RSP];
    call->frame_pointer = (uint64_t)regs[REG_RBP];
    call->enter.id = (int)regs[REG_RAX];
    call->enter.args[0] = (uint32_t)regs[REG_RBX];
    call->enter.args[1] = (uint32_t)regs[REG_RCX];
    call->enter.args[2] = (uint32_t)regs[REG_RDX];
    call->enter.args[3] = (uint32_t)regs[REG_RSI];
    call->enter.args[4] = (uint32_t)regs[REG_RDI];
    call->enter.args[5] = (uint32_t)regs[REG_RBP];
    call->outer = NULL;
    switch (call->enter.id) {
    case NR32_SIGRETURN:
    case NR32_CLONE:
    case NR32_RT_SIGRETURN:
    case NR32_VFORK:
    case NR32_CLONE3:
        return false;
    default:
        break;
    }
    if (call->enter.id == NR32_EXIT && hooks)
        hooks->ends();
    if (!sta || sta__enter(sta, call, kind)) {
        call->ret = sta__raw_int80(call->enter.id, call->enter.args);
        if (call->enter.id == NR32_FORK && call->ret == 0 && hooks)
            hooks->forked();
    }
    if (sta)
        sta__exit(sta, call, kind);
    regs[REG_RAX] = call->ret;
    return true;
}
