/* SPDX-License-Identifier: MIT */
/*
 * The entry: where a thread arrives whose system call was intercepted, by whatever method.
 *
 * It arrives with the registers of the system call instruction: rax holds the number, the arguments
 * are in their registers, rcx holds the address behind the instruction (rcx and r11 are free, the
 * instruction would have overwritten them). The stack is the application's: a stub steps over the
 * red zone and calls the entry, which builds a struct sta__entry_frame, lets the callbacks run,
 * makes the call and returns with rax, rcx and r11 changed and nothing else.
 *
 * Called, and not jumped to with a jump back: processors foresee where a return leads, but after a
 * system call they often do not know where an indirect jump does.
 *
 *      application          entry.S                   entry.c
 *      ───────────►  build frame  ───────────►  sta__entry_before: callbacks, what to do
 *                    make the call (or not)
 *      ◄───────────  restore      ◄───────────  sta__entry_after: callbacks
 *
 * Calls that return on another stack, twice, or never, are made in ways of their own.
 */
#ifndef STA_TRANSFORM_ENTRY_H
#define STA_TRANSFORM_ENTRY_H

/* What entry.S is to do about a call. */
#define STA__ENTRY_CALL 0 /* make it with the frame in place */
#define STA__ENTRY_DONE 1 /* the result is in the frame */
#define STA__ENTRY_RETURN                                                                        \
    2                      /* rt_sigreturn: make it at the application's stack pointer, for good \
                            */
#define STA__ENTRY_VFORK 3 /* the child shares this stack and returns first: keep nothing on it */
#define STA__ENTRY_CLONE                                                     \
    4 /* the child wakes up on a new stack, on which its needs were laid out \
       */

/* Offsets in struct sta__entry_frame. */
#define STA__FRAME_BP             0
#define STA__FRAME_NR             8
#define STA__FRAME_ARGS           16
#define STA__FRAME_RET            64
#define STA__FRAME_HOOKS          72
#define STA__FRAME_RETURN_ADDRESS 88
#define STA__FRAME_FLAGS          96
#define STA__FRAME_SP             104
#define STA__FRAME_CLONE_FLAGS    112
#define STA__FRAME_BLOCKED        120
#define STA__FRAME_SIZE           128

/* Offset in struct sta__hooks, and what to look for there to find out whether there is something to
 * do after the call. */
#define STA__HOOKS_ACTIVE 32
#define STA__ENTRY_AFTER  2

/* Offsets in struct sta__entry_seed. */
#define STA__SEED_RETURN_ADDRESS 0
#define STA__SEED_NR             8
#define STA__SEED_FLAGS          16
#define STA__SEED_CLONE_FLAGS    24
#define STA__SEED_BLOCKED        32
#define STA__SEED_R9             40
#define STA__SEED_SIZE           48

#ifndef __ASSEMBLER__

#    include <stdatomic.h>
#    include <stdbool.h>
#    include <stdint.h>

#    include "attach/dispatch.h"
#    include "base/compiler.h"

/* One intercepted call, on the application's stack: a struct sta__call_site, and more. 16-byte
 * aligned. */
struct sta__entry_frame {
    struct sta__call call;
    uint64_t return_address; /* behind the system call instruction */
    uint64_t flags;          /* the application's rflags */
    uint64_t sp;             /* the application's stack pointer */
    uint64_t clone_flags;    /* what kind of child a call creates; STA__NO_CLONE: it creates none */
    uint64_t blocked;        /* for such calls: see sta__signals_app_blocked() */
};

#    define STA__NO_CLONE UINT64_MAX
/* Among the clone flags: the caller itself borrows its memory, see sta__entry_borrows. */
#    define STA__CLONE_BY_BORROWER (UINT64_C(1) << 62)

/* What is needed to build a frame where there is none any more, besides the registers. */
struct sta__entry_seed {
    uint64_t return_address;
    int64_t nr;
    uint64_t flags;
    uint64_t clone_flags;
    uint64_t blocked;
    uint64_t r9; /* the register's value: during a vfork it holds the seed's address */
};

/* True while a vfork child, or one of its kind, runs on the memory and the thread-local storage of
 * its parent, which waits for it: what is kept there about the thread is about the parent. */
extern STA__HIDDEN STA__THREAD_LOCAL bool sta__entry_borrows;

/* To be called before any call is intercepted, by one thread at a time. */
void sta__entry_init(void);

/* Called from below the red zone, see above; no C function. What called it steps back over the red
 * zone and jumps to where rcx says. Unwinders see the application as the caller. */
void sta__entry(void);

/* Likewise, for calls that nobody is interested in. Not for those that sta__needs_entry(). */
void sta__native(void);

/* Jumped to with the application's stack pointer, by handlers of signals: calls sta__entry. */
void sta__entry_by_jump(void);

/* Calls that return on another stack, or twice, or that look at the stack pointer. */
STA__INLINE bool sta__needs_entry(int64_t sys_nr)
{
    return sys_nr == SYS_rt_sigreturn || sys_nr == SYS_clone || sys_nr == SYS_fork ||
           sys_nr == SYS_vfork || sys_nr == SYS_clone3;
}

/* Addresses behind the system call instructions of STA__ENTRY_CALL: a thread that is interrupted
 * there has its frame at rsp. */
extern STA__HIDDEN const char sta__entry_call_end[];
extern STA__HIDDEN const char sta__entry_call_with_after_end[];

/* The registry whose callbacks run; NULL: calls pass through. A registry's memory is never given
 * back (see sta_free), so that a thread that just loaded this may use it. */
extern STA__HIDDEN _Atomic(struct sta *) sta__active;
/* The same, or NULL when sta__enter_ordinary() does not do what is asked for. */
extern STA__HIDDEN _Atomic(struct sta *) sta__active_ordinary;
/* STA__CALL_* of every call; to be set before these. */
extern STA__HIDDEN _Atomic unsigned sta__entry_kind;

/* Called by entry.S. */
int sta__entry_before(struct sta__entry_frame *frame, unsigned long nr); /* the number again */
void sta__entry_after(struct sta__entry_frame *frame,
                      struct sta__hooks *hooks); /* frame->call.hooks */
void sta__entry_after_vfork(struct sta__entry_frame *frame, const struct sta__entry_seed *seed);
void sta__entry_after_clone(struct sta__entry_frame *frame);

/* What a method has to do when a thread of its process begins or ends, or becomes another program.
 * All run on the dispatch path. */
struct sta__thread_hooks {
    void (*began)(void);       /* on a new thread: it shares memory, but not thread-local storage */
    void (*forked)(void);      /* in a new process with a copy of the memory: its only thread */
    void (*forked_vm)(void);   /* in a new process that borrows memory and thread of its parent */
    void (*ends)(void);        /* the thread is about to exit */
    void (*untraceable)(void); /* on a new thread that shares thread-local storage with another */
    /* Around an execve that needs signals the way the application set them: until it succeeds or
     * resumes, the thread's calls are native. `pause` tells whether other threads are intercepted.
     */
    bool (*pause)(void);
    void (*resume)(void);
};

extern STA__HIDDEN _Atomic(const struct sta__thread_hooks *) sta__thread_hooks;

#endif
#endif
