/* SPDX-License-Identifier: MIT */
/*
 * The syscall table: system call numbers, names, and the kernel's tracepoint ids for them.
 *
 * Numbers and names are built in (x86-64). Tracepoint ids differ from kernel build to kernel build
 * and are read from tracefs, one file when one id is asked for. Where tracefs is not mounted or not
 * readable, a built-in table answers with stable ids of its own, all of them >=
 * STA_BUILTIN_ID_BASE, which the kernel (16-bit ids) never uses; sta_tracepoint.source tells which
 * it was. Built-in ids are understood everywhere, also where tracefs is readable.
 *
 * Thread-safety: every function here may be called from any thread at any time. Those that take no
 * options and read no file (sta_syscall_*) are async-signal-safe and may be called from callbacks;
 * the others open files and are not meant for callbacks.
 */
#ifndef STA_SYSCALLS_H
#define STA_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In place of a number: every system call (raw_syscalls:sys_enter, raw_syscalls:sys_exit). */
#define STA_ALL_SYSCALLS (-1)

/* Numbers from 0 to this, exclusive, can have named events; past it only raw_syscalls fires. */
#define STA_SYSCALL_LIMIT 512

/*
 * The first tracepoint id of the built-in table: 1 past the largest id that the kernel can give out
 * (include/linux/trace_events.h: the id is a 16-bit field of struct trace_entry). Built-in ids are
 *
 *   STA_BUILTIN_ID_BASE + 2 * (sys_nr + 1) + (is_enter ? 0 : 1)
 *
 * with STA_ALL_SYSCALLS for raw_syscalls: 65536 and 65537. This stays so.
 */
#define STA_BUILTIN_ID_BASE 65536

/* What to attach to: the entry or the exit of one call, or of all. */
struct sta_target {
    int sys_nr; /* 0 <= sys_nr < STA_SYSCALL_LIMIT, or STA_ALL_SYSCALLS */
    bool is_enter;
};

enum sta_tracepoint_source {
    STA_TRACEPOINT_TRACEFS, /* the id is the running kernel's */
    STA_TRACEPOINT_BUILTIN, /* the id is libsta's own; stable across machines and versions */
};

#define STA_TRACEPOINT_NAME_SIZE 64

struct sta_tracepoint {
    int id;
    struct sta_target target;
    enum sta_tracepoint_source source;
    const char *category;                /* "syscalls" or "raw_syscalls" */
    char name[STA_TRACEPOINT_NAME_SIZE]; /* "sys_enter_newstat": the kernel's name of the event */
};

/*
 * Where tracepoint ids are read from, and who hears of problems. Zero it, then set `size`.
 *
 * Every function that takes these options accepts NULL in their place, and returns -EINVAL for a
 * `size` below that of the first version (0, too) and -E2BIG if fields are set that this version
 * of the library does not have.
 *
 * tracefs counts as missing, and the built-in table serves, when the `events` directory of the root
 * does not exist or may not be opened (ENOENT, EACCES, EPERM); the log says so at STA_LOG_INFO.
 * Whatever else is wrong with it is an error.
 */
struct sta_tracefs_options {
    size_t size; /* sizeof(struct sta_tracefs_options) */
    /* Mount point of tracefs. NULL: /sys/kernel/tracing, else /sys/kernel/debug/tracing. */
    const char *root;
    sta_log_fn log; /* may be NULL */
    void *log_data;
};

/*
 * The name of a system call: sta_syscall_name(0) is "read". NULL if the number is unknown.
 * The string is static.
 */
STA_API const char *sta_syscall_name(int sys_nr);

/*
 * The number of a system call: sta_syscall_number("read") is 0. The kernel's tracepoint names are
 * accepted where they differ (newstat, newfstat, newlstat, sendfile64, newuname, umount).
 * -ENOENT if the name is unknown, -EINVAL if it is NULL.
 */
STA_API int sta_syscall_number(const char *name);

/*
 * The tracepoint with this id. Fills *out and returns 0; on an error *out stays as it is. Where
 * tracefs lists events in the order of their ids, as Linux does, a handful of files is read for it,
 * and all of them otherwise or if there is no such id. A damaged id file is logged and passed over.
 *
 * Errors: -ENOENT, no system call tracepoint has this id; -EINVAL, id <= 0 or out is NULL; errnos
 * of open(2) and getdents(2), tracefs is there but could not be read. Each is logged.
 */
STA_API int sta_tracepoint_by_id(int id, struct sta_tracepoint *out);
STA_API int sta_tracepoint_by_id_at(const struct sta_tracefs_options *options, int id,
                                    struct sta_tracepoint *out);

/*
 * The tracepoint with this name: "sys_enter_read", "syscalls:sys_enter_read", "sys_enter",
 * "raw_syscalls:sys_enter", "*SYS_ENTER", "*SYS_EXIT". System call names are accepted where the
 * kernel's event is called otherwise ("sys_enter_stat" finds sys_enter_newstat). Fills *out and
 * returns 0; on an error *out stays as it is. One file is read.
 *
 * Errors: -ENOENT, no such call, or the running kernel has no event for it; -EINVAL, malformed
 * name, or the id file does not hold what the kernel writes: an id below STA_BUILTIN_ID_BASE and a
 * newline; errnos of open(2) and read(2). Each is logged.
 */
STA_API int sta_tracepoint_by_name(const char *name, struct sta_tracepoint *out);
STA_API int sta_tracepoint_by_name_at(const struct sta_tracefs_options *options, const char *name,
                                      struct sta_tracepoint *out);

/*
 * Calls `visit` for every system call tracepoint, raw_syscalls first, then by number, enter before
 * exit. This reads every id file (722 on Linux 6.18) before the first call of `visit`. A negative
 * result of `visit` stops the walk and is returned. The built-in table has every known call, also
 * those without an implementation.
 *
 * Tracepoints that cannot be resolved (a call that libsta does not know, a damaged id file) are
 * logged and left out. Returns the number of tracepoints visited, or -errno.
 */
STA_API int sta_tracepoint_list(const struct sta_tracefs_options *options,
                                int (*visit)(const struct sta_tracepoint *tracepoint,
                                             void *user_data),
                                void *user_data);

/*
 * What to attach to, from text: a tracepoint id in decimal, or any name that
 * sta_tracepoint_by_name() takes. Names are resolved without reading tracefs. On an error *out
 * stays as it is.
 *
 * Errors: -EINVAL, not of these forms (empty, "12x", 0, signs, leading zeros, above INT_MAX) or
 * NULL; -ENOENT, of the right form but unknown; other errnos as for sta_tracepoint_by_id().
 */
STA_API int sta_target_parse(struct sta_target *out, const char *text);
STA_API int sta_target_parse_at(const struct sta_tracefs_options *options, struct sta_target *out,
                                const char *text);

/* One field of an event, as its `format` file in tracefs describes it. */
struct sta_event_field {
    char type[64]; /* C type, "const char *" */
    char name[32]; /* "filename"; without the brackets of an array */
    unsigned offset;
    unsigned size;
    unsigned array_length; /* elements; 1 if it is no array */
    bool is_signed;
};

#define STA_EVENT_FIELD_MAX 16

/* The fields of an event behind the common head; sys_enter_read: __syscall_nr, fd, buf, count. */
struct sta_event_format {
    unsigned field_count;
    struct sta_event_field fields[STA_EVENT_FIELD_MAX];
};

/*
 * Reads the format of one event. Fills *out and returns 0; on an error *out stays as it is.
 *
 * Errors: -ENOENT, a built-in tracepoint (only tracefs knows formats); -EINVAL, NULL, a tracepoint
 * that no function here has filled in, or the file is not of the expected form (which line is
 * logged); errnos of open(2) and read(2). Each is logged.
 */
STA_API int sta_tracepoint_format(const struct sta_tracefs_options *options,
                                  const struct sta_tracepoint *tracepoint,
                                  struct sta_event_format *out);

#ifdef __cplusplus
}
#endif

#endif
