/* SPDX-License-Identifier: MIT */
/*
 * The C half of the entry; see entry.h. On the dispatch path: general registers only, no libc, no
 * lock.
 */
#include "transform/entry.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "attach/run.h"
#include "base/gate.h"
#include "base/memory.h"
#include "base/quiesce.h"
#include "transform/door.h"
#include "transform/exec.h"
#include "transform/newcode.h"
#include "transform/signals.h"

_Static_assert(offsetof(struct sta__entry_frame, call.frame_pointer) == STA__FRAME_BP, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, return_address) ==
                   offsetof(struct sta__call_site, return_address),
               "");
_Static_assert(offsetof(struct sta__entry_frame, flags) == offsetof(struct sta__call_site, flags),
               "");
_Static_assert(offsetof(struct sta__entry_frame, sp) == offsetof(struct sta__call_site, sp), "");
_Static_assert(offsetof(struct sta__entry_frame, call.enter.id) == STA__FRAME_NR, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, call.enter.args) == STA__FRAME_ARGS, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, call.ret) == STA__FRAME_RET, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, call.hooks) == STA__FRAME_HOOKS, "entry.S");
_Static_assert(offsetof(struct sta__hooks, active) == STA__HOOKS_ACTIVE, "entry.S");
_Static_assert(STA__ACTIVE_EXIT == STA__ENTRY_AFTER, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, return_address) == STA__FRAME_RETURN_ADDRESS, "");
_Static_assert(offsetof(struct sta__entry_frame, flags) == STA__FRAME_FLAGS, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, sp) == STA__FRAME_SP, "entry.S");
_Static_assert(offsetof(struct sta__entry_frame, clone_flags) == STA__FRAME_CLONE_FLAGS, "");
_Static_assert(offsetof(struct sta__entry_frame, blocked) == STA__FRAME_BLOCKED, "entry.S");
_Static_assert(sizeof(struct sta__entry_frame) == STA__FRAME_SIZE, "entry.S");
_Static_assert(offsetof(struct sta__entry_seed, blocked) == STA__SEED_BLOCKED, "entry.S");
_Static_assert(offsetof(struct sta__entry_seed, r9) == STA__SEED_R9, "entry.S");
_Static_assert(sizeof(struct sta__entry_seed) == STA__SEED_SIZE, "entry.S");

/* Of every call, unless something else is asked for. */
#define KIND (STA__CALL_VECTORS | STA__CALL_SITE)

_Atomic(struct sta *) sta__active;
_Atomic(struct sta *) sta__active_ordinary;
_Atomic unsigned sta__entry_kind = KIND;
_Atomic(const struct sta__thread_hooks *) sta__thread_hooks;

/* Seeds of the vforks that this thread waits in: a vfork child can vfork in turn. */
#define VFORK_DEPTH_MAX 8
static STA__THREAD_LOCAL struct sta__entry_seed vfork_seeds[VFORK_DEPTH_MAX];
static STA__THREAD_LOCAL unsigned vfork_depth;

STA__THREAD_LOCAL bool sta__entry_borrows;
STA__THREAD_LOCAL struct sta__door *sta__door;

/* Once a child runs beside this thread on the same thread-local storage: the thread's id, by which
 * the two are told apart; else 0. It is not known when such a child ends. */
static STA__THREAD_LOCAL int owner;

/* Whether this is such a child. Its record would be its parent's: no callbacks. */
static bool is_stranger(void)
{
    return sta__unlikely(owner != 0) && !sta__entry_borrows && STA__RAW0(SYS_gettid) != owner;
}

/* Acquire: pairs with install and remove. */
static struct sta *active(void)
{
    if (is_stranger())
        return NULL;
    return atomic_load_explicit(&sta__active, memory_order_acquire);
}

static const struct sta__thread_hooks *thread_hooks(void)
{
    return atomic_load_explicit(&sta__thread_hooks, memory_order_acquire);
}

/* What a call of clone, clone3, fork or vfork asks for. */
struct clone_request {
    uint64_t flags; /* CLONE_* */
    uint64_t stack; /* where the child's stack pointer will be; 0: where the parent's is */
};

/* Apart, so that its memory is not on the stack below which callbacks run. */
static STA__NOINLINE bool read_clone3(const unsigned long *args, struct clone_request *request)
{
    struct clone_args given;

    if (args[1] < CLONE_ARGS_SIZE_VER0 ||
        !sta__memory_read(&given, (const void *)args[0], CLONE_ARGS_SIZE_VER0))
        return false;
    request->flags = given.flags;
    request->stack = given.stack ? given.stack + given.stack_size : 0;
    return true;
}

/* False: the call creates nothing, or its request cannot be read, so that the kernel will refuse
 * it. */
static bool read_clone(const struct sta__call *call, struct clone_request *request)
{
    const unsigned long *args = call->enter.args;

    switch (call->enter.id) {
    case SYS_fork:
        request->flags = request->stack = 0;
        return true;
    case SYS_vfork:
        request->flags = CLONE_VM | CLONE_VFORK;
        request->stack = 0;
        return true;
    case SYS_clone:
        request->flags = args[0];
        request->stack = args[1];
        return true;
    case SYS_clone3:
        return read_clone3(args, request);
    default:
        return false;
    }
}

static void fill_seed(struct sta__entry_seed *seed, const struct sta__entry_frame *frame)
{
    seed->return_address = frame->return_address;
    seed->nr = frame->call.enter.id;
    seed->flags = frame->flags;
    seed->clone_flags = frame->clone_flags;
    seed->blocked = frame->blocked;
    seed->r9 = frame->call.enter.args[5];
}

static bool is_vfork(uint64_t clone_flags)
{
    return (clone_flags & (CLONE_VM | CLONE_VFORK | CLONE_THREAD)) == (CLONE_VM | CLONE_VFORK);
}

/* A child that runs beside its parent without thread-local storage of its own. */
static bool is_untraceable(uint64_t clone_flags)
{
    return (clone_flags & (CLONE_VM | CLONE_SETTLS)) == CLONE_VM && !is_vfork(clone_flags);
}

static STA__NOINLINE int prepare_clone(struct sta__entry_frame *frame,
                                       const struct clone_request *request)
{
    struct sta__entry_seed seed;

    frame->clone_flags = request->flags & ~STA__CLONE_BY_BORROWER;
    if (sta__entry_borrows)
        frame->clone_flags |= STA__CLONE_BY_BORROWER;
    frame->blocked = sta__signals_app_blocked();
    if (is_untraceable(request->flags) && owner == 0)
        owner = (int)STA__RAW0(SYS_gettid);
    if (request->stack) {
        fill_seed(&seed, frame);
        if (sta__memory_write((char *)request->stack - sizeof(seed), &seed, sizeof(seed)))
            return STA__ENTRY_CLONE;
        /* The kernel refuses the call for another reason, or the child ends where it would have
         * ended without us: at its first push. */
        return STA__ENTRY_CALL;
    }
    if (!(request->flags & CLONE_VM))
        return STA__ENTRY_CALL;
    if (vfork_depth == VFORK_DEPTH_MAX) {
        frame->call.ret = -EAGAIN;
        return STA__ENTRY_DONE;
    }
    fill_seed(&vfork_seeds[vfork_depth], frame);
    frame->call.ret = (int64_t)&vfork_seeds[vfork_depth++];
    return STA__ENTRY_VFORK;
}

/* How the call is to be made. What can be made right here is, with its result in the frame. */
static int choose(struct sta__entry_frame *frame)
{
    struct sta__call *call = &frame->call;
    struct clone_request request;

    frame->clone_flags = STA__NO_CLONE;
    switch (call->enter.id) {
    case SYS_rt_sigreturn:
        sta__signals_returning((ucontext_t *)frame->sp);
        return STA__ENTRY_RETURN;
    case SYS_exit:
        if (thread_hooks() && !is_stranger())
            thread_hooks()->ends();
        return STA__ENTRY_CALL;
    case SYS_execve:
    case SYS_execveat:
        if (sta__exec_call(call))
            return STA__ENTRY_DONE;
        break;
    default:
        break;
    }
    if (read_clone(call, &request))
        return prepare_clone(frame, &request);
    if ((!is_stranger() && sta__signals_call(call)) || sta__newcode_call(call))
        return STA__ENTRY_DONE;
    return STA__ENTRY_CALL;
}

/* Relaxed: it was set before what active() returned. */
static unsigned entry_kind(void)
{
    return atomic_load_explicit(&sta__entry_kind, memory_order_relaxed);
}

static void exit_event(struct sta__call *call, unsigned kind)
{
    struct sta *sta = active();

    if (sta)
        sta__exit(sta, call, entry_kind() | kind);
}

/* Stands for what is attached to a special call: all that matters is that sta__entry_after() is
 * called. */
static struct sta__hooks special_hooks = {.active = STA__ACTIVE_EXIT};

static STA__NOINLINE int before_special(struct sta__entry_frame *frame)
{
    struct sta *sta = active();
    int how;

    frame->call.hooks = &special_hooks;
    frame->call.outer = NULL;
    if (sta && !sta__enter(sta, &frame->call, entry_kind())) {
        exit_event(&frame->call, STA__CALL_SKIPPED);
        return STA__ENTRY_DONE;
    }
    if (sta__door && !sta && !sta__entry_borrows && sta__door->answer(sta__door, &frame->call))
        return STA__ENTRY_DONE;
    how = choose(frame);
    if (how == STA__ENTRY_DONE)
        exit_event(&frame->call, 0);
    return how;
}

/* Calls that choose() must see. (Those with numbers past the table are seen, too.) */
static uint8_t special[STA_SYSCALL_LIMIT];

static bool is_special(int sys_nr)
{
    switch (sys_nr) {
    case SYS_exit:
    case SYS_execve:
    case SYS_execveat:
    case SYS_sigaltstack: /* not for choose(): the dispatcher sees to these three, see */
    case SYS_unshare:     /* STA__ACTIVE_ALWAYS */
    case SYS_setns:
        return true;
    default:
        return sta__needs_entry(sys_nr) || sta__signals_may_concern(sys_nr) ||
               sta__newcode_concerns(sys_nr);
    }
}

void sta__entry_init(void)
{
    if (special[SYS_exit])
        return;
    for (int i = 0; i < STA_SYSCALL_LIMIT; i++)
        special[i] = is_special(i);
}

/* The result was given by a callback. */
static STA__NOINLINE int answered(struct sta__entry_frame *frame)
{
    exit_event(&frame->call, STA__CALL_SKIPPED);
    return STA__ENTRY_DONE;
}

/* Nearly all calls are ordinary: callbacks are all that there is to them. See run.h. */
int sta__entry_before(struct sta__entry_frame *frame, unsigned long nr)
{
    struct sta *sta = atomic_load_explicit(&sta__active_ordinary, memory_order_acquire);
    struct sta__call *call = &frame->call;
    struct sta__hooks *hooks;

    if (sta__unlikely(!sta || owner != 0 || nr >= STA_SYSCALL_LIMIT || special[nr]))
        return before_special(frame);
    hooks = &sta->calls[nr];
    call->hooks = hooks;
    if (sta__unlikely(!(sta__load_active(hooks) & STA__ACTIVE_ENTER)) ||
        sta__likely(!sta__run(sta, hooks, call, true, KIND)))
        return STA__ENTRY_CALL;
    return sta__likely(!(sta__load_active(call->hooks) & STA__ACTIVE_EXIT)) ? STA__ENTRY_DONE
                                                                            : answered(frame);
}

/* The child's side of a call that created it: interception goes on in the child. */
static void began(const struct sta__entry_frame *frame)
{
    const struct sta__thread_hooks *hooks = thread_hooks();
    uint64_t flags = frame->clone_flags;

    if (is_untraceable(flags)) {
        if (hooks)
            hooks->untraceable();
        return;
    }
    sta__self_forget_ids();
    sta__entry_borrows = is_vfork(flags) && !(flags & CLONE_SETTLS);
    if (!(flags & CLONE_VM)) {
        vfork_depth = 0;
        owner = 0;
    }
    sta__signals_began(flags, frame->blocked);
    if (!hooks)
        return;
    if (!(flags & CLONE_VM))
        hooks->forked();
    else if (flags & CLONE_THREAD)
        hooks->began();
    else
        hooks->forked_vm();
}

/* The parent's side: it gets back what the child borrowed. */
static void created(const struct sta__entry_frame *frame)
{
    if (frame->clone_flags == STA__NO_CLONE || !is_vfork(frame->clone_flags))
        return;
    sta__self_forget_ids();
    sta__entry_borrows = (frame->clone_flags & STA__CLONE_BY_BORROWER) != 0;
    sta__signals_given_back(frame->blocked);
    sta__exec_given_back();
}

static STA__NOINLINE void after_special(struct sta__entry_frame *frame)
{
    if (frame->clone_flags != STA__NO_CLONE && frame->call.ret == 0)
        began(frame);
    else
        created(frame);
    exit_event(&frame->call, 0);
}

void sta__entry_after(struct sta__entry_frame *frame, struct sta__hooks *hooks)
{
    struct sta *sta = atomic_load_explicit(&sta__active, memory_order_acquire);

    /* Not what is attached in the registry that is active: special, or from one that was. */
    if (sta__unlikely((uintptr_t)hooks - (uintptr_t)sta >= sizeof(*sta))) {
        if (hooks == &special_hooks)
            after_special(frame);
        return;
    }
    sta__run(sta, hooks, &frame->call, false, KIND);
}

void sta__entry_after_vfork(struct sta__entry_frame *frame, const struct sta__entry_seed *seed)
{
    frame->call.outer = NULL;
    if (frame->call.ret == 0) {
        sta__entry_after_clone(frame);
        return;
    }
    vfork_depth = (unsigned)(seed - vfork_seeds);
    created(frame);
    exit_event(&frame->call, 0);
}

void sta__entry_after_clone(struct sta__entry_frame *frame)
{
    frame->call.outer = NULL;
    began(frame);
    if (!is_untraceable(frame->clone_flags))
        exit_event(&frame->call, 0);
}
