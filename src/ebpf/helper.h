/* SPDX-License-Identifier: MIT */
/*
 * Helpers: the functions that programs call by number. The table says what the verifier has to know
 * of each, in the kernel's terms (struct bpf_func_proto, include/linux/bpf.h), and where it is.
 */
#ifndef STA_EBPF_HELPER_H
#define STA_EBPF_HELPER_H

#include <stdbool.h>
#include <stdint.h>

/* What an argument has to be. */
enum sta__arg {
    STA__ARG_NONE,
    STA__ARG_ANYTHING,         /* any initialised register */
    STA__ARG_CTX,              /* the program's context */
    STA__ARG_MAP,              /* a map: BPF_PSEUDO_MAP_FD */
    STA__ARG_MAP_KEY,          /* key_size readable bytes */
    STA__ARG_MAP_VALUE,        /* value_size readable bytes */
    STA__ARG_UNINIT_MAP_VALUE, /* value_size writable bytes */
    STA__ARG_MEM,              /* readable bytes; the next argument is how many */
    STA__ARG_MEM_OR_NULL,
    STA__ARG_UNINIT_MEM, /* writable bytes, need not be initialised; likewise */
    STA__ARG_SIZE,       /* > 0 */
    STA__ARG_SIZE_OR_ZERO,
    STA__ARG_CONST_ALLOC_SIZE, /* a known number: the size of what is returned */
    STA__ARG_RECORD,           /* what a helper that acquires returned: released by this call */
    STA__ARG_LONG_OUT,         /* eight writable bytes, aligned */
    STA__ARG_CONST_STR,        /* a zero-terminated string in a frozen map */
    STA__ARG_FUNC,             /* a subprogram: BPF_PSEUDO_FUNC */
    STA__ARG_STACK_OR_NULL,    /* of the program, or NULL: the context of a callback */
    STA__ARG_SPIN_LOCK,        /* a struct bpf_spin_lock in a map's value */
    STA__ARG_DYNPTR,           /* an initialised dynptr on the stack */
    STA__ARG_RING_DYNPTR,      /* one of a record: released by this call */
    STA__ARG_UNINIT_DYNPTR,    /* room for one */
    STA__ARG_WRITABLE_MEM,     /* like MEM, but written, and initialised before */
    STA__ARG_WRITABLE_MEM_OR_NULL,
    STA__ARG_KERNEL, /* an object of the kernel, its timer, ..: no program here has one */
};

/* What r0 is afterwards. */
enum sta__ret {
    STA__RET_INTEGER,
    STA__RET_VOID,
    STA__RET_MAP_VALUE_OR_NULL,
    STA__RET_RECORD_OR_NULL, /* memory of STA__ARG_CONST_ALLOC_SIZE; acquired */
    STA__RET_MEM_OR_NULL,    /* memory, nothing to be released */
};

typedef uint64_t (*sta__helper_fn)(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5);

struct sta__helper {
    const char *name;  /* "map_lookup_elem": the kernel's name without bpf_ */
    sta__helper_fn fn; /* NULL: known but not offered; `why_not` says why */
    const char *why_not;
    enum sta__ret ret;
    enum sta__arg args[5];
};

/* The helper of this number; NULL: the kernel has none either, for programs that trace. */
const struct sta__helper *sta__helper_find(int32_t id);

/* What the kernel calls the helper of this number, without bpf_, whoever may call it; NULL: there
 * is none, as far as the headers know. */
const char *sta__helper_name(int32_t id);

struct sta__code;
struct sta__log;

/* Whether some path of the program leads to a call of it. */
bool sta__helper_is_called(const struct sta__code *code, int32_t id);

/* Makes what the helpers that this program calls need. 0 or -errno. */
int sta__helpers_prepare(const struct sta__code *code, const struct sta__log *log);

/* Whether only programs with a license compatible with the GPL may call it. */
bool sta__helper_is_gpl(int32_t id);
/* The licenses that the kernel counts as such. */
bool sta__license_is_gpl(const char *license);

/* What BPF_PSEUDO_FUNC loads, whoever runs the program: a helper that calls back does so by
 * callback->run(callback, r1, .., r5) and gets r0. The interpreter and the JIT make these. */
struct sta__callback {
    uint64_t (*run)(const struct sta__callback *self, uint64_t r1, uint64_t r2, uint64_t r3,
                    uint64_t r4, uint64_t r5);
};

#endif
