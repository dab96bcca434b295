/* SPDX-License-Identifier: MIT */
/*
 * eBPF object files: what clang makes of programs in C (.bpf.o), as libbpf loads them, CO-RE and
 * all, attached to the system calls of this process. No privilege is needed.
 *
 *      sta_object_open(&object, sta, "tool.bpf.o");
 *      *(int *)sta_object_global(object, "target_pid", NULL) = getpid();
 *      sta_object_attach(object);                       loads it first
 *      ...                                              sta_object_map(object, "events"), sta/map.h
 *      sta_object_close(object);
 *
 * Sections that programs can be in, as libbpf names them:
 *
 *      tracepoint/syscalls/sys_enter_<call>, .../sys_exit_<call>   "tp" for "tracepoint", too
 *      tracepoint/raw_syscalls/sys_enter, .../sys_exit
 *      raw_tracepoint/sys_enter, .../sys_exit                      "raw_tp", and with ".w", too
 *      tp_btf/sys_enter, tp_btf/sys_exit
 *      ksyscall/<call>, kretsyscall/<call>
 *
 * Programs in others are refused by name, or left out (STA_OBJECT_SKIP_UNSUPPORTED).
 *
 * Loading changes no code, and no other thread notices it: libbpf's bpf(2) calls are answered on
 * the calling thread alone, by Syscall User Dispatch; where the kernel does not have that, the
 * system call instructions are rewritten for as long as it takes. For the programs to see system
 * calls, those have to reach the registry: see sta/transform.h.
 *
 * Programs that are written with libbpf themselves (skeletons) need no such object, but one call:
 * sta_emulate_process().
 *
 * A host that calls these functions has to link libbpf, libelf and zlib.
 *
 * Concurrency: one thread at a time for each object, and not from inside a callback.
 */
#ifndef STA_OBJECT_H
#define STA_OBJECT_H

#include <stddef.h>

#include <sta/attach.h>
#include <sta/bpfcall.h>
#include <sta/map.h>
#include <sta/program.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sta_object;

/* Programs in sections that cannot be attached here are left out, with a warning. */
#define STA_OBJECT_SKIP_UNSUPPORTED (1u << 0)

/* What to open. Zero it, then set `size` and `path` or `data`. */
struct sta_object_options {
    size_t size; /* sizeof(struct sta_object_options) */
    unsigned flags;
    const char *path; /* of the file; NULL: `data` is its contents */
    const void *data; /* can be freed after opening */
    size_t data_size;
    const char *name;     /* for messages and libbpf; NULL: the file's */
    const char *btf_path; /* BTF that CO-RE relocates against; NULL: the kernel's, or our own */
    sta_log_fn log; /* what libbpf, the verifier and this library say; NULL: the registry's log */
    void *log_data;
};

/*
 * Opens an object file: it is parsed, and its global data can be set. Nothing is loaded yet.
 *
 * Returns 0 and the object in *out, or -errno with a message: -EINVAL (no ELF file for BPF, or one
 * whose parts contradict each other), -ENOTSUP (a program in a section that is not offered), those
 * of open(2) and read(2), of libbpf.
 */
STA_API int sta_object_open(struct sta_object **out, struct sta *sta, const char *path);
STA_API int sta_object_open_with(struct sta_object **out, struct sta *sta,
                                 const struct sta_object_options *options);

/*
 * A global variable of the programs, and its size in *size, which may be NULL. Before loading, what
 * is written there is what the programs begin with (also to constants: `const volatile`); after
 * loading, it is the memory that the programs use, and constants can only be read.
 *
 * NULL: there is none of this name. The address changes with loading.
 */
STA_API void *sta_object_global(struct sta_object *object, const char *name, size_t *size);

/*
 * Makes the maps, verifies and compiles the programs. Returns 0 or -errno with a message, which for
 * a program that was refused has the verifier's last line: those of sta_map_create() and
 * sta_program_load(); -EALREADY, it is loaded; -EDEADLK, from inside a callback; -ENOTSUP, no way
 * to reach libbpf's calls here. After an error the object can only be closed.
 */
STA_API int sta_object_load(struct sta_object *object);

/*
 * Attaches every program, in the order of the file; loads the object if it is not loaded yet.
 *
 * Returns how many programs were attached, or -errno: those of sta_object_load() and
 * sta_attach_program(); -EALREADY, it is attached. On error none is attached.
 */
STA_API int sta_object_attach(struct sta_object *object);

/* Detaches them; when it returns, none runs. They can be attached again. Returns 0, or -ENOENT,
 * -EINPROGRESS as sta_detach(). */
STA_API int sta_object_detach(struct sta_object *object);

/* A map or program of a loaded object by its name in the source; they belong to the object. NULL:
 * there is none, or it is not loaded. */
STA_API struct sta_map *sta_object_map(struct sta_object *object, const char *name);
STA_API struct sta_program *sta_object_program(struct sta_object *object, const char *name);

/* Detaches its programs and gives all of it back; NULL is allowed. To be called before sta_free().
 * Nobody may use its maps and programs any more. */
STA_API void sta_object_close(struct sta_object *object);

/*
 * For programs that are written for the kernel, with libbpf: makes this process's bpf(2) calls and
 * what goes with them (sta/bpfcall.h) be answered by the library from now on, wherever they are
 * made, and installs the transformer. What is attached then sees the calls of this process.
 *
 * It is sta_new(), sta_emulate_start() and sta_transform_install() in one, with a registry that
 * lasts as long as the process. `options` may be NULL. Called again, it does nothing. Returns 0 or
 * -errno of those.
 */
STA_API int sta_emulate_process(const struct sta_emulate_options *options);

#ifdef __cplusplus
}
#endif

#endif
