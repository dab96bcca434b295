/* SPDX-License-Identifier: MIT */
/* See own_btf.h: the types, as tables. Layouts are the kernel's on x86-64. */
#include "bpfcall/own_btf.h"

#include <errno.h>

#include "ebpf/task.h"

#define BITS_PER_BYTE 8

/* Types that others are made of; ids are places in this order, from 1. */
enum basic {
    VOID,
    INT,
    LONG,
    UNSIGNED_LONG,
    UNSIGNED_SHORT,
    UNSIGNED_CHAR,
    CHAR,
    UNSIGNED_INT,
    UNSIGNED_LONG_LONG,
    BASIC_END,
};

static const struct {
    const char *name;
    size_t size;
    int encoding;
} basics[] = {
    [INT] = {"int", 4, BTF_INT_SIGNED},        [LONG] = {"long", 8, BTF_INT_SIGNED},
    [UNSIGNED_LONG] = {"unsigned long", 8, 0}, [UNSIGNED_SHORT] = {"unsigned short", 2, 0},
    [UNSIGNED_CHAR] = {"unsigned char", 1, 0}, [CHAR] = {"char", 1, BTF_INT_SIGNED},
    [UNSIGNED_INT] = {"unsigned int", 4, 0},   [UNSIGNED_LONG_LONG] = {"unsigned long long", 8, 0},
};

struct member {
    const char *name;
    int type;
    unsigned offset; /* bytes */
    int elements;    /* -1: no array */
};

static const struct member trace_entry[] = {
    {"type", UNSIGNED_SHORT, 0, -1},
    {"flags", UNSIGNED_CHAR, 2, -1},
    {"preempt_count", UNSIGNED_CHAR, 3, -1},
    {"pid", INT, 4, -1},
    {0},
};

/* Behind `ent`, a struct trace_entry. */
static const struct member sys_enter[] = {
    {"id", LONG, 8, -1},
    {"args", UNSIGNED_LONG, 16, 6},
    {"__data", CHAR, 64, 0},
    {0},
};

static const struct member sys_exit[] = {
    {"id", LONG, 8, -1},
    {"ret", LONG, 16, -1},
    {"__data", CHAR, 24, 0},
    {0},
};

static const char *const registers[] = {
    "r15", "r14", "r13", "r12", "bp",      "bx", "r11", "r10",   "r9", "r8", "ax",
    "cx",  "dx",  "si",  "di",  "orig_ax", "ip", "cs",  "flags", "sp", "ss",
};

#define REGISTERS (sizeof(registers) / sizeof(registers[0]))

/* Errors of the functions that add are kept until all is done: no memory is the only one. */
struct building {
    struct btf *btf;
    int err;
};

static int note(struct building *building, int result)
{
    if (result < 0 && building->err == 0)
        building->err = result;
    return result;
}

static void add_basics(struct building *building)
{
    for (int i = INT; i < BASIC_END; i++)
        note(building,
             btf__add_int(building->btf, basics[i].name, basics[i].size, basics[i].encoding));
}

/* A struct's members have to follow it at once, so arrays come before. */
static int add_array(struct building *building, const struct member *member)
{
    if (member->elements < 0)
        return member->type;
    return note(building,
                btf__add_array(building->btf, INT, member->type, (unsigned)member->elements));
}

static void add_field(struct building *building, const char *name, int type, unsigned offset)
{
    note(building, btf__add_field(building->btf, name, type, offset * BITS_PER_BYTE, 0));
}

#define MEMBERS_MAX 8

static int add_struct(struct building *building, const char *name, unsigned size, int entry,
                      const struct member *members)
{
    int types[MEMBERS_MAX], id;

    for (int i = 0; members[i].name; i++)
        types[i] = add_array(building, &members[i]);
    id = note(building, btf__add_struct(building->btf, name, size));
    if (entry)
        add_field(building, "ent", entry, 0);
    for (int i = 0; members[i].name; i++)
        add_field(building, members[i].name, types[i], members[i].offset);
    return id;
}

static int add_registers(struct building *building)
{
    int id = note(building, btf__add_struct(building->btf, "pt_regs", REGISTERS * 8));

    for (unsigned i = 0; i < REGISTERS; i++)
        add_field(building, registers[i], UNSIGNED_LONG, i * 8);
    return id;
}

/* typedef void (*name)(void *, struct pt_regs *, long last) */
static void add_raw_tracepoint(struct building *building, const char *name, int regs,
                               const char *last)
{
    struct btf *btf = building->btf;
    int void_pointer = note(building, btf__add_ptr(btf, VOID));
    int regs_pointer = note(building, btf__add_ptr(btf, regs));
    int proto = note(building, btf__add_func_proto(btf, VOID));
    int pointer;

    note(building, btf__add_func_param(btf, "__data", void_pointer));
    note(building, btf__add_func_param(btf, "regs", regs_pointer));
    note(building, btf__add_func_param(btf, last, LONG));
    pointer = note(building, btf__add_ptr(btf, proto));
    note(building, btf__add_typedef(btf, name, pointer));
}

struct btf *sta__own_btf_new(void)
{
    const struct sta__log nowhere = {0};
    struct building building = {.btf = btf__new_empty()};
    int entry, regs;

    if (!building.btf)
        return NULL;
    add_basics(&building);
    entry = add_struct(&building, "trace_entry", 8, 0, trace_entry);
    add_struct(&building, "trace_event_raw_sys_enter", 64, entry, sys_enter);
    add_struct(&building, "trace_event_raw_sys_exit", 24, entry, sys_exit);
    regs = add_registers(&building);
    add_raw_tracepoint(&building, "btf_trace_sys_enter", regs, "id");
    add_raw_tracepoint(&building, "btf_trace_sys_exit", regs, "ret");
    sta__task_prepare(&nowhere);
    note(&building, sta__own_btf_add_task(building.btf));
    if (building.err == 0)
        return building.btf;
    btf__free(building.btf);
    return NULL;
}
