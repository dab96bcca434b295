/* SPDX-License-Identifier: MIT */
/*
 * An object file on its way: opened, loaded, attached. libbpf does the loading; what it asks of the
 * kernel is answered by an emulation (struct sta__bpf) that is the object's own.
 *
 *      object_open.c      reads the file, lets it be checked, gives it to libbpf
 *      elf_check.c        whether its parts are where they say
 *      btf_check.c        .. and its types, btf_loops.c; btf_ext_check.c: what it tells of lines
 *      own_btf_suffices.c whether it refers to kernel types that our own BTF has
 *      object_section.c   what the sections' names say
 *      object_load.c      loading, see reach.h
 *      object_attach.c    attaching and detaching
 *      object_data.c      maps, programs and global variables by name
 */
#ifndef STA_BPFCALL_OBJECT_H
#define STA_BPFCALL_OBJECT_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <sta/object.h>

#include "base/log.h"
#include "bpfcall/bpfcall.h"

struct sta__attached {
    struct sta__bpf_program *program; /* held */
    int attach_id;
};

struct sta_object {
    struct sta *sta;
    struct sta__log log;
    unsigned flags;
    char name[64];
    struct bpf_object *file; /* libbpf's */
    struct sta__bpf *bpf;    /* NULL: not loaded */
    bool has_failed;         /* to be loaded */
    bool own_btf_suffices;   /* own_btf.h */
    bool is_attached;
    struct sta__attached *attached; /* room for all programs */
    size_t attached_count;
    char reason[512]; /* the last error that the emulation had to tell */
};

/* What a section's name says. */
enum sta__section_kind {
    STA__SECTION_UNSUPPORTED,
    STA__SECTION_TRACEPOINT,
    STA__SECTION_RAW,     /* raw_tp: struct pt_regs of the call */
    STA__SECTION_BTF,     /* tp_btf: the same, typed */
    STA__SECTION_SYSCALL, /* ksyscall: as if a kprobe at the function that makes the call */
};

enum sta__section_kind sta__section_parse(const char *name, struct sta_target *target);

/* Says what is wrong through the log: 0, -EINVAL, -ENOMEM. The bytes may be anything. */
int sta__elf_check(const void *data, size_t size, const struct sta__log *log);
/* A section of a file that was checked: NULL: there is none. */
const void *sta__elf_section(const void *data, size_t size, const char *name, size_t *section_size);
/* The same of .BTF.ext; strings_size: of the strings of the object's types. */
int sta__btf_ext_check(const void *data, size_t size, uint32_t strings_size,
                       const struct sta__log *log);
/* What makes no sense in types that are in order otherwise (btf.h), and aligned; NULL: nothing. */
const char *sta__btf_find_wrong(const void *data);

/* While they are open, what libbpf says on this thread goes to the object's log. One at a time. */
void sta__libbpf_begin(struct sta_object *object);
void sta__libbpf_end(void);

#endif
