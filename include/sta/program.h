/* SPDX-License-Identifier: MIT */
/*
 * eBPF programs: from instructions to something that runs on system calls.
 *
 * A program is checked (its instructions are well formed), verified (it cannot harm the process,
 * whatever it is given), compiled to native code, and then attached like a callback or run by hand.
 *
 * Programs are those of the kernel: the instruction set of RFC 9669 with the kernel's helpers,
 * maps and rules. What the kernel's verifier accepts for a program of the same type is accepted,
 * and what it refuses is refused, with its words; the differences that are meant are in README.
 * What programs print is read by the functions of sta/trace.h.
 */
#ifndef STA_PROGRAM_H
#define STA_PROGRAM_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#include <sta/attach.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sta_program;
struct sta_map;

/* No proof: the program is only checked for being well formed. For code that the host itself wrote;
 * it can do what any other code of the process can. Where the kernel is stricter than the standard
 * it follows the standard: immediate shifts count modulo the operand's width. */
#define STA_PROGRAM_TRUSTED (1u << 0)
/* Interpreted, not compiled. */
#define STA_PROGRAM_INTERPRET (1u << 1)
/* Noted in /tmp/perf-PID.map, so that perf names the native code. */
#define STA_PROGRAM_PERF_MAP (1u << 2)

/* How much the verifier writes, as in bpf(2): the reason of a refusal always goes to the log. */
#define STA_VERIFIER_LOG_STATE 1u /* each instruction with the registers' state where it helps */
#define STA_VERIFIER_LOG_FULL  2u /* each instruction of each path with the whole state */
#define STA_VERIFIER_LOG_STATS 4u /* how many instructions and states there were */

/* How to load. Zero it, then set `size`; fields past `size` take their defaults. */
struct sta_program_options {
    size_t size;
    unsigned flags; /* STA_PROGRAM_* */
    /* BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_KPROBE; 0: the first */
    uint32_t type;
    const char *name; /* for messages and profilers; NULL: "" */
    /* What it will be attached to, if that is known: then it may read only what this event has. An
     * event without format can have all six arguments. NULL: not known; see sta_attach_program().
     */
    const struct sta_target *target;
    /* Finds the map that an instruction names by file descriptor (BPF_PSEUDO_MAP_FD and
     * BPF_PSEUDO_MAP_VALUE) or by index (.._IDX). Returns 0 or -errno. The program keeps the map:
     * it may be closed once the program is loaded. NULL: there are none. */
    int (*find_map)(void *find_data, int fd_or_index, int is_index, struct sta_map **out);
    void *find_data;
    /* What the verifier says, as text in many lines, cut off at log_size - 1 bytes. */
    char *log_buf;
    size_t log_size;
    uint32_t log_level; /* STA_VERIFIER_LOG_* */
    sta_log_fn log;     /* receives one line about a refusal; may be NULL */
    void *log_data;
    /* As in bpf(2): some helpers are for programs with a license compatible with the GPL. NULL: it
     * is not asked. */
    const char *license;
};

/*
 * Loads a program. `options` may be NULL.
 *
 * Returns 0 and the program in *out, or -errno: -EINVAL (malformed, or unsafe), -EACCES (unsafe:
 * it reads or writes where it must not), -E2BIG (too large, or too complex to be proved safe),
 * -ENOSPC (the log did not fit into log_buf; the program may be good), -ENOMEM. The errors of an
 * unsafe program are those of the kernel.
 *
 * Once a program is loaded that reads the process's memory (bpf_probe_read_user and the like,
 * bpf_get_stack), SIGSEGV and SIGBUS are shared with the application for as long as a transformer
 * is installed: a bad address is an error for the program, and every other of these signals takes
 * the application's own action. Without a transformer the kernel does the reading, more slowly.
 *
 * The instructions are copied. Where the system allows no new executable memory (PR_SET_MDWE,
 * SELinux) the program is interpreted, and the log warns of it. Thread-safe; not from inside a
 * callback.
 */
STA_API int sta_program_load(struct sta_program **out, const struct bpf_insn *insns, size_t count,
                             const struct sta_program_options *options);

/*
 * Gives the program back; NULL is allowed. Where it is attached, and in program arrays, it stays
 * and runs; it goes when it was detached everywhere and taken out of them. sta_program_run() must
 * not be running it. Like sta_detach() this may wait for callbacks on other threads: hold no lock
 * that they may want.
 */
STA_API void sta_program_free(struct sta_program *program);

/*
 * Runs a program once, with r1 = ctx and, if it is trusted, r2 = ctx_size.
 *
 * ctx_size has to be what the program was verified for, or more; else -EINVAL. Returns 0 and r0 in
 * *ret. Callable from any thread at the same time, from inside callbacks and in signal handlers.
 */
STA_API int sta_program_run(struct sta_program *program, void *ctx, size_t ctx_size, uint64_t *ret);

/*
 * Attaches a program as sta_attach() attaches a callback; sta_detach() detaches it.
 *
 * Returns the id, or -errno: those of sta_attach(), and -EACCES if the program reads more of the
 * context than the event has (the kernel's rule: past the end of the last field that the event's
 * format lists; where no format can be read, past the end of sta_sys_enter or sta_sys_exit),
 * -EINVAL also for programs of the type raw tracepoint where the kernel has no such tracepoint:
 * they attach to all calls, and read two arguments: the address of a struct pt_regs, which has the
 * call's arguments and its number, and the number at the entry, the result at the exit. Those of
 * the type kprobe (ksyscall, kretsyscall) attach to one call, and read the registers as they are at
 * the kernel's function for it: its one argument is the address of such a struct, and it returns
 * the result.
 *
 * What the program returns does not matter to the call: bpf_override_return() does. From any
 * thread; not from inside a callback, since it reads the event's format from tracefs.
 */
STA_API int sta_attach_program(struct sta *sta, const struct sta_target *target,
                               struct sta_program *program);

/* The extensible form: with a priority, a name (NULL: the program's), a cookie. `callback`,
 * `user_data` and `flags` have to be 0: else -EINVAL. */
STA_API int sta_attach_program_with(struct sta *sta, struct sta_program *program,
                                    const struct sta_attach_options *options);

/*
 * Makes an element of a program array (BPF_MAP_TYPE_PROG_ARRAY) lead to a program, for tail calls.
 * The array keeps the program. sta_map_delete() takes it out, another program takes its place, and
 * the array is empty when nobody but programs has it any more, see sta_map_close(). Processes that
 * were forked before the program was loaded do not find it.
 *
 * An array is for programs of one type, that of the first one that uses it or is put into it: a
 * tail call hands the context on.
 *
 * Returns 0 or -errno: -EINVAL (no program array, or one for another type), -E2BIG (past its end),
 * -EPERM (BPF_F_RDONLY, or frozen), -ENFILE (more programs and maps in arrays than there can be),
 * -ENOMEM. Not from inside a callback.
 */
STA_API int sta_map_set_program(struct sta_map *map, uint32_t index, struct sta_program *program);

/* What is known of a program. Set `size`; fields past it are not filled. */
struct sta_program_info {
    size_t size;
    size_t insns;           /* as given */
    size_t processed_insns; /* by the verifier; 0: it was trusted */
    size_t context_size;    /* bytes of the context that it can read: from 0 to the highest one */
    const void *native;     /* its code; NULL: it is interpreted */
    size_t native_size;     /* bytes */
};

STA_API int sta_program_info(const struct sta_program *program, struct sta_program_info *out);

#ifdef __cplusplus
}
#endif

#endif
