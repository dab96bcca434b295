/* SPDX-License-Identifier: MIT */
/* What the parts of the verifier share. All functions that return int return 0 or -errno, and have
 * written the reason. */
#ifndef STA_EBPF_VERIFY_VERIFIER_H
#define STA_EBPF_VERIFY_VERIFIER_H

#include <sta/program.h>

#include "ebpf/helper.h"
#include "ebpf/isa.h"
#include "ebpf/verify.h"
#include "ebpf/verify/reg.h"

#define STA__OFFSET_MAX (1 << 29) /* of pointers, and sizes: BPF_MAX_VAR_OFF, BPF_MAX_VAR_SIZ */

/* Of each instruction. */
struct sta__insn_info {
    struct sta__state *states; /* stored here */
    uint16_t live;             /* registers that may be read before they are written */
    bool is_prune_point;
    bool calls_callback;
    bool is_seen;         /* some path leads here */
    uint8_t ways;         /* conditional jumps: 1 went on, 2 jumped */
    uint8_t pointer_type; /* through which it loads or stores; REG_NONE: not seen yet */
};

/* A path to be walked later. */
struct sta__pending {
    struct sta__state *state;
    uint32_t insn, from;
    size_t log_used;
};

struct sta__text {
    char *buf;
    size_t size, used;
    size_t dropped; /* bytes that were before those that are still there */
};

/* See values.c. */
struct sta__value {
    uint32_t from[2];
    uint32_t links; /* head of a list in `links`; */
    bool is_needed;
};

struct sta__value_link {
    uint32_t to, next;
};

struct sta__values {
    struct sta__value *nodes;
    struct sta__value_link *links;
    uint32_t *stack;
    uint32_t count, room, link_count, link_room, stack_room;
    bool out_of_memory;
};

struct sta__verifier {
    struct sta__code *code;
    const struct sta__verify_options *options;
    struct sta__verify_result *result;
    const struct sta__log *log;

    struct sta__insn_info *info;
    struct sta__state *state; /* of the path that is walked */
    uint32_t insn;
    uint32_t previous_insn;
    struct sta__state *newest; /* of the stored ones */
    struct sta__pending *pending;
    uint32_t pending_count, pending_room;
    struct sta__values values;

    uint32_t last_id;
    uint32_t last_rounds;
    /* The callback has just returned to the call that is next, whose rounds have this number;
     * 0: the call is come to in another way, for its first round. */
    uint32_t rounds;
    struct sta__id_pair *ids;            /* prune.c */
    uint32_t jumps;                      /* walked */
    uint32_t jumps_stored, insns_stored; /* when a state was stored last */

    struct sta__text text;
    int line_length;        /* of the instruction's line, as long as it is not ended */
    char reason[256];       /* the last line of text */
    uint32_t touched;       /* registers that the instruction used, to be printed; */
    uint64_t touched_slots; /* and slots of the current frame */
};

/* verifier_log.c */
/* The reason of a refusal: a line of text, kept for the log. Returns err. */
int sta__deny(struct sta__verifier *v, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sta__say(struct sta__verifier *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool sta__says(const struct sta__verifier *v, uint32_t level);
/* Back to where it was `at` bytes from the start. */
void sta__text_cut(struct sta__text *text, size_t at);
const char *sta__type_name(uint8_t type);
void sta__tnum_text(char *out, size_t size, struct sta__tnum t);
/* The registers and slots that the last instruction touched, or all. */
void sta__say_state(struct sta__verifier *v, const struct sta__state *state, uint32_t frame,
                    bool all);
void sta__say_whole_state(struct sta__verifier *v);
/* The instruction that is walked; and, behind it, what it has changed. `frame`: before it. */
void sta__say_insn(struct sta__verifier *v);
void sta__say_effect(struct sta__verifier *v, uint32_t frame);

/* disasm.c */
/* One instruction in the kernel's words, without an end of line. Returns what snprintf would. */
int sta__disasm(char *out, size_t size, const struct sta__code *code, uint32_t insn);

const char *sta__alu_text(uint8_t op); /* "+=" */

/* values.c */
uint32_t sta__value_new(struct sta__verifier *v, uint32_t from, uint32_t and_from);
void sta__value_need(struct sta__verifier *v, uint32_t value);
bool sta__value_is_needed(const struct sta__verifier *v, uint32_t value);
/* Once `value` is needed, so is `of`. */
void sta__value_link(struct sta__verifier *v, uint32_t value, uint32_t of);
void sta__values_free(struct sta__values *values);

/* state.c */
void sta__reg_unknown(struct sta__verifier *v, struct sta__reg *reg);
void sta__reg_const(struct sta__verifier *v, struct sta__reg *reg, uint64_t value);
void sta__reg_none(struct sta__reg *reg);
/* Marks what the proof depends on. */
void sta__reg_need(struct sta__verifier *v, const struct sta__reg *reg);
/* Gives a number an id, so that a copy of it is known to be one. */
void sta__reg_give_id(struct sta__verifier *v, struct sta__reg *reg);
uint32_t sta__new_id(struct sta__verifier *v);
struct sta__state *sta__state_copy(const struct sta__state *from);
void sta__state_free(struct sta__state *state);
struct sta__frame *sta__frame_new(uint32_t subprog, uint32_t callsite);
void sta__frame_free(struct sta__frame *frame);
int sta__frame_grow(struct sta__frame *frame, uint32_t slots);
/* Walk a copy of the state from `insn` on later; NULL if that is not possible (err is set). */
struct sta__state *sta__push(struct sta__verifier *v, uint32_t insn, int *err);
/* Takes the last such path; false: there is none. */
bool sta__pop(struct sta__verifier *v);
/* A path ended: its states may be done. */
void sta__path_done(struct sta__verifier *v);
int sta__state_store(struct sta__verifier *v);
/* Frees a stored state if nobody has any more use for it. */
void sta__state_release(struct sta__verifier *v, struct sta__state *state);
/* Calls fn for each register of all frames, and for each spilled one. */
typedef void (*sta__reg_fn)(struct sta__verifier *v, struct sta__reg *reg, void *data);
void sta__each_reg(struct sta__verifier *v, struct sta__state *state, sta__reg_fn fn, void *data);

/* prune.c */
/* 1: the state is covered by one walked before; 0: walk on. */
int sta__prune(struct sta__verifier *v);

/* pointer.c */
int sta__check_alu(struct sta__verifier *v, const struct bpf_insn *insn);
int sta__read_reg(struct sta__verifier *v, uint8_t number);
int sta__write_reg(struct sta__verifier *v, uint8_t number);

/* jump.c */
/* 0: go on with the next instruction; 1: jump. */
int sta__check_jump(struct sta__verifier *v, const struct bpf_insn *insn, int32_t offset);

/* access.c */
enum sta__access { STA__READ, STA__WRITE };

struct sta__memory_access {
    uint8_t reg; /* the pointer */
    int32_t off;
    uint32_t size;
    enum sta__access access;
    int value_reg;                    /* to or from which; -1: none */
    bool sign_extends;                /* loads */
    bool is_aligned;                  /* has to be */
    const struct bpf_insn *store_imm; /* BPF_ST; NULL: another */
};

int sta__check_access(struct sta__verifier *v, const struct sta__memory_access *a);
int sta__check_alignment(struct sta__verifier *v, const struct sta__memory_access *a);
int sta__check_memory_insn(struct sta__verifier *v, const struct bpf_insn *insn);
/* Bytes of a helper's argument. `is_uninit`: the helper fills them; they need not be
 * initialised and are written afterwards: *fills. */
struct sta__fill {
    uint8_t reg;
    uint32_t size; /* 0: none */
};
int sta__check_helper_memory(struct sta__verifier *v, uint8_t reg, uint32_t size,
                             enum sta__access access, bool zero_allowed, struct sta__fill *fill);

/* stack.c */
int sta__stack_load(struct sta__verifier *v, const struct sta__memory_access *a);
int sta__stack_store(struct sta__verifier *v, const struct sta__memory_access *a);
int sta__stack_bounds(struct sta__verifier *v, uint8_t reg, int32_t off, int64_t size,
                      enum sta__access access);
int sta__stack_helper(struct sta__verifier *v, uint8_t reg, uint32_t size, bool zero_allowed,
                      enum sta__access access, struct sta__fill *fill);
/* A known number in the stack, for keys. */
bool sta__stack_constant(struct sta__verifier *v, const struct sta__reg *reg, uint32_t size,
                         uint64_t *out);

/* dynptr.c */
#define STA__DYNPTR_LOCAL 1
#define STA__DYNPTR_RING  2
/* Bytes of a frame are about to be written. */
int sta__dynptr_overwrite(struct sta__verifier *v, struct sta__frame *frame, int32_t min,
                          int32_t end);
/* The first of these bytes that is a dynptr's; 0: none is. */
int sta__dynptr_find(const struct sta__frame *frame, int32_t min, int32_t end);
/* Whether one may be made there; then it has been overwritten. */
int sta__dynptr_check_room(struct sta__verifier *v, uint8_t reg);
void sta__dynptr_make(struct sta__verifier *v, uint8_t reg, uint32_t kind, uint32_t ref);
/* Whether there is one (of this kind, 0: any), and which. */
int sta__dynptr_check(struct sta__verifier *v, uint8_t reg, uint32_t kind, uint32_t *id);
/* It was given back. Returns what is to be released. */
uint32_t sta__dynptr_end(struct sta__verifier *v, uint8_t reg);

/* spin_lock.c */
int sta__lock_take(struct sta__verifier *v, uint8_t reg);
int sta__lock_give_back(struct sta__verifier *v, uint8_t reg);
/* Whether this helper may be called now. */
int sta__lock_check_call(struct sta__verifier *v, int32_t helper);
/* Whether these bytes of a map's value may be read and written. */
int sta__lock_check_access(struct sta__verifier *v, const struct sta__reg *pointer, int32_t off,
                           uint32_t size);

/* helper_call.c */
int sta__check_helper(struct sta__verifier *v, const struct bpf_insn *insn);

/* helper_map.c */
int sta__check_helper_map(struct sta__verifier *v, const struct sta__helper *helper, int32_t id,
                          const struct sta_map *map);

/* calls.c */
int sta__check_call(struct sta__verifier *v, const struct bpf_insn *insn);
/* 1: the path goes on at v->insn; 0: it is done. */
int sta__check_exit(struct sta__verifier *v);
int sta__push_callback(struct sta__verifier *v, int32_t id, const struct sta_map *map,
                       uint32_t subprog);
/* The path on which the tail call is made. */
int sta__push_tail_call(struct sta__verifier *v);
int sta__check_no_refs(struct sta__verifier *v, const char *what);

/* control_flow.c */
int sta__check_flow(struct sta__verifier *v);
int sta__check_stack_depth(struct sta__verifier *v);
void sta__mark_dead(struct sta__verifier *v);
void sta__touch(struct sta__verifier *v, uint8_t reg);

#endif
